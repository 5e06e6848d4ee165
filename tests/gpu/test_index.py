"""CosineIndex on a (simulated) GPU: after the same changes it answers like the index on the CPU, bit for bit."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aigc_fast import CosineIndex, TopK
from kernels.checks import assert_same_results

from .conftest import on_host
from .fake_driver import FakeDriver
from .frameworks import GpuArray

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 8)).astype(np.float32)
X[30:] = X[:10]  # ties, whose order is that of the ids
Q = X[:3] + np.float32(0.1)


def indexes(ids: np.ndarray | None, **options: str) -> tuple[CosineIndex, CosineIndex]:
    return CosineIndex(X, ids, device="cuda", **options), CosineIndex(X, ids, **options)  # type: ignore[arg-type]


NAMES = 10 * RNG.permutation(100)[:40]


@pytest.mark.parametrize(
    ("metric", "ids"), [("cosine", None), ("cosine", NAMES), ("inner_product", NAMES), ("pearson", None)]
)
def test_changes(metric: str, ids: np.ndarray | None, driver: FakeDriver) -> None:
    on_gpu, on_cpu = indexes(ids, metric=metric)
    assert (on_gpu.device, on_cpu.device) == ("cuda:0", "cpu")
    assert_same_results(on_gpu.topk(Q, 12), on_cpu.topk(Q, 12))
    uploads = driver.calls.count("cuMemAlloc_v2")
    named = on_cpu.ids
    for index in (on_gpu, on_cpu):
        index.add(X[5:9] * 2, None if ids is None else [995, 5, 505, 15])
        index.remove(named[[0, 4, 33]])
        index.update(named[[2]], X[7:8])
    assert_same_results(on_gpu.topk(Q, 12), on_cpu.topk(Q, 12))
    assert driver.calls.count("cuMemAlloc_v2") - uploads == 4  # flags of the base; rows, ids, codes of the tail
    exclude = (np.array([0, 2, 3, 3]), np.concatenate([np.sort(named[[1, 35]]), named[[31]]]))
    for filters in (
        {"exclude": exclude, "threshold": 0.1},
        {"allow": named[5:37], "after": (0.9, int(named[3]))},
        {"allow": exclude},
    ):
        assert_same_results(on_gpu.topk(Q, 9, **filters), on_cpu.topk(Q, 9, **filters))
    assert_same_results(on_gpu.threshold(Q, 0.2, exclude=exclude), on_cpu.threshold(Q, 0.2, exclude=exclude))


def test_verify(driver: FakeDriver) -> None:
    index = CosineIndex(X, device="cuda")
    index.verify(3)
    X[5] *= -1  # what the index was told not to expect
    try:
        with pytest.raises(RuntimeError, match="the copies on the GPU of this index do not belong to its rows"):
            index.verify(9)
    finally:
        X[5] *= -1


def test_memory_is_freed_with_the_index(driver: FakeDriver) -> None:
    index = CosineIndex(X, device="cuda")
    index.topk(Q, 2)
    index.add(X)
    assert driver.machine.heap.allocations > 0
    gc.disable()
    try:
        del index
        driver.run()
        assert driver.machine.heap.allocations == 0
    finally:
        gc.enable()


def test_memory_freed_while_a_kernel_runs(driver: FakeDriver) -> None:
    dropped = [CosineIndex(X, device="cuda")]
    dropped[0].topk(Q, 2)
    driver.watch = lambda kernel, arguments: dropped.clear()
    assert_same_results(CosineIndex(X, device="cuda").topk(Q, 2), CosineIndex(X).topk(Q, 2))
    driver.run()
    assert driver.machine.heap.allocations == 0


def test_readers_keep_their_snapshot(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    on_gpu, on_cpu = indexes(None)
    q = fakes.torch.Array.of(Q)
    before = on_gpu.topk(q, 6)  # enqueued, not run
    expected = on_cpu.topk(Q, 6)
    for index in (on_gpu, on_cpu):
        index.remove(expected.ids[0])
    after = on_gpu.topk(q, 6)
    assert_same_results(on_host(before), expected)
    assert_same_results(on_host(after), on_cpu.topk(Q, 6))


@pytest.mark.parametrize("name", ["torch", "cupy"])
def test_items_on_the_gpu(name: str, driver: FakeDriver, fakes: SimpleNamespace) -> None:
    array = getattr(fakes, name).Array
    on_gpu, on_cpu = CosineIndex(array.of(X)), CosineIndex(X)
    assert on_gpu.device == "cuda:0"
    for index, to in ((on_gpu, array.of), (on_cpu, np.asarray)):
        index.add(to(X[5:9] * 2))
        index.update([2], to(X[7:8]))
    top = on_gpu.topk(array.of(Q), 5)
    assert type(top.ids) is array
    assert_same_results(on_host(top), on_cpu.topk(Q, 5))
    foreign = type("Foreign", (GpuArray,), {"driver": driver}).of(X)
    for call in (on_gpu.add, CosineIndex):
        with pytest.raises(TypeError, match=r"a .*Foreign has none; pass torch\.from_dlpack\(x\) or cupy\.asarray"):
            call(foreign)


def test_files_are_shared_with_the_cpu(tmp_path: Path, driver: FakeDriver) -> None:
    x = RNG.normal(size=(300, 4)).astype(np.float32)
    on_gpu, on_cpu = CosineIndex(x, device="cuda"), CosineIndex(x)
    on_gpu.save(tmp_path / "gpu")
    on_cpu.save(tmp_path / "cpu")
    loaded = CosineIndex.load(tmp_path / "gpu")
    assert (loaded.device, loaded.nbytes) == ("cpu", CosineIndex.load(tmp_path / "cpu").nbytes)  # codes were made
    assert_same_results(loaded.topk(x[:2], 5), on_cpu.topk(x[:2], 5))
    for mmap in (False, True):
        again = CosineIndex.load(tmp_path / "cpu", mmap=mmap, device="cuda")
        assert_same_results(again.topk(x[:1], 3), on_cpu.topk(x[:1], 3))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))])
def test_copies_are_on_the_cpu(copied: Callable[[CosineIndex], CosineIndex], driver: FakeDriver) -> None:
    on_gpu, on_cpu = indexes(NAMES)
    for index in (on_gpu, on_cpu):
        index.add(X[5:9] * 2, [995, 5, 505, 15])
        index.remove(NAMES[:3])
    there = copied(on_gpu)
    assert there.device == "cpu"
    there.add(X[:1])  # and on their own
    assert len(there) == len(on_gpu) + 1
    assert_same_results(on_gpu.topk(Q, 9), on_cpu.topk(Q, 9))
    there.remove([996])
    assert_same_results(there.topk(Q, 9), on_cpu.topk(Q, 9))


def test_what_an_index_says_of_itself(driver: FakeDriver) -> None:
    on_gpu, on_cpu = indexes(NAMES, metric="pearson")
    for index in (on_gpu, on_cpu):
        index.remove(NAMES[[0, 5]])
    assert (len(on_gpu), repr(on_gpu), on_gpu.metric, on_gpu.dim) == (38, repr(on_cpu), "pearson", 8)
    assert on_gpu.ids.tolist() == on_cpu.ids.tolist()
    assert (on_gpu.drift, on_gpu.head_columns) == (1.0, 0)
    assert on_gpu.nbytes <= on_cpu.nbytes
    assert on_gpu.explain(Q, 5).queries == 3


def test_an_empty_index(driver: FakeDriver) -> None:
    index = CosineIndex(X[:0], device="cuda")
    assert index.topk(Q, 2).counts.tolist() == [0, 0, 0]
    assert index.threshold(Q, 0.0).indptr.tolist() == [0, 0, 0, 0]
    index.add(X)
    assert_same_results(index.topk(Q, 5), CosineIndex(X).topk(Q, 5))
    index.remove(np.arange(40))
    assert isinstance(index.topk(Q, 2), TopK)
    assert index.topk(Q, 2).counts.tolist() == [0, 0, 0]


LISTS = np.array([0, 1, 1, 2]), NAMES[:2]
WRONG: dict[str, Callable[[CosineIndex], Any]] = {
    "columns": lambda index: index.topk(Q[:, :4], 2),
    "k": lambda index: index.topk(Q, -1),
    "no threshold": lambda index: index.threshold(Q, None),
    "threshold": lambda index: index.topk(Q, 2, threshold=np.zeros(2)),
    "exclude": lambda index: index.topk(Q, 2, exclude=(LISTS[0], -LISTS[1])),
    "allow": lambda index: index.threshold(Q, 0.1, allow=(LISTS[0][:2], LISTS[1][:1])),
    "a mask": lambda index: index.topk(Q, 2, allow=np.ones(40, bool)),
    "after": lambda index: index.topk(Q, 2, after=(0.5, 1.5)),
    "threads": lambda index: index.topk(Q, 2, num_threads=0),
    "memory": lambda index: index.threshold(Q, 0.5, max_memory=0),
    "items": lambda index: index.add(X[:, :3]),
    "items of another dtype": lambda index: index.add(X.astype(complex)),
    "ids that are there": lambda index: index.add(X[:2], NAMES[:2]),
    "no such id": lambda index: index.remove([1]),
    "update of no such id": lambda index: index.update([1], X[:1]),
    "ids twice": lambda index: index.update([NAMES[0], NAMES[0]], X[:2]),
    "sample": lambda index: index.verify(0),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(case: str, driver: FakeDriver) -> None:
    """The errors of an index on the CPU, in the same words, and nothing changes."""
    errors = []
    for index in indexes(NAMES):
        with pytest.raises((ValueError, TypeError, KeyError)) as caught:
            WRONG[case](index)
        errors.append((caught.type, str(caught.value)))
        assert index.ids.tolist() == NAMES.tolist()
    assert errors[0] == errors[1]


def test_queries_on_another_gpu(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    index = CosineIndex(X, device="cuda")
    far = fakes.torch.Array.of(Q)
    far.gpu = 1
    with pytest.raises(ValueError, match="queries must be on the index's GPU, cuda:0, but they are on cuda:1"):
        index.topk(far, 2)


def test_rows_of_bfloat16(driver: FakeDriver) -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(X).to(torch.bfloat16)
    index = CosineIndex(x, device="cuda")
    index.verify(3)
    assert_same_results(on_host(index.topk(x[:2], 5)), on_host(CosineIndex(x).topk(x[:2], 5)))
