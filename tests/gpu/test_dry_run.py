"""What waits for a GPU, run without one, so that the first run on a card is not lost to a mistake in the script.

The tests of ``test_real_gpu.py`` run with the CPU in the place of the GPU and of torch's CUDA; a few of them, and the
benchmark's own part, run at small sizes on the fake driver.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import aigc_fast
from aigc_fast import _cuda

from . import test_real_gpu
from .fake_driver import FakeDriver


class DryGraph:
    """A graph that replays the last search of its capture into the arrays that the search returned."""

    capturing: DryGraph | None = None

    def __init__(self) -> None:
        self._search: Callable[[], Any] | None = None
        self._results: Any = None

    @classmethod
    def watched(cls, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            results = function(*arguments, **options)
            if cls.capturing is not None:
                cls.capturing._search = lambda: function(*arguments, **options)
                cls.capturing._results = results
            return results

        return call

    @contextlib.contextmanager
    def capture(self) -> Iterator[None]:
        DryGraph.capturing = self
        yield
        DryGraph.capturing = None

    def replay(self) -> None:
        assert self._search is not None
        for result, again in zip(self._results, self._search(), strict=True):
            result.copy_(again)


class DryStream:
    def __init__(self, **options: Any) -> None:
        assert set(options) <= {"non_blocking"}

    __enter__ = __exit__ = synchronize = lambda self, *_: None

    def query(self) -> bool:
        return False


@pytest.fixture
def cpu_for_gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Everything that asks for a GPU gets the CPU."""
    torch = pytest.importorskip("torch")

    def no_room(device: int, stream: int | None, nbytes: int) -> None:
        raise MemoryError(f"GPU {device} has no room for {nbytes} bytes")

    for module in (aigc_fast.similarity, aigc_fast.index):
        monkeypatch.setattr(module, "choose", lambda device, arrays: None)
    monkeypatch.setattr(_cuda, "device_count", lambda: 2)
    monkeypatch.setattr(_cuda, "DeviceMemory", no_room)
    for owner, name in ((test_real_gpu, "cosine_topk"), (aigc_fast.CosineIndex, "topk")):
        monkeypatch.setattr(owner, name, DryGraph.watched(getattr(owner, name)))
    zeros_like = torch.zeros_like
    for owner, name, replacement in (
        (torch, "zeros_like", lambda x, device: zeros_like(x)),
        (torch.Tensor, "cuda", lambda x, device=0: x.clone()),
        (torch.Tensor, "is_cuda", True),
        (torch.Tensor, "pin_memory", lambda x: x),
        (torch.cuda, "is_available", lambda: True),
        (torch.cuda, "_sleep", lambda cycles: None),
        (torch.cuda, "Stream", DryStream),
        (torch.cuda, "stream", contextlib.nullcontext),
        (torch.cuda, "CUDAGraph", DryGraph),
        (torch.cuda, "graph", DryGraph.capture),
    ):
        monkeypatch.setattr(owner, name, replacement, raising=False)
    cupy: Any = ModuleType("cupy")
    cupy.asarray = cupy.asnumpy = np.asarray
    cupy.cuda = SimpleNamespace(Stream=DryStream)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return torch


def cases() -> list[Any]:
    """Each test with the first and the last of its parameters."""
    found = []
    for name, function in vars(test_real_gpu).items():
        if not name.startswith("test_"):
            continue
        marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
        for at in (0, -1) if marks else (0,):
            parameters = {mark.args[0]: mark.args[1][at] for mark in marks}
            found.append(pytest.param(function, parameters, id=f"{name}[{at}]"))
    return found


@pytest.mark.parametrize(("function", "parameters"), cases())
def test_on_the_cpu(function: Callable[..., None], parameters: dict[str, Any], cpu_for_gpu: Any) -> None:
    fixtures = {"torch": cpu_for_gpu}
    wanted = inspect.signature(function).parameters.keys() - parameters.keys()
    function(**parameters, **{name: fixtures[name] for name in wanted})


@pytest.mark.parametrize("shape", [(1, 300, 20, 10), (70, 140, 9, 3)])
def test_on_the_fake_driver(shape: tuple[int, ...], driver: FakeDriver) -> None:
    test_real_gpu.test_topk(shape, "float32", "cosine")
    assert driver.launches


def test_the_benchmark_on_the_fake_driver(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = pytest.importorskip("benchmarks.gpu")
    monkeypatch.setattr(gpu.timing, "PAUSE_S", 0)
    results = gpu.Results(gpu.about_device("cuda"))
    gpu.measure("cuda", (130, 8), [1, 3], [3], 0, results)
    assert [record["recall"] for record in results.records] == [{"index": 1.0, "aigc_fast": 1.0}] * 4
    launches = {name for name, *_ in driver.launches}
    assert {"scan_codes_1", "scan_codes_4", "scan_few_f32", "normalize_f32", "sort_hits_f32"} <= launches
    assert results.about["card"] == "Simulated GPU 0"
