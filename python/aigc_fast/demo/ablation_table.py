"""The table of an ablation, for the report and as Markdown."""

from __future__ import annotations

from typing import Any

from aigc_fast.demo.ablation import COVERAGE_METRIC, DIVERSITY_METRIC, SHOWN, Ablation, AgainstLinear
from aigc_fast.demo.blends import LINEAR
from aigc_fast.demo.comparison import DECISIVE_METRIC
from aigc_fast.demo.results import GENERATIVE

QUALITY = ("precision", "recall", "coverage", "effective_rank", "pairwise_cosine", "nearest_real", "energy_score")


def columns(ablation: Ablation) -> list[str]:
    """Return the names of the columns of `cells`."""
    metrics = [metric for metric in SHOWN if metric in ablation.rows[0]]
    return [*metrics, f"{DECISIVE_METRIC}, against {GENERATIVE}", "p"]


def cells(row: dict[str, Any]) -> list[str]:
    """Return the figures of one row of `Ablation.table`."""
    found = [f"{row[metric]:.4f}" if row[metric] < 1 else f"{row[metric]:.2f}" for metric in SHOWN if metric in row]
    if row["spread"] is not None:
        found[SHOWN.index(DECISIVE_METRIC)] += f" ± {row['spread']:.4f}"
    if row["model"] == GENERATIVE:
        return [*found, "", ""]
    return [*found, *_test(row["difference"])]


BLEND_COLUMNS = (
    f"{DECISIVE_METRIC}, against {LINEAR}",
    "p",
    f"{DIVERSITY_METRIC}, against {LINEAR}",
    "p",
    f"{COVERAGE_METRIC}, against {LINEAR}",
    "weight, by seed",
    "trade-off, by seed",
)


def blend_cells(row: AgainstLinear) -> list[str]:
    """Return the figures of one row of `Ablation.against_linear`, one for each of `BLEND_COLUMNS`."""
    coverage = f"{sum(row.coverage) / len(row.coverage):+.4f} ({min(row.coverage):+.4f} to {max(row.coverage):+.4f})"
    chosen = [", ".join(f"{recipe[name]:g}" for recipe in row.recipes) for name in ("weight", "trade_off")]
    return [*_test(row.accuracy._asdict()), *_test(row.diversity._asdict()), coverage.replace("-", "−"), *chosen]


def _test(found: dict[str, float]) -> list[str]:
    """Return a paired difference with its interval, and its p."""
    interval = "{mean:+.4f} ({low:+.4f} to {high:+.4f})".format(**found).replace("-", "−")
    return [interval, f"{found['p_value']:.4f}"]


def quality_rows(ablation: Ablation) -> list[tuple[str, list[str]]]:
    """Return the means over the seeds of what each trained generator makes, one row for each generator."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(row["model"] for row in ablation.rows if "quality" in row):
        own = [row["quality"] for row in ablation.rows if row["model"] == name]
        line = [f"{sum(seed[measure] for seed in own) / len(own):.3f}" for measure in QUALITY]
        if line not in found.values():  # arms that differ in the ranking alone share their generator
            found[name] = line
    return list(found.items())


def markdown(ablation: Ablation) -> str:
    """Return the three tables as Markdown."""
    seeds = len(ablation.seeds)
    lines = [f"Means over {seeds} {'seed' if seeds == 1 else 'seeds'}, ± standard deviation over them.", ""]
    lines += _table(["", *columns(ablation)], [[row["model"], *cells(row)] for row in ablation.table()])
    blends = [[row.model, *blend_cells(row)] for row in ablation.against_linear()]
    lines += ["", *_table(["", *BLEND_COLUMNS], blends)]
    lines += ["", *_table(["generator", *QUALITY], [[name, *line] for name, line in quality_rows(ablation)])]
    return "\n".join(lines)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]
