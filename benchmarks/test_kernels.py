"""pytest-benchmark groups for the kernels, ``pytest benchmarks/test_kernels.py``; each asserts the answer it times.

Every group runs on every instruction set of this machine; ``--benchmark-group-by=group`` shows them side by side.
"""

from __future__ import annotations

import numpy as np
import pytest

import aigc_fast
from aigc_fast import _core
from benchmarks import datasets, exact, thresholds

pytest.importorskip("pytest_benchmark")

ITEMS, DIMS = 20_000, 128
BATCHES = [1, 16, 256]
CHECKED_QUERIES = 16


@pytest.fixture(params=aigc_fast.available_isas())
def isa(request):
    before = _core.isa()
    _core.set_isa(request.param)
    assert aigc_fast.isa() == request.param
    yield request.param
    _core.set_isa(before)


@pytest.fixture(scope="module")
def data():
    return datasets.gaussian(ITEMS, DIMS, max(BATCHES))


@pytest.fixture(scope="module")
def index(data):
    return aigc_fast.CosineIndex(data.items.raw)


@pytest.fixture(scope="module")
def right_scores(data):
    return exact.scores(data.queries.raw[:CHECKED_QUERIES], data.items.raw)


@pytest.fixture(scope="module")
def right_ids(data):
    return exact.topk(data.queries.raw[:CHECKED_QUERIES], data.items.raw, 100)


def test_normalize(benchmark, isa, data):
    benchmark.group = f"normalize {ITEMS} x {DIMS}"
    items = data.items.raw
    unit = benchmark(aigc_fast.normalize, items)
    np.testing.assert_allclose(unit, items / np.linalg.norm(items.astype(float), axis=1)[:, None], rtol=2.0**-23)


def test_similarity(benchmark, isa, data):
    benchmark.group = f"similarity 1000 x {DIMS} with itself"
    items = data.items.raw[:1000]
    scores = benchmark(aigc_fast.cosine_similarity, items)
    np.testing.assert_allclose(scores, exact.scores(items, items), rtol=0, atol=2.0**-23)


@pytest.mark.parametrize("k", [10, 100])
@pytest.mark.parametrize("batch", BATCHES)
def test_one_shot_topk(benchmark, isa, data, right_ids, batch, k):
    benchmark.group = f"topk without an index {ITEMS} x {DIMS}, batch {batch}, k={k}"
    found = benchmark(aigc_fast.cosine_topk, data.queries.raw[:batch], data.items.raw, k)
    np.testing.assert_array_equal(found.ids[:CHECKED_QUERIES], right_ids[:batch, :k])


@pytest.mark.parametrize("k", [10, 100])
@pytest.mark.parametrize("batch", BATCHES)
def test_index_topk(benchmark, isa, data, index, right_ids, batch, k):
    benchmark.group = f"topk with an index {ITEMS} x {DIMS}, batch {batch}, k={k}"
    found = benchmark(index.topk, data.queries.raw[:batch], k)
    np.testing.assert_array_equal(found.ids[:CHECKED_QUERIES], right_ids[:batch, :k])


@pytest.mark.parametrize("hits", [0, 10, 1000, ITEMS // 10])
def test_threshold(benchmark, isa, data, index, right_scores, hits):
    benchmark.group = f"threshold with an index {ITEMS} x {DIMS}, batch {CHECKED_QUERIES}, {hits} hits a query"
    threshold = thresholds.threshold_for(right_scores, CHECKED_QUERIES * hits)
    found = benchmark(index.threshold, data.queries.raw[:CHECKED_QUERIES], threshold)
    right = thresholds.right_hits(right_scores, threshold)
    np.testing.assert_array_equal(found.indptr, right.indptr)
    np.testing.assert_array_equal(found.ids, right.ids)


def test_index_build(benchmark, isa, data, right_ids):
    benchmark.group = f"index of {ITEMS} x {DIMS}"
    built = benchmark(aigc_fast.CosineIndex, data.items.raw)
    np.testing.assert_array_equal(built.topk(data.queries.raw[:1], 10).ids, right_ids[:1, :10])


@pytest.mark.parametrize("way", ["one-shot", "index"])
def test_call_overhead(benchmark, isa, data, way):
    benchmark.group = f"one query against 1000 x {DIMS}"
    items, query = data.items.raw[:1000], data.queries.raw[:1]
    search = aigc_fast.CosineIndex(items).topk if way == "index" else lambda q, k: aigc_fast.cosine_topk(q, items, k)
    found = benchmark(search, query, 10)
    np.testing.assert_array_equal(found.ids, exact.topk(query, items, 10))
