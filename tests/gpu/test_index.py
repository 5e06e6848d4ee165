"""CosineIndex on a (simulated) GPU: after the same changes it answers like the index on the CPU, bit for bit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from aigc_fast import CosineIndex, TopK
from kernels.checks import assert_same_results

from .conftest import on_host
from .fake_driver import FakeDriver

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


def test_items_on_the_gpu(driver: FakeDriver, fakes: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes.cupy.Array, "get", lambda array: array.numpy(), raising=False)
    index = CosineIndex(fakes.cupy.Array.of(X))
    assert index.device == "cuda:0"
    top = index.topk(fakes.cupy.Array.of(Q), 5)
    assert type(top.ids) is fakes.cupy.Array
    assert_same_results(on_host(top), CosineIndex(X).topk(Q, 5))


def test_files_are_shared_with_the_cpu(tmp_path: Path, driver: FakeDriver) -> None:
    x = RNG.normal(size=(300, 4)).astype(np.float32)
    on_gpu, on_cpu = CosineIndex(x, device="cuda"), CosineIndex(x)
    on_gpu.save(tmp_path / "gpu")
    on_cpu.save(tmp_path / "cpu")
    loaded = CosineIndex.load(tmp_path / "gpu")
    assert (loaded.device, loaded.nbytes) == ("cpu", CosineIndex.load(tmp_path / "cpu").nbytes)  # codes were made
    assert_same_results(loaded.topk(x[:2], 5), on_cpu.topk(x[:2], 5))
    again = CosineIndex.load(tmp_path / "cpu", device="cuda")
    assert_same_results(again.topk(x[:1], 3), on_cpu.topk(x[:1], 3))


def test_an_empty_index(driver: FakeDriver) -> None:
    index = CosineIndex(X[:0], device="cuda")
    assert index.topk(Q, 2).counts.tolist() == [0, 0, 0]
    assert index.threshold(Q, 0.0).indptr.tolist() == [0, 0, 0, 0]
    index.add(X)
    assert_same_results(index.topk(Q, 5), CosineIndex(X).topk(Q, 5))
    index.remove(np.arange(40))
    assert isinstance(index.topk(Q, 2), TopK)
    assert index.topk(Q, 2).counts.tolist() == [0, 0, 0]


def test_wrong_queries(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    index = CosineIndex(X, device="cuda")
    with pytest.raises(ValueError, match=r"same number of columns, got shapes \(3, 4\) and \(40, 8\)"):
        index.topk(Q[:, :4], 2)
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
