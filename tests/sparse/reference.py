"""The canonical sparse score in plain Python floats: the oracle of the sparse tests."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix


def _canonical(row: dict[int, float], metric: str) -> dict[int, float]:
    if metric == "cosine" or not row:
        return row
    total = 0.0
    for column in sorted(row):
        total += row[column]
    mean = min(max(total / len(row), min(row.values())), max(row.values()))
    return {column: value - mean for column, value in row.items()}


def _rows(matrix: csr_matrix, metric: str) -> list[dict[int, float]]:
    return [
        _canonical({int(c): float(v) for c, v in zip(row.indices, row.data, strict=True)}, metric) for row in matrix
    ]


def _dot(x: dict[int, float], y: dict[int, float]) -> float:
    total = 0.0
    for column in sorted(x.keys() & y.keys()):
        total += x[column] * y[column]
    return total


def topk(
    a: csr_matrix,
    b: csr_matrix,
    k: int | None,
    *,
    threshold: Any = None,
    metric: str = "cosine",
    shrink: float = 0.0,
    min_overlap: int = 1,
    exclude_self: bool = False,
) -> list[list[tuple[float, int]]]:
    """The (score, id) pairs of each row of `a`; matrices in canonical form."""
    dtype = np.float64 if np.float64 in (a.dtype, b.dtype) else np.float32
    left, right = _rows(a, metric), _rows(b, metric)
    thresholds = np.broadcast_to(-np.inf if threshold is None else threshold, len(left)).astype(dtype)
    result = []
    for i, x in enumerate(left):
        found = []
        for j, y in enumerate(right):
            if len(x.keys() & y.keys()) < min_overlap or (exclude_self and i == j):
                continue
            size = math.sqrt(_dot(x, x)) * math.sqrt(_dot(y, y)) + shrink
            score = dtype(0.0 if size == 0 else min(max(_dot(x, y) / size, -1.0), 1.0))
            if score >= thresholds[i]:
                found.append((-score, j))
        result.append([(-score, j) for score, j in sorted(found)[:k]])
    return result
