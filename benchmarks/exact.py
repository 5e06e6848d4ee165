"""What is right: float64 scores by plain NumPy, rounded to the float32 that results have; ties by id."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

CHUNK_BYTES = 1 << 27


class Hits(NamedTuple):
    """Ids of all queries one after another, and how many each has (CSR)."""

    indptr: Array
    ids: Array


def scores(queries: Array, items: Array) -> Array:
    """Return cosines, float32 of shape (queries, items), computed in float64 by chunks of items."""
    found = np.empty((len(queries), len(items)), np.float32)
    wide = queries.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1)[:, None]
    for part in chunks(items):
        rows = items[part].astype(np.float64)
        found[:, part] = wide @ rows.T / (norms * np.linalg.norm(rows, axis=1))
    return found


def chunks(items: Array) -> Iterator[slice]:
    """Cut the rows into slices that stay small as float64."""
    step = max(1, CHUNK_BYTES // (8 * items.shape[1]))
    for start in range(0, len(items), step):
        yield slice(start, min(start + step, len(items)))


def topk(queries: Array, items: Array, k: int) -> Array:
    """Return ids, shape (queries, k): score descending, then id ascending."""
    return np.stack([_best(row, k) for row in scores(queries, items)])


def _best(row: Array, k: int) -> Array:
    last = np.partition(row, -k)[-k]
    candidates = np.flatnonzero(row >= last)  # more than k where the last score is shared
    return candidates[np.argsort(-row[candidates], kind="stable")][:k]


def recall(found: Iterable[Array], expected: Collection[Array]) -> float:
    """Return the share of the expected ids that were found, whatever their order."""
    hits = [len(np.intersect1d(mine, right)) for mine, right in zip(found, expected, strict=True)]
    return float(np.sum(hits) / sum(len(right) for right in expected))


def threshold_for(scores: Array, hits: int) -> float:
    """Return a threshold that ``hits`` scores reach (all of a shared score), half-way to the next lower one."""
    flat = scores.ravel()
    if hits == 0:
        return float(flat.max()) + 0.01
    ranked = np.partition(flat, (-hits - 1, -hits))
    return (float(ranked[-hits]) + float(ranked[-hits - 1])) / 2


def right_hits(scores: Array, threshold: float) -> Hits:
    """Return the hits by exact scores: score descending, then id ascending."""
    reached = [np.flatnonzero(row >= np.float32(threshold)) for row in scores]
    ids = [each[np.argsort(-row[each], kind="stable")] for row, each in zip(scores, reached, strict=True)]
    return Hits(indptr_of([len(each) for each in ids]), np.concatenate(ids))


def indptr_of(counts: Any) -> Array:
    """Return where each query's hits begin."""
    return np.concatenate([[0], np.cumsum(counts)])
