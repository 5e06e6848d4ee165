"""On a real GPU (``pytest -m gpu``): the CPU's bits over a grid; streams, graphs, threads, memory.

To look for races and wrong accesses too: ``compute-sanitizer --error-exitcode 1 python -m pytest -m gpu``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from aigc_fast import (
    CosineIndex,
    CudaUnavailable,
    TopK,
    _cuda,
    cosine_similarity,
    cosine_threshold,
    cosine_topk,
    normalize,
)
from kernels.checks import assert_same_bits, assert_same_results

from .test_kernels import rows

pytestmark = pytest.mark.gpu

METRICS = ("cosine", "inner_product", "pearson")
DTYPES = ("float32", "float64", "float16", "int8")
# (queries, items, dims, k): few and many queries, one tile and many, one wave and several, k beyond the room of a wave.
SHAPES = ((1, 50_000, 128, 10), (8, 1_000, 1, 3), (9, 5_000, 33, 100), (300, 20_000, 64, 10), (3, 6_000, 770, 3_000))


@pytest.fixture(autouse=True)
def _gpu() -> None:
    try:
        _cuda.device_count()
    except CudaUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def torch() -> Any:
    module = pytest.importorskip("torch")
    if not module.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    return module


def host(result: Any) -> Any:
    """A result of torch tensors as NumPy arrays."""
    return type(result)(*(part.cpu().numpy() for part in result))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_topk(shape: tuple[int, ...], dtype: str, metric: Any) -> None:
    queries, items, dim, k = shape
    q, x = rows(1, queries, dim, dtype, odd=False), rows(2, items, dim, dtype)
    q[0] = x[4]
    assert_same_results(cosine_topk(q, x, k, metric=metric, device="cuda"), cosine_topk(q, x, k, metric=metric))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_everything_else(dtype: str, metric: Any) -> None:
    q, x = rows(3, 70, 50, dtype), rows(4, 3_000, 50, dtype)
    assert_same_results(
        cosine_threshold(q, x, 0.1, metric=metric, device="cuda"), cosine_threshold(q, x, 0.1, metric=metric)
    )
    scores = cosine_similarity(q, x, metric=metric, device="cuda")
    assert_same_bits(scores, cosine_similarity(q, x, metric=metric), "scores")
    for name, actual, expected in zip(
        ("rows", "norms"),
        normalize(x, device="cuda", return_norms=True),
        normalize(x, return_norms=True),
        strict=True,
    ):
        assert_same_bits(actual, expected, name)


def test_ties_by_the_thousand() -> None:
    x = np.ones((50_000, 8), np.float32)
    assert_same_results(cosine_topk(x[:3], x, 2_000, device="cuda"), cosine_topk(x[:3], x, 2_000))


def test_waves_that_lose_candidates() -> None:
    """Longer and longer rows, so that every wave of the inner product displaces the last."""
    rng = np.random.default_rng(5)
    x = np.sort(rng.normal(size=(40_000, 4)).astype(np.float32), axis=0) + np.float32(1)
    for _ in range(2):
        assert_same_results(
            cosine_topk(x[:9], x, 50, metric="inner_product", device="cuda"),
            cosine_topk(x[:9], x, 50, metric="inner_product"),
        )
        _cuda.override_plan(spare=128, growth=64)
    _cuda.override_plan()


def test_groups_that_fit_the_memory() -> None:
    q, x = rows(6, 500, 20, odd=False), rows(7, 2_000, 20)
    assert_same_results(cosine_topk(q, x, 10, device="cuda", max_memory=4_000_000), cosine_topk(q, x, 10))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8", "int64"])
def test_torch(torch: Any, dtype: str) -> None:
    q, x = (torch.from_numpy(rows(seed, n, 40, odd=False)).to(getattr(torch, dtype)) for seed, n in ((8, 5), (9, 900)))
    top = cosine_topk(q.cuda(), x.cuda(), 20)
    assert top.scores.is_cuda
    assert_same_results(host(top), host(cosine_topk(q, x, 20)))
    assert_same_results(host(cosine_topk(q.cuda(), x.cuda().T.contiguous().T, 20)), host(cosine_topk(q, x, 20)))


def test_cupy() -> None:
    cupy = pytest.importorskip("cupy")
    q, x = rows(10, 5, 40, odd=False), rows(11, 900, 40)
    with cupy.cuda.Stream(non_blocking=True):
        top = cosine_topk(cupy.asarray(q), cupy.asarray(x), 20)
        assert_same_results(TopK(*map(cupy.asnumpy, top)), cosine_topk(q, x, 20))


def test_the_current_stream(torch: Any) -> None:
    """Inputs that a busy stream still has to write, results read on it: nothing else orders them."""
    q, x = (torch.from_numpy(rows(seed, n, 64, odd=False)) for seed, n in ((12, 20), (13, 30_000)))
    expected = host(cosine_topk(q, x, 10))
    cosine_topk(q.cuda(), x.cuda(), 10)  # loads the kernels
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        late_q, late_x = torch.zeros_like(q, device="cuda"), torch.zeros_like(x, device="cuda")
        torch.cuda._sleep(100_000_000)
        late_q.copy_(q.pin_memory(), non_blocking=True)
        late_x.copy_(x.pin_memory(), non_blocking=True)
        top = cosine_topk(late_q, late_x, 10)
        assert not stream.query()  # the call did not wait
        copies = [part.to("cpu", non_blocking=True) for part in top]
    stream.synchronize()
    assert_same_results(TopK(*(part.numpy() for part in copies)), expected)


def test_graphs(torch: Any) -> None:
    """A captured search works on whatever its inputs hold when it is replayed."""
    q = torch.from_numpy(rows(14, 20, 32, odd=False)).cuda()
    x = torch.from_numpy(rows(15, 20_000, 32, odd=False)).cuda()
    searches: tuple[Callable[[], TopK], ...] = (
        lambda: cosine_topk(q, x, 10, threshold=0.1),
        lambda: CosineIndex.topk(index, q, 10),
    )
    index = CosineIndex(x)
    for search in searches:
        search()  # loads the kernels
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            top = search()
        for seed in (16, 17):
            q.copy_(torch.from_numpy(rows(seed, 20, 32, odd=False)))
            graph.replay()
            assert_same_results(host(top), host(search()))


def test_threads(torch: Any) -> None:
    x = torch.from_numpy(rows(18, 20_000, 32, odd=False)).cuda()
    failures: list[BaseException] = []

    def search(seed: int) -> None:
        try:
            with torch.cuda.stream(torch.cuda.Stream()):
                for i in range(20):
                    q = rows(100 * seed + i, 3, 32, odd=False)
                    top = cosine_topk(torch.from_numpy(q).cuda(), x, 5)
                    assert_same_results(host(top), cosine_topk(q, x.cpu().numpy(), 5))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_full_gpu_is_no_poisoned_one() -> None:
    x = rows(19, 1_000, 8, odd=False)
    with pytest.raises(MemoryError, match=r"GPU 0 has no room for \d+ bytes"):
        _cuda.DeviceMemory(0, None, 1 << 50)
    assert_same_results(cosine_topk(x[:2], x, 5, device="cuda"), cosine_topk(x[:2], x, 5))


def test_results_for_the_host_in_parts() -> None:
    a, b = rows(25, 300, 30), rows(26, 2_000, 30)
    scores = cosine_similarity(a, b, device="cuda", max_memory=1_000_000)
    assert_same_bits(scores, cosine_similarity(a, b), "scores")
    assert_same_bits(normalize(b, device="cuda", max_memory=100_000), normalize(b), "rows")


def test_little_memory() -> None:
    """By default a call takes what there is, where that is less than a gigabyte."""
    q, x = rows(27, 20_000, 16, odd=False), rows(28, 3_000, 16)
    taken = []
    for size in (1 << 30, 1 << 26):
        while True:
            try:
                taken.append(_cuda.DeviceMemory(0, None, size))
            except MemoryError:
                break
    del taken[-2:]
    assert_same_results(cosine_topk(q, x, 100, device="cuda"), cosine_topk(q, x, 100))


def test_a_device_that_is_not_the_current_one(torch: Any) -> None:
    if _cuda.device_count() < 2:
        pytest.skip("this machine has one GPU")
    q, x = (torch.from_numpy(rows(seed, n, 40, odd=False)) for seed, n in ((29, 5), (30, 900)))
    top = cosine_topk(q.cuda(1), x.cuda(1), 20)
    assert top.scores.device == q.cuda(1).device
    assert_same_results(host(top), host(cosine_topk(q, x, 20)))


@pytest.mark.parametrize("dim", [24, 200, 400])
@pytest.mark.parametrize("count", [1, 4, 16, 17, 300])
def test_codes(count: int, dim: int) -> None:
    """Every scan of codes, with parts of queries that stay in shared memory and that do not."""
    x = rows(23, 30_000, dim)
    q = rows(24, count, dim, odd=False)
    index = CosineIndex(x, device="cuda")
    for k in (1, 10, 500):
        assert_same_results(index.topk(q, k), cosine_topk(q, x, k))
    assert_same_results(index.threshold(q, 0.25), cosine_threshold(q, x, 0.25))


@pytest.mark.parametrize("metric", METRICS)
def test_index(metric: Any) -> None:
    x = rows(20, 9_000, 24)
    ids = np.random.default_rng(21).permutation(20_000)[:9_000]
    on_gpu, on_cpu = CosineIndex(x, ids, metric=metric, device="cuda"), CosineIndex(x, ids, metric=metric)
    for index in (on_gpu, on_cpu):
        index.add(x[:5_000] * np.float32(0.5), np.arange(30_000, 35_000))
        index.remove(ids[:100])
        index.update(ids[100:103], x[:3])
    q = rows(22, 12, 24)
    assert_same_results(on_gpu.topk(q, 40), on_cpu.topk(q, 40))
    assert_same_results(on_gpu.threshold(q, 0.4), on_cpu.threshold(q, 0.4))
