"""The report: one self-contained HTML file with figures, tables and a reading of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from aigc_fast.demo import plots
from aigc_fast.demo.comparison import CUTOFFS, DECISIVE_METRIC
from aigc_fast.demo.results import GENERATIVE, LISTS_NAME, METRICS_NAME, WITHOUT_GAN, DemoResult, write_text

TEMPLATE = "report.html.j2"

ACCURACY, BEYOND = ("P", "R", "NDCG", "MRR"), ("Coverage", "Diversity", "Novelty")
#: Metrics that have a figure of bars.
BAR_METRICS = {
    "NDCG@20": "Ranking quality (NDCG@20)",
    "P@5": "Precision of the first five (P@5)",
    "Coverage@20": "Share of the catalogue recommended (Coverage@20)",
    "Novelty@20": "Novelty in bits (Novelty@20)",
}


@dataclass(frozen=True)
class Table:
    """A table of figures; the best of each column is set off."""

    columns: list[str]
    rows: list[tuple[str, str, list[str]]]  # name, description, cells
    best: list[set[int]]  # for each column the rows with the best value


def write_report(path: Path, result: DemoResult) -> None:
    """Write the report, whole or not at all."""
    write_text(path, render(result))


def render(result: DemoResult) -> str:
    """Return the report as HTML. It refers to nothing outside itself."""
    environment = Environment(
        loader=PackageLoader("aigc_fast.demo"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        result=result,
        product=GENERATIVE,
        key_figures=key_figures(result),
        findings=findings(result),
        tables=[(f"Metrics at {n}", metric_table(result, n)) for n in CUTOFFS],
        cost=cost_table(result),
        candidates=candidate_table(result),
        decisive=DECISIVE_METRIC,
        figures={name: Markup(svg) for name, svg in figures(result).items()},
        bar_titles=BAR_METRICS,
        seconds_of_steps=[
            *((step, f"{seconds:.1f} s") for step, seconds in result.seconds.items()),
            ("peak memory", f"{result.peak_memory_mib:,.0f} MiB"),
        ],
        files=(LISTS_NAME, METRICS_NAME),
    )


def figures(result: DemoResult) -> dict[str, str]:
    """Draw all figures, by name."""
    drawn = {metric: plots.model_bars(result.models, metric) for metric in BAR_METRICS}
    drawn |= {
        "differences": plots.difference_intervals(result.differences),
        "losses": plots.losses(result.history),
        "quality": plots.generated_quality(result.history),
        "energy": plots.energy(result.history),
        "map": plots.map_of_vectors(result.vector_map),
        "hit_rate": plots.feedback_curve(result.feedback, "hit_rate", "hit rate of the round's lists"),
        "feedback_test": plots.feedback_curve(result.feedback, f"test {DECISIVE_METRIC}", f"{DECISIVE_METRIC} on test"),
    }
    if result.story:
        drawn["list"] = plots.list_change(result.story)
    if result.cold_start:
        drawn["cold"] = plots.cold_bars(result.cold_start)
    return drawn


def metric_table(result: DemoResult, cutoff: int) -> Table:
    """All metrics at one cutoff; more is better in each of them."""
    names = [f"{name}@{cutoff}" for name in (*ACCURACY, *BEYOND)]
    values = [[model.metrics[name] for name in names] for model in result.models]
    rows = [
        (model.name, model.about, [_figure(value) for value in line])
        for model, line in zip(result.models, values, strict=True)
    ]
    best = [{row for row, value in enumerate(column) if value == max(column)} for column in zip(*values, strict=True)]
    return Table(names, rows, best)


def cost_table(result: DemoResult) -> Table:
    """Seconds of fitting and of recommending for all users."""
    rows = [
        (model.name, model.about, [f"{model.fit_seconds:.2f}", f"{model.recommend_seconds:.2f}"])
        for model in result.models
    ]
    return Table(["fit, s", "lists, s"], rows, [set(), set()])


def candidate_table(result: DemoResult) -> Table:
    """Choices of parameters and their figures on validation, best first."""
    names = [DECISIVE_METRIC, "P@5", "Coverage@20"]
    ordered = sorted(result.candidates, key=lambda candidate: -candidate.metrics[DECISIVE_METRIC])
    rows = [
        (
            f"{candidate.n_vectors} vectors, {candidate.fusion}",
            f"popularity exponent {candidate.popularity:g}",
            [_figure(candidate.metrics[name]) for name in names],
        )
        for candidate in ordered
    ]
    return Table(names, rows, [{0}, set(), set()])


def key_figures(result: DemoResult) -> list[tuple[str, str, str]]:
    """Return the figures at the top: value, name, what to compare it with."""
    ours, item = result.model(GENERATIVE).metrics, result.model("ItemKNN").metrics
    last = result.feedback[-1]
    test = f"test {DECISIVE_METRIC}"
    return [
        (_figure(ours["P@5"]), "precision of the first five", f"ItemKNN {_figure(item['P@5'])}"),
        (_figure(ours[DECISIVE_METRIC]), DECISIVE_METRIC, f"ItemKNN {_figure(item[DECISIVE_METRIC])}"),
        (f"{ours['Coverage@20']:.0%}", "of the catalogue recommended", f"ItemKNN {item['Coverage@20']:.0%}"),
        (
            f"{last.rounds[-1][test] / last.baseline[test] - 1:+.0%}",
            f"{DECISIVE_METRIC} after feedback",
            f"{len(last.rounds)} rounds, {sum(last.answers):,} answers",
        ),
    ]


def findings(result: DemoResult) -> list[str]:
    """Say what the figures say, in sentences that follow from them and nothing else."""
    ours = result.model(GENERATIVE).metrics
    said = [_against(result, difference.other) for difference in result.differences]
    item = result.model("ItemKNN").metrics
    wider = ours["Coverage@20"] / item["Coverage@20"] - 1
    said.append(
        f"Its lists of 20 cover {ours['Coverage@20']:.1%} of the catalogue, "
        f"{abs(wider):.0%} {'more' if wider >= 0 else 'less'} than ItemKNN, at a novelty of "
        f"{ours['Novelty@20']:.2f} bits against {item['Novelty@20']:.2f}."
    )
    test = f"test {DECISIVE_METRIC}"
    ends = {curve.name: curve.rounds[-1][test] for curve in result.feedback}
    (profiles, with_profiles), (both, with_both) = ends.items()
    better = both if with_both > with_profiles else profiles
    said.append(
        f"Feedback helps: {DECISIVE_METRIC} on test goes from {result.feedback[0].baseline[test]:.3f} to "
        f"{with_profiles:.3f} when only profiles learn, and to {with_both:.3f} when the generator is fine-tuned, too; "
        f"here {'fine-tuning adds to it' if better == both else 'fine-tuning on so few answers does not pay'}."
        if max(ends.values()) > result.feedback[0].baseline[test]
        else f"Feedback did not help here: {DECISIVE_METRIC} on test stays below "
        f"{result.feedback[0].baseline[test]:.3f}."
    )
    if result.cold_start:
        ndcg = result.cold_start.ndcg
        said.append(
            f"For items without any rating, ranked by content alone, it reaches NDCG@{result.cold_start.cutoff} "
            f"{ndcg[GENERATIVE]:.3f}; the profile without GAN {ndcg[WITHOUT_GAN]:.3f}, "
            f"random order {ndcg['random order']:.3f}."
        )
    return said


def _against(result: DemoResult, other: str) -> str:
    difference = next(found for found in result.differences if found.other == other)
    interval = f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    if not difference.clear:
        relation = "is level with"
    else:
        relation = "ranks better than" if difference.mean > 0 else "ranks worse than"
    said = f"{GENERATIVE} {relation} {other} ({difference.metric} {interval})."
    if other == WITHOUT_GAN:
        meaning = (
            "the GAN improves accuracy here"
            if difference.clear and difference.mean > 0
            else "the accuracy comes from vectors and exact search, not from the GAN"
        )
        said += f" That row is the same search without the generator: {meaning}."
    return said


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"
