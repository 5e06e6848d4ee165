"""Bitwise comparison of results, with messages that say where they differ; and CSR from lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_fast import ThresholdHits, TopK


def assert_same_bits(actual: Any, expected: Any, name: str) -> None:
    """Same shape, dtype and bits; zeros differ by their signs, and any NaN equals any other."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, f"{name}: dtype {actual.dtype}, expected {expected.dtype}"
    assert actual.shape == expected.shape, f"{name}: shape {actual.shape}, expected {expected.shape}"
    same = actual == expected
    if expected.dtype.kind == "f":
        same = (same & (np.signbit(actual) == np.signbit(expected))) | (np.isnan(actual) & np.isnan(expected))
    if same.all():
        return
    wrong = np.argwhere(~same)
    shown = [
        f"  {name}{list(map(int, at))} = {_exactly(actual[tuple(at)])}, expected {_exactly(expected[tuple(at)])}"
        for at in wrong[:8]
    ]
    raise AssertionError("\n".join([f"{name}: {len(wrong)} of {same.size} differ", *shown]))


def _exactly(value: Any) -> str:
    return f"{value!r} ({float(value).hex()})" if isinstance(value, np.floating) else repr(value)


def assert_same_results(actual: TopK | ThresholdHits, expected: TopK | ThresholdHits) -> None:
    """Counts (or indptr) first, then ids, then scores: the first difference explains the others."""
    assert type(actual) is type(expected), f"{type(actual).__name__}, expected {type(expected).__name__}"
    order = ("counts", "ids", "scores") if isinstance(actual, TopK) else ("indptr", "ids", "scores")
    for name in order:
        assert_same_bits(getattr(actual, name), getattr(expected, name), name)


def id_lists(lists: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(indptr, ids) of one list a query."""
    indptr = np.cumsum([0] + [len(ids) for ids in lists]).astype(np.int64)
    return indptr, np.array([j for ids in lists for j in ids], np.int64)
