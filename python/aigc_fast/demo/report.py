"""The report: one self-contained HTML file with figures, tables and a reading of them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from aigc_fast.demo import plots
from aigc_fast.demo.ablation import ABLATION_NAME, Ablation, read_ablation
from aigc_fast.demo.ablation_table import BLEND_COLUMNS, QUALITY, blend_cells, cells, columns, quality_rows
from aigc_fast.demo.comparison import CUTOFFS, DECISIVE_METRIC
from aigc_fast.demo.pictures import PICTURES_NAME
from aigc_fast.demo.results import (
    GENERATIVE,
    LISTS_NAME,
    METRICS_NAME,
    RANDOM_ORDER,
    WITHOUT_GAN,
    DemoResult,
    Difference,
    write_text,
)
from aigc_fast.demo.studies import CONTROL_METRIC, TEST_METRIC

TEMPLATE = "report.html.j2"

ACCURACY, BEYOND = ("P", "R", "NDCG", "MRR", "MAP"), ("Coverage", "Diversity", "Novelty", "Gini")
LESS_IS_BETTER = "Gini"
#: Metrics that have a figure of bars.
BAR_METRICS = {
    "NDCG@20": "Ranking quality (NDCG@20)",
    "P@5": "Precision of the first five (P@5)",
    "Coverage@20": "Share of the catalogue recommended (Coverage@20)",
    "Novelty@20": "Novelty in bits (Novelty@20)",
    "Diversity@20": "Variety within a list (Diversity@20)",
}


@dataclass(frozen=True)
class Table:
    """A table of figures; the best of each column is set off."""

    columns: list[str]
    rows: list[tuple[str, str, list[str]]]  # name, description, cells
    best: list[set[int]]  # for each column the rows with the best value


def write_report(path: Path, result: DemoResult) -> None:
    """Write the report, whole or not at all; an ablation and pictures in the same folder become parts of it."""
    ablation, pictures = path.with_name(ABLATION_NAME), path.with_name(PICTURES_NAME)
    page = render(
        result,
        read_ablation(ablation) if ablation.exists() else None,
        pictures.read_bytes() if pictures.exists() else None,
    )
    write_text(path, page)


def render(result: DemoResult, ablation: Ablation | None = None, pictures: bytes | None = None) -> str:
    """Return the report as HTML, with the PNG of generated pictures. It refers to nothing outside itself."""
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
        newcomer_ratings=result.parameters["ratings known of a newcomer"],
        key_figures=key_figures(result),
        findings=findings(result),
        tables=[(f"Metrics at {n}", metric_table(result, n)) for n in CUTOFFS],
        cost=cost_table(result),
        candidates=candidate_table(result),
        generated=generated_table(result),
        pictures=None if pictures is None else base64.b64encode(pictures).decode(),
        ablation=[] if ablation is None else ablation_tables(ablation),
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
        "prdc": plots.resemblance(result.history),
        "energy": plots.energy(result.history),
        "map": plots.map_of_vectors(result.vector_map),
    }
    if result.feedback:
        drawn["hit_rate"] = plots.feedback_curve(result.feedback, "hit_rate", "hit rate of the round's lists")
        label = f"{DECISIVE_METRIC} on test"
        drawn["feedback_test"] = plots.feedback_curve(result.feedback, TEST_METRIC, label, CONTROL_METRIC)
    if result.story:
        drawn["list"] = plots.list_change(result.story)
    if result.cold_start:
        drawn["cold"] = plots.cold_bars(result.cold_start)
    return drawn


def metric_table(result: DemoResult, cutoff: int) -> Table:
    """All metrics at one cutoff, the best of each set off."""
    names = [f"{name}@{cutoff}" for name in (*ACCURACY, *BEYOND)]
    values = [[model.metrics[name] for name in names] for model in result.models]
    rows = [
        (model.name, model.about, [_figure(value) for value in line])
        for model, line in zip(result.models, values, strict=True)
    ]
    best = []
    for name, column in zip(names, zip(*values, strict=True), strict=True):
        champion = min(column) if name.startswith(LESS_IS_BETTER) else max(column)
        best.append({row for row, value in enumerate(column) if value == champion})
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
            f"{candidate.n_vectors} {'vector' if candidate.n_vectors == 1 else 'vectors'}",
            f"{candidate.fusion} of the cosines",
            [_figure(candidate.metrics[name]) for name in names],
        )
        for candidate in ordered
    ]
    return Table(names, rows, [{0}, set(), set()])


def generated_table(result: DemoResult) -> Table:
    """Measures of the vectors that the final model generates."""
    names = {
        "precision": "precision",
        "recall": "recall",
        "density": "density",
        "coverage": "coverage",
        "Fréchet": "frechet",
        "MMD²": "mmd",
        "effective rank": "effective_rank",
        "near-duplicates": "near_duplicates",
        "nearest real": "nearest_real",
    }
    kept = min(range(len(energy := result.history["energy_score"])), key=energy.__getitem__)
    cells = [_figure(result.history[name][kept]) for name in names.values()]
    return Table(list(names), [(f"epoch {kept + 1}", "the one kept", cells)], [set() for _ in names])


def ablation_tables(ablation: Ablation) -> list[tuple[str, str, Table]]:
    """Return caption, unit and figures of what each part adds, and of what each generator makes."""
    rows = [(row["model"], row["about"], cells(row)) for row in ablation.table()]
    whole = Table(columns(ablation), rows, [set() for _ in columns(ablation)])
    blends = [(row.model, "chosen by validation", blend_cells(row)) for row in ablation.against_linear()]
    blended = Table(list(BLEND_COLUMNS), blends, [set() for _ in BLEND_COLUMNS])
    made = Table(list(QUALITY), [(name, "", line) for name, line in quality_rows(ablation)], [set() for _ in QUALITY])
    seeds = f"{len(ablation.seeds)} seeds" if len(ablation.seeds) > 1 else "1 seed"
    return [
        (f"One part away at a time: means over {seeds}, ± their standard deviation", "recommender", whole),
        ("Blends with EASE, and EASE re-ranked for diversity, against EASE", "recommender", blended),
        ("What the generators make, against held-out vectors", "generator", made),
    ]


def key_figures(result: DemoResult) -> list[tuple[str, str, str]]:
    """Return the figures at the top: value, name, what to compare it with."""
    ours, item = result.model(GENERATIVE).metrics, result.model("ItemKNN").metrics
    figures = [
        (_figure(ours["P@5"]), "precision of the first five", f"ItemKNN {_figure(item['P@5'])}"),
        (_figure(ours[DECISIVE_METRIC]), DECISIVE_METRIC, f"ItemKNN {_figure(item[DECISIVE_METRIC])}"),
        (f"{ours['Coverage@20']:.0%}", "of the catalogue recommended", f"ItemKNN {item['Coverage@20']:.0%}"),
    ]
    if result.feedback:
        learned = max(result.feedback, key=lambda curve: curve.rounds[-1][TEST_METRIC])
        gain = learned.rounds[-1][TEST_METRIC] / learned.rounds[-1][CONTROL_METRIC] - 1
        rounds = f"newcomers, {len(learned.rounds)} rounds of ten items"
        figures.append((f"{gain:+.0%}".replace("-", "−"), f"{DECISIVE_METRIC} by learning from feedback", rounds))
    return figures


def findings(result: DemoResult) -> list[str]:
    """Say what the figures say, in sentences that follow from them and nothing else."""
    said = [_ranking(result), _ablation(result), _variety(result)]
    if result.feedback:
        said.append(_feedback(result))
    if result.cold_start:
        ndcg = result.cold_start.ndcg
        said.append(
            f"Items without any rating, ranked by their content: NDCG@{result.cold_start.cutoff} "
            f"{ndcg[GENERATIVE]:.3f} with the GAN, {ndcg[WITHOUT_GAN]:.3f} without, "
            f"{ndcg[RANDOM_ORDER]:.3f} in random order."
        )
    return said


def _ranking(result: DemoResult) -> str:
    """Place the product among the baselines."""
    places: dict[str, list[str]] = {"better than": [], "level with": [], "worse than": []}
    for difference in result.differences:
        if difference.other != WITHOUT_GAN:
            places[_relation(difference)].append(f"{difference.other} ({_interval(difference)})")
    parts = [f"{relation} {' and '.join(others)}" for relation, others in places.items() if others]
    return f"Measured by {DECISIVE_METRIC}, {GENERATIVE} ranks {'; '.join(parts)}."


def _ablation(result: DemoResult) -> str:
    """Say what the GAN itself is worth here."""
    difference = next(found for found in result.differences if found.other == WITHOUT_GAN)
    relation = _relation(difference)
    meaning = {
        "better than": "the GAN adds to the accuracy here",
        "level with": "the accuracy comes from the vectors and the exact search, and the GAN costs none of it",
        "worse than": "the accuracy comes from the vectors and the exact search, and the GAN costs some of it",
    }[relation]
    return (
        f"It ranks {relation} the same search with the GAN switched off, which looks for items near the user’s profile "
        f"itself ({_interval(difference)}): {meaning}."
    )


def _variety(result: DemoResult) -> str:
    ours, item = result.model(GENERATIVE).metrics, result.model("ItemKNN").metrics
    return (
        f"Its lists of 20 cover {ours['Coverage@20']:.1%} of the catalogue (ItemKNN {item['Coverage@20']:.1%}), "
        f"at a novelty of {ours['Novelty@20']:.2f} bits (ItemKNN {item['Novelty@20']:.2f})."
    )


def _feedback(result: DemoResult) -> str:
    learned, fine_tuned = (curve.rounds[-1][TEST_METRIC] for curve in result.feedback)
    start, control = result.feedback[0].baseline[TEST_METRIC], result.feedback[0].rounds[-1][CONTROL_METRIC]
    verdict = "adds to that" if fine_tuned > learned else "does not add to that"
    return (
        f"Feedback of newcomers takes their {DECISIVE_METRIC} on test from {start:.3f} to {learned:.3f} when the "
        f"profiles learn from it; leaving the answered items out gives {control:.3f} without any learning. "
        f"Fine-tuning the generator, too, {verdict} ({fine_tuned:.3f})."
    )


def _relation(difference: Difference) -> str:
    if not difference.clear:
        return "level with"
    return "better than" if difference.mean > 0 else "worse than"


def _interval(difference: Difference) -> str:
    numbers = f"{difference.mean:+.3f}, 95 % interval {difference.low:+.3f} to {difference.high:+.3f}"
    return numbers.replace("-", "−")


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"
