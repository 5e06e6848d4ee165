"""The way from Python to the launches, on a fake driver: arrays, streams, memory, groups, with the CPU's bits."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aigc_fast import TopK, _cuda, cosine_similarity, cosine_threshold, cosine_topk, normalize
from kernels.checks import assert_same_bits, assert_same_results
from ptxsim import Fault

from .conftest import on_host
from .fake_driver import FakeDriver
from .frameworks import GpuArray

RNG = np.random.default_rng(0)
Q, X = RNG.normal(size=(3, 10)).astype(np.float32), RNG.normal(size=(40, 10)).astype(np.float32)
X[7], X[8] = np.nan, X[3]
WAITS = {"cuStreamSynchronize", "cuMemAllocFromPoolAsync", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2"}
FRAMEWORKS = ("torch", "cupy")


def test_host_arrays(driver: FakeDriver) -> None:
    assert_same_results(cosine_topk(Q, X, 5, device="cuda"), cosine_topk(Q, X, 5))
    assert_same_results(cosine_threshold(Q, X, 0.3, device="auto"), cosine_threshold(Q, X, 0.3))
    assert_same_bits(cosine_similarity(Q, X, device="cuda:0"), cosine_similarity(Q, X), "scores")
    for actual, expected in zip(
        normalize(X, device="cuda", return_norms=True), normalize(X, return_norms=True), strict=True
    ):
        assert_same_bits(actual, expected, "rows or norms")
    driver.run()
    assert driver.machine.heap.allocations == 0


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_arrays_on_the_gpu(name: str, driver: FakeDriver, fakes: SimpleNamespace) -> None:
    """Results are of the caller's framework and on its stream, nothing waits, and no memory is ours."""
    array = getattr(fakes, name).Array
    q, x = array.of(Q), array.of(X)
    top = cosine_topk(q, x, 5, threshold=-0.1)
    similarities, (unit, norms) = cosine_similarity(q, x), normalize(x, return_norms=True)
    assert not WAITS & set(driver.calls)
    assert {stream for _, stream, _ in driver.launches} == {GpuArray.current_stream}
    assert {type(part) for part in (*top, similarities, unit, norms)} == {array}
    assert_same_results(on_host(top), cosine_topk(Q, X, 5, threshold=-0.1))
    assert_same_bits(similarities.numpy(), cosine_similarity(Q, X), "scores")
    assert_same_bits(unit.numpy(), normalize(X), "rows")
    assert_same_results(on_host(cosine_threshold(q, x, 0.3)), cosine_threshold(Q, X, 0.3))
    assert not {"cuMemAllocFromPoolAsync", "cuMemcpyHtoDAsync_v2"} & set(driver.calls)
    assert driver.calls.count("cuStreamSynchronize") == 1  # the number of hits


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint8", "int16", "int64", "bool"])
def test_dtypes(dtype: str, driver: FakeDriver, fakes: SimpleNamespace) -> None:
    q, x = (np.abs(a * 40).astype(dtype) if dtype != "bool" else a > 0 for a in (Q, np.nan_to_num(X)))
    expected = cosine_topk(q, x, 5)
    array = fakes.cupy.Array
    assert_same_results(on_host(cosine_topk(array.of(q), array.of(x), 5)), expected)
    assert_same_results(cosine_topk(q, x, 5, device="cuda"), expected)


def test_torch_tensors_of_the_host(driver: FakeDriver) -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.bfloat16):
        q, x = (torch.from_numpy(rows).to(dtype) for rows in (Q, X))
        top, expected = cosine_topk(q, x, 5, device="cuda"), cosine_topk(q, x, 5)
        assert all(isinstance(part, torch.Tensor) for part in top)
        assert_same_results(on_host(top), on_host(expected))
        out = TopK(*map(torch.empty_like, expected))
        assert cosine_topk(q, x, 5, device="cuda", out=out) is out
        assert_same_results(on_host(out), on_host(expected))


@pytest.mark.parametrize("versioned", [True, False], ids=["DLPack 1", "DLPack 0"])
def test_strides(versioned: bool, driver: FakeDriver, fakes: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    array = fakes.torch.Array
    monkeypatch.setattr(array, "versioned", versioned)
    x = np.asfortranarray(X)
    assert_same_results(on_host(cosine_topk(array.of(Q), array.of(x), 5)), cosine_topk(Q, X, 5))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("protocol", ["dlpack", "cuda_array_interface"])
def test_arrays_that_other_streams_still_write(protocol: str, seed: int, fakes: Any, driver: FakeDriver) -> None:
    """Streams run in an order that only events restrain: without one, undefined memory would be read."""
    driver._random.seed(seed)
    foreign = type("Foreign", (GpuArray,), {"driver": driver}) if protocol != "dlpack" else fakes.cupy.Array
    x = foreign.of(np.asfortranarray(X), stream=99)
    assert_same_results(on_host(cosine_topk(fakes.torch.Array.of(Q), x, 4)), cosine_topk(Q, X, 4))


def test_a_missing_wait_shows(driver: FakeDriver, fakes: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cuda, "wait_for", lambda *_: None)
    foreign = type("Foreign", (GpuArray,), {"driver": driver})
    with pytest.raises(Fault, match="undefined"):  # noqa: PT012  (an order of streams may happen to be right)
        for seed in range(20):
            driver._random.seed(seed)
            top = cosine_topk(fakes.torch.Array.of(Q), foreign.of(X, stream=99), 4)
            assert_same_results(on_host(top), cosine_topk(Q, X, 4))


@pytest.mark.parametrize("seed", range(3))
def test_memory_that_another_framework_uses_again(
    seed: int, driver: FakeDriver, fakes: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller drops arrays when the call returns, and what comes on their own stream then writes their memory."""
    driver._random.seed(seed)
    stream = SimpleNamespace(ptr=99)
    monkeypatch.setattr(fakes.cupy.cuda, "get_current_stream", lambda: stream)
    monkeypatch.setattr(fakes.cupy.Array, "current_stream", 99)
    foreign = fakes.cupy.Array
    x, thresholds = foreign.of(X), foreign.of(np.full(3, 0.1, np.float32))
    q = fakes.torch.Array.of(Q)
    top = cosine_topk(q, x, 4, threshold=thresholds)
    scores = cosine_similarity(q, x)
    out = TopK(*(foreign(np.empty_like(part.like)) for part in top))
    cosine_topk(q, fakes.torch.Array.of(X), 4, threshold=0.1, out=out)
    copies = TopK(*(foreign(part.like) for part in out))
    for copy, part in zip(copies, out, strict=True):
        copy[...] = part
    x[...] = np.zeros_like(X)
    thresholds[...] = np.ones(3, np.float32)
    for found in (top, copies):
        assert_same_results(on_host(found), cosine_topk(Q, X, 4, threshold=0.1))
    assert_same_bits(scores.numpy(), cosine_similarity(Q, X), "scores")


def test_results_follow_the_queries(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    top = cosine_topk(Q, fakes.torch.Array.of(X), 5)
    assert_same_results(top, cosine_topk(Q, X, 5))
    assert {stream for _, stream, _ in driver.launches} == {GpuArray.current_stream}
    assert_same_results(on_host(cosine_topk(fakes.torch.Array.of(Q), X, 5)), cosine_topk(Q, X, 5))
    with pytest.raises(TypeError, match=r"a .*GpuArray has none; pass torch\.from_dlpack"):
        cosine_topk(type("GpuArray", (GpuArray,), {"driver": driver}).of(Q), X, 1)


def test_filters(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    lists = (np.array([0, 3, 3, 7]), np.array([4, 5, 30, 0, 20, 21, 39]))
    first = cosine_topk(Q, X, 4)
    ends = (first.scores[:, -1], first.ids[:, -1])
    q, x = fakes.torch.Array.of(Q), fakes.torch.Array.of(X)
    for filters in (
        {"exclude": lists, "allow": np.arange(40) % 3 > 0, "after": ends},
        {"allow": lists, "threshold": np.array([-0.5, 0.2, 0.4])},
        {"allow": [1, 2, 3], "after": (0.1, 2)},
        {"allow": []},
    ):
        expected = cosine_topk(Q, X, 9, **filters)
        assert_same_results(cosine_topk(Q, X, 9, device="cuda", **filters), expected)
        assert_same_results(on_host(cosine_topk(q, x, 9, **filters)), expected)
    thresholds = fakes.torch.Array.of(np.array([0.1, 0.3, 0.2], np.float32), stream=GpuArray.current_stream)
    expected = cosine_threshold(Q, X, np.array([0.1, 0.3, 0.2], np.float32), exclude=lists, after=ends)
    assert_same_results(on_host(cosine_threshold(q, x, thresholds, exclude=lists, after=ends)), expected)


def test_groups_that_fit_the_memory(driver: FakeDriver) -> None:
    q, x = RNG.normal(size=(66, 4)).astype(np.float32), X[:20, :4]
    lists = (np.arange(67) * 2, np.stack([np.arange(66) // 4, np.arange(66) // 4 + 3], 1).ravel())
    thresholds = RNG.uniform(-0.2, 0.6, 66)
    filters = {"exclude": lists, "after": (0.9, 2)}
    small = {"device": "cuda", "max_memory": 40_000}
    assert_same_results(
        cosine_topk(q, x, 3, threshold=thresholds, **filters, **small),
        cosine_topk(q, x, 3, threshold=thresholds, **filters),
    )
    assert [name for name, *_ in driver.launches].count("write_topk") == 2
    assert_same_results(
        cosine_threshold(q, x, thresholds, **filters, **small), cosine_threshold(q, x, thresholds, **filters)
    )
    assert_same_bits(cosine_similarity(q, x, **small), cosine_similarity(q, x), "scores")
    driver.launches.clear()  # less than a panel
    assert_same_results(cosine_topk(Q, X, 3, device="cuda", max_memory=4_000), cosine_topk(Q, X, 3))
    assert [name for name, *_ in driver.launches].count("write_topk") == 2


def test_waves(driver: FakeDriver) -> None:
    x = RNG.normal(size=(700, 33)).astype(np.float32)
    q = x[:2] + 1
    _cuda.override_plan(spare=128, growth=3)
    assert_same_results(cosine_topk(q, x, 4, device="cuda"), cosine_topk(q, x, 4))
    assert [name for name, *_ in driver.launches].count("settle_f32") == 3


@pytest.mark.parametrize(("count", "k"), [(5, 9), (5, 0), (0, 3)])
def test_edges_of_k(count: int, k: int, driver: FakeDriver) -> None:
    assert_same_results(cosine_topk(Q, X[:count], k, device="cuda"), cosine_topk(Q, X[:count], k))
    assert_same_results(cosine_topk(Q[:0], X[:5], k, device="cuda"), cosine_topk(Q[:0], X[:5], k))
    for q, x in ((Q, X[:0]), (Q[:0], X)):
        assert_same_results(cosine_threshold(q, x, 0.1, device="cuda"), cosine_threshold(q, x, 0.1))
        assert_same_bits(cosine_similarity(q, x, device="cuda"), cosine_similarity(q, x), "scores")
    assert_same_bits(normalize(Q[:0], device="cuda"), normalize(Q[:0]), "rows")


def test_out(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    expected = cosine_topk(Q, X, 5)
    array = fakes.torch.Array
    q, x = array.of(Q), array.of(X)
    out = TopK(*(array(np.empty_like(part)) for part in expected))
    assert cosine_topk(q, x, 5, out=out) is out
    assert_same_results(on_host(out), expected)
    host = TopK(*map(np.empty_like, expected))
    assert cosine_topk(Q, x, 5, out=host) is host
    assert_same_results(host, expected)
    assert normalize(x, out=x) is x
    assert_same_bits(x.numpy(), normalize(X), "rows")


def test_normalize_into_rows_that_overlap(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    x = fakes.cupy.Array.of(X)
    rows = fakes.cupy.Array(X[1:])
    rows.pointer = x.pointer + X.strides[0]
    shifted = fakes.cupy.Array(X[1:])
    shifted.pointer = x.pointer
    assert normalize(rows, out=shifted) is shifted
    assert_same_bits(shifted.numpy(), normalize(X[1:]), "rows")


def test_wrong_devices(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    q, x = map(fakes.cupy.Array.of, (Q, X))
    with pytest.raises(TypeError, match=r"queries is a .* on a GPU; it is needed on the CPU"):
        cosine_topk(q, x, 1, device="cpu")
    with pytest.raises(ValueError, match="device must be 'cpu', 'cuda', 'cuda:N' or 'auto', got 'gpu'"):
        cosine_topk(Q, X, 1, device="gpu")


def test_threads(driver: FakeDriver) -> None:
    results: list[Any] = [None] * 4

    def search(i: int) -> None:
        results[i] = cosine_topk(Q[i % 3 :], X, 2 + i, device="cuda")

    threads = [threading.Thread(target=search, args=(i,)) for i in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, result in enumerate(results):
        assert_same_results(result, cosine_topk(Q[i % 3 :], X, 2 + i))


@pytest.mark.parametrize(("count", "scan"), [(1, "scan_codes_1"), (3, "scan_codes_4"), (17, "scan_tensor")])
def test_codes(count: int, scan: str, driver: FakeDriver) -> None:
    """Waves over codes that are made for this search."""
    x = RNG.normal(size=(300, 12)).astype(np.float32)
    x[3], x[7] = np.nan, x[200]
    q = x[5 : 5 + count] + np.float32(0.1)
    _cuda.override_plan(coded=True, spare=128, growth=3)
    assert_same_results(cosine_topk(q, x, 4, device="cuda"), cosine_topk(q, x, 4))
    launches = [name for name, *_ in driver.launches]
    assert launches.count("code_items_f32") == 1
    assert launches.count(scan) == launches.count("settle_codes_f32") == 2


def test_a_threshold_search_of_codes(driver: FakeDriver) -> None:
    _cuda.override_plan(coded=True)
    assert_same_results(cosine_threshold(Q, X, 0.2, device="cuda"), cosine_threshold(Q, X, 0.2))
    launches = [name for name, *_ in driver.launches]
    assert launches.count("code_items_f32") == 1  # for both passes
    assert launches.count("scan_tensor_f32") == 2


def test_the_plan(driver: FakeDriver) -> None:
    """Codes pay for many queries, and where they are there already; rows that are too long have none."""

    def plan(
        queries: int, task: str = "topk", dim: int = 128, description: int = 0, memory: int = 1 << 30, k: int = 10
    ) -> Any:
        rows = _cuda.Matrix(256, "f32", 1_000_000, dim, dim, 1)
        segment = _cuda.Segment(rows, description=description)
        request = _cuda.Request(_cuda.Matrix(256, "f32", queries, dim, dim, 1), [segment], "cosine", task, k)
        return _cuda.Plan(request, memory)

    assert [plan(queries).coded for queries in (1, 63, 64, 1000)] == [False, False, True, True]
    assert plan(1, description=256).coded
    assert not plan(1000, "similarity").coded
    assert not plan(1000, dim=40_000, memory=1 << 40).coded
    assert not plan(1000, memory=1 << 25).coded  # no room for the codes
    assert 1 < plan(1000, description=256, k=100_000).group < 128  # less than a panel
    groups = []
    for megabytes in (160, 170, 1 << 10):
        cut = plan(1000, memory=megabytes << 20)
        assert cut.workspace <= megabytes << 20
        assert cut.group % 128 == 0
        groups.append(cut.group)
    assert groups == sorted(set(groups))
    assert groups[-1] == 1024


def test_more_than_indices_can_count(driver: FakeDriver) -> None:
    """Rows and columns are counted by 32 bits with eight threads each; a grid has no more than 2**15 queries."""

    def plan(queries: int, rows: int, dim: int) -> Any:
        matrices = (_cuda.Matrix(256, "f32", count, dim, dim, 1) for count in (queries, rows))
        given, items = matrices
        return _cuda.Plan(_cuda.Request(given, [_cuda.Segment(items)], "cosine", "topk", 10), 1 << 50)

    most = 1 << 28
    for rows, dim in ((most + 1, 8), (8, most + 1)):
        with pytest.raises(
            ValueError, match=f"a search on a GPU takes at most {most} rows and columns, got {rows} and {dim}"
        ):
            plan(1, rows, dim)
    assert plan(1, most, 8).group == 8
    assert plan(10**9, 1000, 8).group == 1 << 15
    with pytest.raises(ValueError, match=f"normalize on a GPU takes at most {most} rows and columns"):
        _cuda.normalize(0, 2, _cuda.Matrix(256, "f32", 1, most + 1, most + 1, 1), 256)
