"""The figures of the report, each a function from results to inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from aigc_fast.demo.results import (
    GENERATIVE,
    WITHOUT_GAN,
    ColdStart,
    Difference,
    FeedbackCurve,
    ListedItem,
    ModelResult,
    UserStory,
    VectorMap,
)
from aigc_fast.demo.svg import ACCENT, GRID, INK, MUTED, QUIET, SECOND, SURFACE, THIRD, drawing

WIDTH, HEIGHT = 4.6, 2.9
BAR_HEIGHT = 0.32
POINT_SIZES = 5
LONGEST_TITLE = 30


def losses(history: dict[str, list[float]]) -> str:
    """Losses of both networks by epoch."""
    with drawing("losses", WIDTH, HEIGHT, "Generator and discriminator loss by epoch") as sketch:
        _lines(
            sketch.axes,
            [
                ("generator", history["generator_loss"], ACCENT),
                ("discriminator, with penalty", history["discriminator_loss"], SECOND),
            ],
        )
        sketch.axes.set_ylabel("loss")
        if max(history["discriminator_loss"]) > 4 * min(history["discriminator_loss"]):
            sketch.axes.set_yscale("log")  # the first epoch's penalty would flatten all that follows
            sketch.axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
            sketch.axes.yaxis.set_major_formatter("{x:g}")
            sketch.axes.yaxis.set_minor_locator(NullLocator())
    return sketch.svg


def generated_quality(history: dict[str, list[float]]) -> str:
    """Nearness of real to generated vectors and back, and spread, by epoch."""
    with drawing("quality", WIDTH, HEIGHT, "Quality of the generated vectors by epoch") as sketch:
        _lines(
            sketch.axes,
            [
                ("real → nearest generated", history["nearest_generated"], ACCENT),
                ("generated → nearest real", history["nearest_real"], SECOND),
                ("within one user", history["pairwise_cosine"], THIRD),
            ],
        )
        sketch.axes.set_ylabel("mean cosine")
    return sketch.svg


def resemblance(history: dict[str, list[float]]) -> str:
    """Precision, recall, coverage and the share of near-duplicates by epoch."""
    with drawing("prdc", WIDTH, HEIGHT, "Precision, recall and coverage of the generated vectors by epoch") as sketch:
        _lines(
            sketch.axes,
            [
                ("precision", history["precision"], ACCENT),
                ("recall", history["recall"], SECOND),
                ("coverage", history["coverage"], THIRD),
                ("near-duplicates", history["near_duplicates"], MUTED),
            ],
        )
        sketch.axes.set_ylabel("share")
    return sketch.svg


def energy(history: dict[str, list[float]]) -> str:
    """Energy score by epoch, the measure that training stops by."""
    with drawing("energy", WIDTH, HEIGHT, "Energy score of the generated vectors by epoch") as sketch:
        _lines(sketch.axes, [("", history["energy_score"], ACCENT)])
        sketch.axes.set_ylabel("energy score (lower is better)")
    return sketch.svg


def model_bars(models: Sequence[ModelResult], metric: str) -> str:
    """One metric of all models."""
    values = {model.name: model.metrics[metric] for model in models}
    return _bars(f"bars-{metric.replace('@', '-')}", values, f"{metric} of each recommender")


def cold_bars(cold: ColdStart) -> str:
    """NDCG of the rankings of hidden items."""
    values = dict(sorted(cold.ndcg.items(), key=lambda entry: entry[1]))
    return _bars("cold", values, f"NDCG@{cold.cutoff} on items without any rating")


def difference_intervals(differences: Sequence[Difference]) -> str:
    """Mean difference to each other model, with its interval."""
    label = f"Difference in {differences[0].metric} between Generative and the others"
    with drawing("differences", WIDTH, 0.6 + BAR_HEIGHT * len(differences), label) as sketch:
        axes = sketch.axes
        axes.axvline(0, color=MUTED, linewidth=1)
        for place, difference in enumerate(differences):
            colour = ACCENT if difference.clear else QUIET
            axes.plot([difference.low, difference.high], [place, place], color=colour, linewidth=2.4)
            axes.plot(difference.mean, place, "o", color=colour, markersize=6)
        axes.set_yticks(range(len(differences)), [f"vs {difference.other}" for difference in differences])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(len(differences) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(f"difference in {differences[0].metric}")
    return sketch.svg


def map_of_vectors(found: VectorMap) -> str:
    """Real items, generated vectors, and those of one user, on two principal components."""
    label = "Map of real item vectors and generated vectors"
    with drawing("map", 6.4, 4.6, label) as sketch:
        axes = sketch.axes
        # Few sizes: a point of a size seen before is a reference in the file, of a new size a path.
        share = np.sqrt(found.popularity / max(found.popularity.max(), 1))
        for step in range(POINT_SIZES):
            chosen = np.minimum((share * POINT_SIZES).astype(int), POINT_SIZES - 1) == step
            named = "real items (size: popularity)" if step == POINT_SIZES // 2 else None
            _points(axes, found.real[chosen], 4 + 9 * step, named, color=QUIET, alpha=0.55, linewidths=0)
        _points(axes, found.generated, 7, "generated, for other users", color=SECOND, alpha=0.5, linewidths=0)
        mine = f"items of user {found.user}"
        _points(axes, found.user_items, 26, mine, facecolors="none", edgecolors=INK, linewidths=0.9)
        mine = f"generated, for user {found.user}"
        _points(axes, found.user_generated, 16, mine, color=ACCENT, edgecolors=SURFACE, linewidths=0.4)
        axes.set_xlabel("first principal component")
        axes.set_ylabel("second")
        axes.set_xticklabels([])
        axes.set_yticklabels([])
        sketch.figure.legend(loc="outside lower center", ncols=2, handletextpad=0.2, columnspacing=1.2)
    return sketch.svg


def feedback_curve(curves: Sequence[FeedbackCurve], metric: str, label: str, control: str | None = None) -> str:
    """Draw a metric by round, from round 0 where it has a value before any feedback, and the first run's control."""
    name = "feedback-" + "".join(letter for letter in metric if letter.isalnum())
    with drawing(name, WIDTH, HEIGHT, f"{label} by round of feedback") as sketch:
        shown = [
            (f"{curve.name} learn", curve, metric, colour)
            for curve, colour in zip(curves, (SECOND, ACCENT), strict=True)
        ]
        if control is not None:
            shown.append(("nothing learns", curves[0], control, QUIET))
        for text, curve, key, colour in shown:
            values = [done[key] for done in curve.rounds]
            before = [curve.baseline[key]] if key in curve.baseline else []
            rounds = range(1 - len(before), 1 + len(values))
            sketch.axes.plot(rounds, before + values, "o-", color=colour, markersize=4, label=text)
        if metric == "hit_rate":
            sketch.axes.set_ylim(0, 1)
        sketch.axes.set_xlabel("round")
        sketch.axes.set_ylabel(label)
        sketch.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        sketch.figure.legend(loc="outside upper left", ncols=2)
    return sketch.svg


def list_change(story: UserStory) -> str:
    """One user's list before and after feedback, what stayed joined by a line."""
    n = max(len(story.before), len(story.after))
    label = f"List of user {story.user} before and after feedback"
    with drawing("list", 6.4, 0.7 + 0.27 * n, label) as sketch:
        axes = sketch.axes
        after = {item.title: rank for rank, item in enumerate(story.after)}
        for rank, item in enumerate(story.before):
            if item.title in after:
                axes.plot([0, 1], [rank, after[item.title]], color=GRID, linewidth=1.6, zorder=1)
        _list_column(axes, story.before, 0, new=set())
        kept = {item.title for item in story.before}
        _list_column(axes, story.after, 1, new={title for title in after if title not in kept})
        axes.text(-0.22, -1.0, "before", ha="right", va="center", color=MUTED)
        axes.text(1.22, -1.0, "after", ha="left", va="center", color=MUTED)
        axes.set_xlim(-1.5, 2.5)
        axes.set_ylim(n - 0.4, -1.5)
        axes.set_axis_off()
    return sketch.svg


def _points(axes: Axes, points: npt.NDArray[np.float64], size: float, label: str | None, **style: Any) -> None:
    axes.scatter(points[:, 0], points[:, 1], s=size, label=label, **style)


def _list_column(axes: Axes, items: Sequence[ListedItem], x: int, new: set[str]) -> None:
    """Draw a dot and a title per place: filled if liked, in the accent colour if new."""
    side, align = (-1, "right") if x == 0 else (1, "left")
    for rank, item in enumerate(items):
        colour = ACCENT if item.title in new else INK
        axes.plot(
            x, rank, "o", markersize=6, markeredgecolor=colour, zorder=2,
            markerfacecolor=colour if item.liked else SURFACE,
        )  # fmt: skip
        axes.text(x + 0.13 * side, rank, str(rank + 1), ha="center", va="center", color=MUTED)
        axes.text(x + 0.22 * side, rank, _shortened(item.title), ha=align, va="center", color=colour)


def _lines(axes: Axes, lines: Sequence[tuple[str, Sequence[float], str]]) -> None:
    """Curves by epoch, counted from 1."""
    for label, values, colour in lines:
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, label=label, marker="o", markersize=2.5)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if any(label for label, _, _ in lines):
        axes.get_figure().legend(loc="outside upper left", ncols=2)  # type: ignore[union-attr]


def _bars(name: str, values: dict[str, float], label: str) -> str:
    """Horizontal bars with their values, the product's own in the accent colour."""
    colours = {GENERATIVE: ACCENT, WITHOUT_GAN: SECOND}
    with drawing(name, WIDTH, 0.25 + BAR_HEIGHT * len(values), label) as sketch:
        axes = sketch.axes
        places = range(len(values))
        bars = axes.barh(places, list(values.values()), height=0.62, color=[colours.get(key, QUIET) for key in values])
        axes.bar_label(bars, [_figure(value) for value in values.values()], padding=4, color=INK)
        axes.set_yticks(places, list(values))
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_xlim(0, 1.16 * max(values.values()))
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
    return sketch.svg


def _figure(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def _shortened(title: str) -> str:
    return title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1].rstrip() + "…"
