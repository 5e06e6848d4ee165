"""Hypothesis strategies: matrices, filters and ways that reach the kernels' edges.

Hypothesis chooses the shape of a problem (sizes, kinds of rows, layout); the numbers come from a seeded generator.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from .ways import Way, all_ways

Array = npt.NDArray[Any]

METRICS = ("cosine", "inner_product", "pearson")
DTYPES = ("float32", "float64", "float16", "int8")

# 8 lanes of float64; 1, 8 and 16 lanes of float32, twice in a panel; and what lies beside each.
DIMS = st.one_of(st.sampled_from([1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65]), st.integers(1, 70))
LONG_DIMS = st.sampled_from([257, 1031])
# Register tiles of 4, 6 and 12 rows, blocks of 16 codes.
# No rows at all is a case of its own: the planner never scans it.
ITEM_COUNTS = st.one_of(
    st.sampled_from([1, 3, 4, 5, 6, 7, 11, 12, 13, 15, 16, 17, 24, 25, 63, 64, 65]), st.integers(1, 90)
)
# 1 to 4 queries have kernels of their own; panels of float32 are 1, 2, 8, 16 and 32 wide, those of int8 1, 4 and 12.
QUERY_COUNTS = st.one_of(
    st.integers(1, 5), st.sampled_from([0, 7, 8, 9, 11, 12, 13, 15, 16, 17, 24, 25, 31, 32, 33, 35])
)
BLOCK_ROWS = st.sampled_from([1, 2, 5, 12, 13, 16, 40])

FINITE_KINDS = ("integer", "normal", "duplicate", "ulp", "zero", "query", "huge", "tiny", "constant", "spike")
ROW_KINDS = (*FINITE_KINDS, "nan", "inf")


class Problem(NamedTuple):
    queries: Array
    items: Array
    metric: str

    def __repr__(self) -> str:
        q, x = self.queries, self.items
        shapes = f"{self.metric}, {q.dtype}{q.shape} strides {q.strides}, {x.dtype}{x.shape} strides {x.strides}"
        small = q.size + x.size <= 40
        return f"Problem({shapes}{f', queries {q.tolist()}, items {x.tolist()}' if small else ''})"


@np.errstate(over="ignore", under="ignore")
def _fill(rng: np.random.Generator, count: int, dim: int, kinds: tuple[str, ...], wide: bool, against: Array) -> Array:
    """Float64 rows of the given kinds, mixed; `wide`: magnitudes of float64, else of float32."""
    rows = rng.normal(size=(count, dim))
    huge = [1e17, 1e20, 1e30, 1.5e38] + ([1e150, 1e200, 1e300] if wide else [])
    tiny = [1e-17, 1e-20, 1e-30, 1e-42] + ([1e-150, 1e-200, 1e-310] if wide else [])
    for i, kind in enumerate(rng.choice(kinds, count)):
        row = rows[i]
        if kind == "integer":
            row[:] = rng.integers(-2, 3, dim)
        elif kind in ("duplicate", "ulp") and i:
            row[:] = rows[rng.integers(i)]
            if kind == "ulp":
                at = rng.integers(dim)
                row[at] = np.nextafter(row[at], 10) if wide else np.nextafter(np.float32(row[at]), np.float32(10))
        elif kind == "query" and len(against):
            row[:] = against[rng.integers(len(against))] * rng.choice([-4.0, 0.5, 1.0, 3.0])
        elif kind == "zero":
            row[:] = 0
        elif kind in ("huge", "tiny"):
            row *= rng.choice(huge if kind == "huge" else tiny)
        elif kind == "constant":
            row[:] = rng.choice([1.0, 0.1, -3e5]) * (1 + row * rng.choice([0, 1e-3, 1e-7, 1e-12]))
        elif kind == "spike":
            row[rng.integers(dim)] *= 1e6
        elif kind in ("nan", "inf"):
            row[rng.integers(dim)] = np.nan if kind == "nan" else rng.choice([np.inf, -np.inf])
    return rows


def as_dtype(rows: Array, dtype: str) -> Array:
    with np.errstate(all="ignore"):
        if dtype == "float16":
            return np.clip(rows, -6e4, 6e4).astype(np.float16)  # NaN stays, infinities do not
        if dtype == "int8":
            return np.clip(np.rint(np.nan_to_num(rows)), -128, 127).astype(np.int8)
        return rows.astype(dtype)


LAYOUTS = (
    "C",
    "F",
    "row step",
    "column step",
    "rows reversed",
    "columns reversed",
    "wide rows",
    "unaligned",
    "read-only",
)


def laid_out(x: Array, layout: str) -> Array:
    """A copy of x with the same content and another layout in memory."""
    rows, dim = x.shape
    if layout == "F":
        return np.asfortranarray(x)
    if layout == "row step":
        view = np.zeros((rows * 2, dim), x.dtype)[::2]
    elif layout == "column step":
        view = np.zeros((rows, dim * 3), x.dtype)[:, ::3]
    elif layout == "rows reversed":
        view = np.zeros((rows, dim), x.dtype)[::-1]
    elif layout == "columns reversed":
        view = np.zeros((rows, dim), x.dtype)[:, ::-1]
    elif layout == "wide rows":
        view = np.zeros((rows, dim + 3), x.dtype)[:, 1 : dim + 1]
    elif layout == "unaligned":
        view = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(rows, dim)
    else:
        view = np.zeros((rows, dim), x.dtype)
    view[...] = x
    view.flags.writeable = layout != "read-only"
    return view


@st.composite
def problems(
    draw: st.DrawFn,
    *,
    metrics: tuple[str, ...] = METRICS,
    dtypes: tuple[str, ...] = DTYPES,
    kinds: tuple[str, ...] = ROW_KINDS,
    dims: st.SearchStrategy[int] = DIMS,
    items: st.SearchStrategy[int] = ITEM_COUNTS,
    queries: st.SearchStrategy[int] = QUERY_COUNTS,
    layouts: tuple[str, ...] = LAYOUTS,
) -> Problem:
    dim, query_count, item_count = draw(dims), draw(queries), draw(items)
    item_dtype = draw(st.sampled_from(dtypes))
    query_dtype = draw(st.one_of(st.just(item_dtype), st.sampled_from(dtypes)))
    some_kinds = tuple(draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4, unique=True)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    q = _fill(rng, query_count, dim, some_kinds, query_dtype == "float64", np.empty((0, dim)))
    x = _fill(rng, item_count, dim, some_kinds, item_dtype == "float64", q)
    return Problem(
        laid_out(as_dtype(q, query_dtype), draw(st.sampled_from(layouts))),
        laid_out(as_dtype(x, item_dtype), draw(st.sampled_from(layouts))),
        draw(st.sampled_from(metrics)),
    )


@st.composite
def ways(draw: st.DrawFn) -> list[Way]:
    """Every instruction set, directly and by each scan, with one choice of threads, block size and sample."""
    return all_ways(draw(st.integers(1, 3)), draw(BLOCK_ROWS), draw(st.sampled_from([0, 0, 2, 3])))


def counts_around(count: int) -> st.SearchStrategy[int]:
    """Values of k: small ones, those around the number of items, and more."""
    return st.one_of(st.integers(0, 5), st.sampled_from(sorted({max(count - 1, 0), count, count + 1, 2 * count + 70})))
