"""The CUDA kernels on the PTX simulator: every result has the bits of the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aigc_fast import cosine_similarity, cosine_threshold, cosine_topk, normalize
from kernels.checks import assert_same_bits, assert_same_results
from ptxsim import kernel_names

from .device import METRICS, CodedDevice, Device, ptx

DTYPES = ("float32", "float64", "float16", "int8")


def rows(seed: int, count: int, dim: int, dtype: str = "float32", odd: bool = True) -> Any:
    """Rows of all kinds: ties, zeros, extremes, NaN and infinities."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, dim)) * 30
    if odd and count > 12:
        x[3], x[5] = 0, x[4]
        x[6] = rng.integers(-2, 3, dim)
        x[7:9] = x[4] * 0.5
        x[9] = 2.5
        if dtype != "int8":
            wide = dtype == "float64"
            x[1, dim // 2], x[2, 0] = np.nan, np.inf
            if dtype != "float16":
                x[10] *= 1e300 if wide else 1e30
                x[11] *= 1e-300 if wide else 1e-35
    with np.errstate(all="ignore"):
        return np.clip(x, -127, 127).astype(np.int8) if dtype == "int8" else x.astype(dtype)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_topk(dtype: str, metric: str) -> None:
    q, x = rows(1, 3, 19, dtype, odd=False), rows(2, 150, 19, dtype)
    q[1] = x[4]
    device = Device(seed=len(metric))
    assert_same_results(device.topk(q, x, 9, metric=metric), cosine_topk(q, x, 9, metric=metric))


@pytest.mark.parametrize("count", [1, 8, 9, 65])
def test_panels_of_queries(count: int) -> None:
    q, x = rows(3, count, 16, odd=False), rows(4, 140, 16)
    assert_same_results(Device().topk(q, x, 3), cosine_topk(q, x, 3))


def test_waves() -> None:
    """Six tiles in waves of 1, 2 and 3: a cutoff from each wave holds for the next."""
    q, x = rows(5, 2, 33, odd=False), rows(6, 700, 33)
    device = Device(seed=1)
    assert_same_results(device.topk(q, x, 4, spare=128, growth=3), cosine_topk(q, x, 4))
    assert device.overflows == 0


def test_waves_with_more_candidates_than_room_are_done_again() -> None:
    q = rows(7, 2, 8, odd=False)
    x = np.outer(np.linspace(1, 2, 640), q[0]).astype(np.float32) + rows(8, 640, 8, odd=False) / 100
    # Each wave of the inner product with longer and longer rows displaces all that came before.
    order = [tile * 2 % 5 for tile in range(5)]
    x = np.concatenate([np.sort(x, axis=0)[128 * i : 128 * i + 128] for i in np.argsort(order)])
    device = Device(seed=2)
    top = device.topk(q, x, 20, metric="inner_product", spare=128, growth=5)
    assert_same_results(top, cosine_topk(q, x, 20, metric="inner_product"))
    assert device.overflows > 0


def test_ties_by_the_hundred() -> None:
    x = np.ones((700, 5), np.float32)
    assert_same_results(Device().topk(x[:2], x, 30, spare=128), cosine_topk(x[:2], x, 30))


@pytest.mark.parametrize(("count", "k"), [(5, 9), (5, 5), (5, 0), (0, 3), (129, 129)])
def test_edges_of_k(count: int, k: int) -> None:
    q, x = rows(9, 2, 7, odd=False), rows(10, count, 7, odd=False)
    assert_same_results(Device().topk(q, x, k), cosine_topk(q, x, k))


def test_queries_that_are_not_finite() -> None:
    q, x = rows(11, 13, 6), rows(12, 50, 6)
    assert_same_results(Device().topk(q, x, 5), cosine_topk(q, x, 5))


def test_rows_without_columns() -> None:
    q, x = np.zeros((2, 0), np.float32), np.zeros((5, 0), np.float32)
    assert_same_results(Device().topk(q, x, 3), cosine_topk(q, x, 3))


def test_filters() -> None:
    q, x = rows(13, 3, 10, odd=False), rows(14, 150, 10)
    indptr, ids = np.array([0, 3, 3, 7]), np.array([4, 5, 90, 0, 20, 21, 149])
    first = cosine_topk(q, x, 4)
    everything = {
        "exclude": (indptr, ids),
        "allow": np.arange(150) % 3 > 0,
        "threshold": np.array([-0.5, 0.2, 0.4]),
        "after": (first.scores[:, -1], first.ids[:, -1]),
    }
    device = Device()
    for filters in (everything, {"allow": (indptr, ids)}):
        assert_same_results(device.topk(q, x, 9, **filters), cosine_topk(q, x, 9, **filters))
    thresholds, exclude = everything["threshold"], (indptr, ids)
    expected = cosine_threshold(q, x, thresholds, exclude=exclude)
    assert_same_results(device.threshold(q, x, thresholds, exclude=exclude), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
def test_threshold(metric: str, dtype: str) -> None:
    q, x = rows(15, 2, 12, dtype, odd=False), rows(16, 150, 12, dtype)
    thresholds = np.array([0.1, -np.inf])
    expected = cosine_threshold(q, x, thresholds, metric=metric)
    assert_same_results(Device().threshold(q, x, thresholds, metric=metric), expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_similarity(dtype: str, metric: str) -> None:
    q, x = rows(17, 14, 21, dtype), rows(18, 35, 21, dtype)
    assert_same_bits(Device().similarity(q, x, metric), cosine_similarity(q, x, metric=metric), "scores")


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize(dtype: str) -> None:
    x = rows(19, 40, 13, dtype)
    for name, actual, expected in zip(
        ("rows", "norms"), Device().normalize(x), normalize(x, return_norms=True), strict=True
    ):
        assert_same_bits(actual, expected, name)


ELEMENTS = {"f32": "float32", "f64": "float64", "f16": "float16", "bf16": "bfloat16", "i8": "int8"}


@pytest.mark.parametrize("element", ELEMENTS)
def test_every_kernel(element: str) -> None:
    """By the interpreter: all kernels of a type of elements, and those that all types share."""
    if element == "bf16":
        pytest.importorskip("ml_dtypes")  # NumPy's bfloat16
    q, x = rows(22, 9, 5, ELEMENTS[element], odd=False), rows(23, 40, 5, ELEMENTS[element])
    plain, few, tensor = Device(), CodedDevice(), CodedDevice(tensor=True)
    for device, counts in ((plain, (1, 9)), (few, (1, 2)), (tensor, (2,))):
        for count in counts:
            assert_same_results(device.topk(q[:count], x, 5), cosine_topk(q[:count], x, 5))
    assert_same_results(tensor.threshold(q[:2], x, 0.2), cosine_threshold(q[:2], x, 0.2))
    assert_same_bits(plain.similarity(q[:2], x, "cosine"), cosine_similarity(q[:2], x), "scores")
    assert_same_bits(plain.normalize(x)[0], normalize(x), "rows")
    type_of = {"sort_hits": "f64" if element == "f64" else "f32"}
    parts = [(name, *name.rpartition("_")[::2]) for name in kernel_names(ptx())]
    own = {name for name, what, of in parts if of not in ELEMENTS or of == type_of.get(what, element)}
    assert plain.launched | few.launched | tensor.launched == own


def test_mixed_types() -> None:
    q, x = rows(20, 3, 11, "float64", odd=False), rows(21, 200, 11)
    assert_same_results(Device().topk(q, x, 5), cosine_topk(q, x, 5))
