"""The whole contract of the kernels in plain NumPy and Python, bit for bit: the oracle of the tests.

The canonical score: eight float64 partial sums (lane l takes elements l, l+8, ...) advanced by fused multiply-adds,
added as ((0+4)+(2+6)) + ((1+5)+(3+7)); cosine is dot / (norm * norm), clipped to [-1, 1]; Pearson is the cosine of
rows minus their mean. Results are ordered by score descending, then id ascending.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aigc_fast import ThresholdHits, TopK

from .fma import Float64, fma

Array = npt.NDArray[Any]
Lists = Sequence[Sequence[int]]  # ids, a list a query

_LANES = 8
MISSING = (np.inf, -1)  # (negated score, id) of a slot without a result: nothing comes after it
# Integers of at most 16 bits, and the small floats, are exact in float32.
_FLOAT32_SCORES = ("float32", "float16", "bfloat16", "int8", "uint8", "int16", "uint16", "bool")


def score_dtype(*arrays: Array) -> type[np.float32 | np.float64]:
    return np.float32 if all(a.dtype.name in _FLOAT32_SCORES for a in arrays) else np.float64


def _add_lanes(lanes: Float64) -> Float64:
    with np.errstate(all="ignore"):
        a = [lanes[..., lane] for lane in range(_LANES)]
        return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))


def _in_lanes(rows: Float64) -> Float64:
    """(n, d) as (steps, n, 8), filled up with zeros."""
    count, dim = rows.shape
    steps = -(-dim // _LANES)
    padded = np.zeros((count, steps * _LANES))
    padded[:, :dim] = rows
    return np.ascontiguousarray(padded.reshape(count, steps, _LANES).swapaxes(0, 1))


def dots(queries: Float64, items: Float64, exact_products: bool) -> Float64:
    """Canonical dot products (n_queries, n_items).

    `exact_products`: of float32 values, where a * b + c rounds once without fusing.
    """
    sums = np.zeros((queries.shape[0], items.shape[0], _LANES))
    for q, x in zip(_in_lanes(queries), _in_lanes(items), strict=True):
        sums = sums + q[:, None] * x[None] if exact_products else fma(q[:, None], x[None], sums)
    return _add_lanes(sums)


def _squares(rows: Float64, exact_products: bool) -> Float64:
    sums = np.zeros((rows.shape[0], _LANES))
    for x in _in_lanes(rows):
        sums = sums + x * x if exact_products else fma(x, x, sums)
    return _add_lanes(sums)


def _means(rows: Float64) -> Float64:
    sums = np.zeros((rows.shape[0], _LANES))
    for x in _in_lanes(rows):
        sums = sums + x
    # Kept within the row's range, so that a constant row is exactly its own mean.
    return np.clip(_add_lanes(sums) / rows.shape[1], rows.min(axis=1), rows.max(axis=1))


class Rows(NamedTuple):
    """Rows as the canonical score sees them."""

    values: Float64  # zeros in rows that are not finite
    norms: Float64
    finite: npt.NDArray[np.bool_]
    exponents: npt.NDArray[np.int64]  # the row was divided by 2**exponent
    exact_products: bool  # among themselves and with other such rows


def canonical_rows(x: Array, metric: str = "cosine") -> Rows:
    exact = score_dtype(x) is np.float32
    values = x.astype(np.float64)
    count, dim = values.shape
    finite = np.isfinite(values).all(axis=1)
    values[~finite] = 0.0
    exponents = np.zeros(count, np.int64)
    if dim == 0:
        return Rows(values, np.zeros(count), finite, exponents, exact)
    if metric != "inner_product" and not exact:
        # Squares of such rows could leave float64; a power of two changes no cosine.
        largest = np.abs(values).max(axis=1)
        extreme = (largest > 0) & ((largest < 2.0**-400) | (largest > 2.0**400))
        exponents[extreme] = np.frexp(largest[extreme])[1] - 1
        with np.errstate(under="ignore"):
            values = np.ldexp(values, -exponents[:, None])
    if metric == "pearson":
        values = values - _means(values)[:, None]
        exact = False
    with np.errstate(over="ignore"):
        norms = np.sqrt(_squares(values, exact))
    return Rows(values, norms, finite, exponents, exact)


def scores(queries: Array, items: Array, metric: str = "cosine") -> Array:
    """All canonical scores in the dtype of scores, NaN where a row is not finite."""
    q, x = canonical_rows(queries, metric), canonical_rows(items, metric)
    dot = dots(q.values, x.values, q.exact_products and x.exact_products)
    if metric == "inner_product":
        result = dot
    else:
        with np.errstate(all="ignore"):
            quotient = dot / (q.norms[:, None] * x.norms[None])
        zero = (q.norms[:, None] == 0) | (x.norms[None] == 0)
        result = np.where(zero, 0.0, np.clip(quotient, -1.0, 1.0))
    result = np.where(q.finite[:, None] & x.finite[None], result, np.nan)
    with np.errstate(over="ignore", under="ignore"):
        return result.astype(score_dtype(queries, items))


def normalize(x: Array) -> tuple[Array, Array]:
    """Unit rows and norms."""
    rows = canonical_rows(x)
    divisors = np.where(rows.norms == 0, 1.0, rows.norms)
    with np.errstate(over="ignore", under="ignore"):
        unit = rows.values / divisors[:, None]
        norms = np.ldexp(rows.norms, rows.exponents)
        unit[~rows.finite], norms[~rows.finite] = np.nan, np.nan
        return unit.astype(score_dtype(x)), norms.astype(score_dtype(x))


def _rounded(value: float, dtype: type[np.float32 | np.float64]) -> float:
    with np.errstate(over="ignore", under="ignore"):
        return float(dtype(value))


def ranked(
    queries: Array,
    items: Array,
    *,
    threshold: Any = None,
    exclude: Lists | None = None,
    allow: Any = None,
    after: tuple[Any, Any] | None = None,
    metric: str = "cosine",
) -> list[list[tuple[float, int]]]:
    """Every (score, id) that each query may get, in order.

    `allow`: ids for all queries, or a list of lists, one a query. `threshold` and `after`: numbers, or one a query.
    """
    table = scores(queries, items, metric)
    dtype = score_dtype(queries, items)
    count = len(table)
    thresholds = np.broadcast_to(-np.inf if threshold is None else threshold, count)
    ends = None if after is None else [np.broadcast_to(part, count) for part in after]
    result = []
    for i, row in enumerate(table.tolist()):
        allowed = set(range(len(items)))
        if allow is not None:
            allowed &= set(allow[i] if len(allow) and np.ndim(allow[0]) else allow)
        if exclude is not None:
            allowed -= set(exclude[i])
        least = _rounded(thresholds[i], dtype)
        found = [(-row[j], j) for j in allowed if row[j] >= least]  # NaN reaches nothing
        if ends is not None:
            end = (-_rounded(ends[0][i], dtype), int(ends[1][i]))
            found = [pair for pair in found if pair > end and end != MISSING]
        result.append([(-negative, j) for negative, j in sorted(found)])
    return result


def topk(queries: Array, items: Array, k: int, **kwargs: Any) -> TopK:
    rows = [row[:k] for row in ranked(queries, items, **kwargs)]
    best = TopK(
        np.full((len(rows), k), -np.inf, score_dtype(queries, items)),
        np.full((len(rows), k), -1, np.int64),
        np.array([len(row) for row in rows], np.int64),
    )
    for i, row in enumerate(rows):
        best.scores[i, : len(row)] = [score for score, _ in row]
        best.ids[i, : len(row)] = [j for _, j in row]
    return best


def threshold(queries: Array, items: Array, at_least: Any, **kwargs: Any) -> ThresholdHits:
    rows = ranked(queries, items, threshold=at_least, **kwargs)
    return ThresholdHits(
        np.cumsum([0] + [len(row) for row in rows]).astype(np.int64),
        np.array([j for row in rows for _, j in row], np.int64),
        np.array([score for row in rows for score, _ in row], score_dtype(queries, items)),
    )
