"""pytest-benchmark groups for the kernels: ``pytest benchmarks``. Each asserts the answer that it times."""

from __future__ import annotations

import numpy as np
import pytest

import aigc_fast
from aigc_fast import _core

pytest.importorskip("pytest_benchmark")


@pytest.fixture(params=aigc_fast.available_isas())
def isa(request):
    before = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


def rows(count, dims, seed=0):
    return np.random.default_rng(seed).standard_normal((count, dims), dtype=np.float32)


@pytest.mark.parametrize("queries", [1, 16, 256])
def test_topk(benchmark, isa, queries):
    benchmark.group = f"topk 50000 x 128, batch {queries}"
    items, batch = rows(50_000, 128), rows(queries, 128, 1)
    found = benchmark(aigc_fast.cosine_topk, batch, items, 10)
    scores = batch.astype(float) @ aigc_fast.normalize(items.astype(float)).T
    np.testing.assert_array_equal(found.ids, np.argsort(-scores, axis=1, kind="stable")[:, :10])


def test_call_overhead(benchmark, isa):
    benchmark.group = "one query against 1000 x 128"
    items, query = rows(1000, 128), rows(1, 128, 1)
    found = benchmark(aigc_fast.cosine_topk, query, items, 10)
    assert found.ids[0, 0] == np.argmax(aigc_fast.normalize(items) @ query[0])


def test_threshold(benchmark, isa):
    benchmark.group = "threshold 50000 x 128, batch 16"
    items, batch = rows(50_000, 128), rows(16, 128, 1)
    hits = benchmark(aigc_fast.cosine_threshold, batch, items, 0.3)
    scores = aigc_fast.cosine_similarity(batch, items)
    assert hits.indptr[-1] == (scores >= np.float32(0.3)).sum()


def test_similarity(benchmark, isa):
    benchmark.group = "similarity 1000 x 128 with itself"
    items = rows(1000, 128)
    scores = benchmark(aigc_fast.cosine_similarity, items)
    unit = aigc_fast.normalize(items.astype(float))
    np.testing.assert_allclose(scores, unit @ unit.T, rtol=0, atol=2.0**-23)


def test_normalize(benchmark, isa):
    benchmark.group = "normalize 100000 x 128"
    items = rows(100_000, 128)
    unit = benchmark(aigc_fast.normalize, items)
    np.testing.assert_allclose(unit, items / np.linalg.norm(items.astype(float), axis=1)[:, None], rtol=2.0**-23)
