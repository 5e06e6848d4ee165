"""The int8 scans on the PTX simulator: their bound holds, and every result has the bits of the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aigc_fast import cosine_threshold, cosine_topk
from kernels.checks import assert_same_results

from .device import METRICS, CodedDevice
from .structures import BLOCK, CODE_ROWS, QUERY_CODE, Codes, Search
from .test_kernels import DTYPES, rows

SCANS = {"few": False, "tensor": True}


def growing_rows(seed: int, tiles: int, dim: int) -> Any:
    """Tiles of rows of very different lengths, so that no tile's scale fits another."""
    lengths = np.repeat(2.0 ** (3 * (np.arange(tiles) * 2 % tiles)), 128)
    return (rows(seed, 128 * tiles, dim, odd=False) * lengths[:, None]).astype(np.float32)


TYPES = [("float32", metric) for metric in METRICS] + [(dtype, "cosine") for dtype in DTYPES[1:]]


@pytest.mark.parametrize(("dtype", "metric"), [*TYPES, ("float64", "pearson")])
def test_topk_for_few_queries(dtype: str, metric: str) -> None:
    q, x = rows(31, 3, 19, dtype, odd=False), rows(32, 150, 19, dtype)
    q[1] = x[4]
    device = CodedDevice(seed=len(metric))
    assert_same_results(device.topk(q, x, 9, metric=metric), cosine_topk(q, x, 9, metric=metric))


@pytest.mark.parametrize(("dtype", "metric"), TYPES)
def test_topk_on_tensor_cores(dtype: str, metric: str) -> None:
    q, x = rows(33, 3, 19, dtype, odd=False), rows(34, 150, 19, dtype)
    q[1] = x[4]
    device = CodedDevice(seed=len(metric), tensor=True)
    assert_same_results(device.topk(q, x, 9, metric=metric), cosine_topk(q, x, 9, metric=metric))


@pytest.mark.parametrize(("dtype", "metric"), TYPES)
def test_threshold(dtype: str, metric: str) -> None:
    """Four tiles of one block of threads; every row is a hit of the second query."""
    q, x = rows(35, 2, 12, dtype, odd=False), rows(36, 400, 12, dtype)
    thresholds = np.array([0.5 if metric != "inner_product" else 3000.0, -np.inf])
    device = CodedDevice(seed=len(metric), tiles=4)
    expected = cosine_threshold(q, x, thresholds, metric=metric)
    assert_same_results(device.threshold(q, x, thresholds, metric=metric), expected)


@pytest.mark.parametrize("scan", SCANS)
def test_waves_rule_out_most_items(scan: str) -> None:
    q, x = rows(37, 2, 33, odd=False), rows(38, 1300, 33)
    device = CodedDevice(seed=1, tensor=SCANS[scan])
    assert_same_results(device.topk(q, x, 4, spare=128, growth=3), cosine_topk(q, x, 4))
    assert device.lost == 0
    assert len(device.hits) == 4
    assert device.hits[0] >= 2 * (128 - 12)  # nothing is known in the first wave; NaN is never a hit
    assert sum(device.hits[2:]) < 0.02 * 2 * 1300


@pytest.mark.parametrize("dim", [1, 65, 330])
def test_columns(dim: int) -> None:
    """Panels of queries that stay in shared memory, and that come in parts with the items'."""
    q, x = rows(39, 2, dim, odd=False), rows(40, 260, dim)
    device = CodedDevice(seed=dim, tensor=True)
    assert_same_results(device.topk(q, x, 4, spare=128, growth=8), cosine_topk(q, x, 4))


@pytest.mark.parametrize(("scan", "count"), [("few", 1), ("few", 5), ("tensor", 129)])
def test_panels_of_queries(scan: str, count: int) -> None:
    q, x = rows(41, count, 8, odd=False), rows(42, 100, 8)
    device = CodedDevice(tensor=SCANS[scan])
    assert_same_results(device.topk(q, x, 1), cosine_topk(q, x, 1))


@pytest.mark.parametrize("scan", SCANS)
def test_rows_and_queries_that_no_code_describes(scan: str) -> None:
    """Extreme lengths are candidates for all queries, and all rows are candidates of an extreme query."""
    q, x = rows(43, 3, 9, odd=False), rows(44, 300, 9)
    q[1] *= 1e25
    q[2, 3] = np.nan
    x[200:204] *= np.array([[1e30], [1e-30], [np.inf], [1e25]], np.float32)
    device = CodedDevice(tensor=SCANS[scan])
    expected = cosine_topk(q, x, 12, metric="inner_product")
    assert_same_results(device.topk(q, x, 12, metric="inner_product", spare=128), expected)


@pytest.mark.parametrize("scan", SCANS)
def test_lost_hits_and_ties_by_the_hundred(scan: str) -> None:
    x = np.ones((700, 5), np.float32)
    device = CodedDevice(tensor=SCANS[scan], hits=128)
    assert_same_results(device.topk(x[:2], x, 30, spare=128), cosine_topk(x[:2], x, 30))
    assert device.lost > 0


@pytest.mark.parametrize("scan", SCANS)
def test_scales_of_tiles(scan: str) -> None:
    q, x = rows(45, 2, 70, odd=False), growing_rows(46, 7, 70)
    device = CodedDevice(tensor=SCANS[scan], tiles=7)
    expected = cosine_topk(q, x, 5, metric="inner_product")
    assert_same_results(device.topk(q, x, 5, metric="inner_product", spare=128), expected)


@pytest.mark.parametrize(("count", "k"), [(5, 9), (5, 0), (0, 3), (129, 129)])
def test_edges_of_k(count: int, k: int) -> None:
    q, x = rows(47, 2, 7, odd=False), rows(48, count, 7, odd=False)
    assert_same_results(CodedDevice().topk(q, x, k), cosine_topk(q, x, k))


def test_rows_without_columns() -> None:
    q, x = np.zeros((2, 0), np.float32), np.zeros((5, 0), np.float32)
    assert_same_results(CodedDevice(tensor=True).topk(q, x, 3), cosine_topk(q, x, 3))


def test_filters() -> None:
    q, x = rows(49, 3, 10, odd=False), rows(50, 300, 10)
    indptr, ids = np.array([0, 3, 3, 7]), np.array([4, 5, 90, 0, 20, 21, 149])
    first = cosine_topk(q, x, 4)
    after = first.scores[:, -1], first.ids[:, -1]
    thresholds = np.array([-0.5, 0.2, 0.4])
    filters = {"exclude": (indptr, ids), "allow": np.arange(300) % 3 > 0}
    device = CodedDevice()
    for more in ({"after": after, "threshold": thresholds}, {"threshold": thresholds}):
        assert_same_results(device.topk(q, x, 9, spare=128, **filters, **more), cosine_topk(q, x, 9, **filters, **more))
    assert_same_results(device.threshold(q, x, thresholds, **filters), cosine_threshold(q, x, thresholds, **filters))


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_bound(metric: str, fine: bool) -> None:
    """|item . query - s t (c . d)| <= residual + reach sigma, in float64, for every pair."""
    q, x = rows(51, 5, 37, odd=False), rows(52, 300, 37)
    x[100:164] *= 1e-3
    device = CodedDevice(tensor=not fine)
    seen: list[Any] = []

    def look(search: Search, codes: Codes) -> None:
        panels = -(-len(q) // search.panel) * search.panel
        seen.append(device.read(codes.items, (384, codes.width), np.int8)[:, :37].astype(np.int64))
        seen.append(device.read(codes.blocks, 384 // CODE_ROWS, BLOCK))
        steps = device.read(codes.queries, (panels, codes.width), np.int8)[:, :37].astype(np.int64)
        if fine:
            steps = 254 * steps + device.read(codes.fine, (panels, codes.width), np.int8)[:, :37]
        seen.append(steps)
        seen.append(device.read(codes.query_codes, panels, QUERY_CODE))

    device.watch = look
    device.topk(q, x, 3, metric=metric)
    items, blocks, steps, query_codes = seen

    finite = np.isfinite(x).all(1)
    unit, vectors = x[finite].astype(np.float64), q.astype(np.float64)
    if metric == "pearson":
        unit, vectors = (v - v.mean(1, keepdims=True) for v in (unit, vectors))
        unit[(x[finite] == x[finite][:, :1]).all(1)] = 0
    lengths = np.linalg.norm(unit, axis=1)
    bits = np.unpackbits(blocks["coded"].copy().view(np.uint8), bitorder="little").astype(bool)
    unbounded = np.unpackbits(blocks["unbounded"].copy().view(np.uint8), bitorder="little").astype(bool)
    extreme = (metric == "inner_product") & (lengths != 0) & ((lengths < 2.0**-60) | (lengths > 2.0**60))
    assert np.array_equal(np.flatnonzero(bits), np.flatnonzero(finite)[~extreme])
    assert np.array_equal(np.flatnonzero(unbounded), np.flatnonzero(finite)[extreme])
    assert not items[~bits].any()
    assert not steps[len(q) :].any()

    unit = unit[~extreme] / (1.0 if metric == "inner_product" else np.where(lengths, lengths, 1)[~extreme, None])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    of_item = blocks[np.flatnonzero(bits) // CODE_ROWS]
    estimates = (items[bits] @ steps[: len(q)].T) * np.outer(
        of_item["scale"].astype(np.float64), query_codes["scale"][: len(q)].astype(np.float64)
    )
    bound = of_item["residual"][:, None] + np.outer(of_item["reach"], query_codes["sigma"][: len(q)])
    error = np.abs(unit @ vectors.T - estimates)
    assert (error <= bound).all()
    assert np.median(error / bound) > 0.01  # and it is no wild overestimate
    # What is left over of each row, and what is covered, is what its block says.
    covered = items[bits] * of_item["scale"][:, None].astype(np.float64)
    assert (np.linalg.norm(unit - covered, axis=1) <= of_item["residual"]).all()
    assert (np.linalg.norm(covered, axis=1) <= of_item["reach"]).all()
