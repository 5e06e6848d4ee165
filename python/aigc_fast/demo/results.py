"""What a run found out, and the files that keep it."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_fast import TopK
from aigc_fast.data import Ratings
from aigc_fast.recommender.ranking import Fusion

REPORT_NAME, LISTS_NAME, METRICS_NAME = "report.html", "lists.csv", "metrics.json"

#: Name under which the product itself stands in the tables.
GENERATIVE = "Generative"
#: The same without its generator: what the GAN adds is the difference to this row.
WITHOUT_GAN = "Profile, no GAN"
RANDOM_ORDER = "random order"


@dataclass
class ModelResult:
    """One row of the comparison."""

    name: str
    about: str
    fit_seconds: float
    recommend_seconds: float
    metrics: dict[str, float]


@dataclass
class Difference:
    """Mean difference of a metric between the generative recommender and another, over the users, with its interval."""

    other: str
    metric: str
    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


@dataclass
class Candidate:
    """One choice of parameters and its figures on the validation part."""

    fusion: Fusion
    n_vectors: int
    metrics: dict[str, float]


@dataclass
class FeedbackCurve:
    """One run of the feedback loop."""

    name: str
    baseline: dict[str, float]
    rounds: list[dict[str, float]]
    answers: list[int]
    stopped: str


@dataclass
class ListedItem:
    """One place of a shown list."""

    title: str
    liked: bool  # in ratings that the model never sees


@dataclass
class UserStory:
    """One user's list before and after feedback."""

    user: str
    history: list[str]
    before: list[ListedItem]
    after: list[ListedItem]
    answers: list[str]


@dataclass
class ColdStart:
    """Ranking of items that training never saw."""

    n_items: int
    n_users: int
    cutoff: int
    ndcg: dict[str, float]


@dataclass
class VectorMap:
    """Vectors on the plane of the two strongest principal components of the real ones."""

    real: npt.NDArray[np.float64]
    popularity: npt.NDArray[np.float64]
    generated: npt.NDArray[np.float64]
    user_generated: npt.NDArray[np.float64]
    user_items: npt.NDArray[np.float64]
    user: str
    explained: float


@dataclass
class DemoResult:
    """Everything the report shows."""

    title: str
    licence: str | None
    counts: dict[str, int]
    parameters: dict[str, Any]
    environment: dict[str, str]
    models: list[ModelResult]
    differences: list[Difference]
    candidates: list[Candidate]
    chosen: Candidate
    history: dict[str, list[float]]
    feedback: list[FeedbackCurve]
    story: UserStory | None
    cold_start: ColdStart | None
    vector_map: VectorMap
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_mib: float = math.nan

    def model(self, name: str) -> ModelResult:
        """Return the row of this name."""
        return next(model for model in self.models if model.name == name)

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain values; NaN becomes None, which JSON can hold."""
        figures = {
            "data": {"title": self.title, **self.counts},
            "parameters": self.parameters,
            "environment": self.environment,
            "models": [vars(model) for model in self.models],
            "differences": [vars(difference) for difference in self.differences],
            "validation": [vars(candidate) for candidate in self.candidates],
            "chosen": vars(self.chosen),
            "training": self.history,
            "feedback": [vars(curve) for curve in self.feedback],
            "cold_start": None if self.cold_start is None else vars(self.cold_start),
            "seconds": self.seconds,
            "peak_memory_mib": self.peak_memory_mib,
        }
        return _without_nan(figures)  # type: ignore[no-any-return]


def lists_as_csv(ratings: Ratings, lists: TopK, rows: npt.NDArray[np.int64]) -> str:
    """Return lists as CSV: user, rank, item, title (empty where unknown), score; list i belongs to user ``rows[i]``."""
    titles = None if ratings.items is None else ratings.items.titles
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["user", "rank", "item", "title", "score"])
    for row, ids, scores, count in zip(rows, lists.ids, lists.scores, lists.counts, strict=True):
        for rank in range(count):
            item = ids[rank]
            title = "" if titles is None else titles[item]
            writer.writerow([ratings.user_ids[row], rank + 1, ratings.item_ids[item], title, f"{scores[rank]:.6f}"])
    return text.getvalue()


def write_metrics(path: Path, result: DemoResult) -> None:
    """Write all figures as JSON."""
    write_text(path, json.dumps(result.as_json(), indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    if isinstance(value, np.generic):
        return _without_nan(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
