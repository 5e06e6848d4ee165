"""The kernels' PTX from nvcc, and a simulated device that the public functions search on."""

from __future__ import annotations

import functools
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aigc_fast import ThresholdHits, TopK, _cuda, cosine_similarity, cosine_threshold, cosine_topk, normalize

from .fake_driver import FakeDriver
from .structures import Codes, Search

Array = npt.NDArray[Any]

SOURCES = Path(__file__).parents[2] / "cuda" / "kernels"
FLAGS = ("-std=c++17", "-fmad=false")  # the canonical score fuses where it says so
METRICS = ("cosine", "inner_product", "pearson")
TENSOR_PANEL = 128  # queries


def nvcc(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed: the kernels cannot be compiled")
    return subprocess.run(["nvcc", *FLAGS, *arguments], check=True, capture_output=True, text=True)


def compile_ptx(sources: Path = SOURCES) -> str:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "kernels.ptx")
        nvcc("-arch=sm_80", "-ptx", str(sources / "kernels.cu"), "-o", str(target))
        return target.read_text()


@functools.cache
def ptx() -> str:
    return compile_ptx()


class Device:
    """A device with its plan: the float32 scan, or that of codes (see ``CodedDevice``).

    Attributes
    ----------
    overflows, lost
        Queries for which a wave brought more candidates, or hits, than there is room for.
    hits
        Of each wave over codes.
    watch
        Called with a wave's search and codes before it is settled.
    """

    def __init__(self, code: str | None = None, seed: int = 0, **plan: Any) -> None:
        self._driver = FakeDriver(ptx() if code is None else code, seed=seed)
        self._driver.watch = self._look
        self._plan = {"coded": False, **plan}
        self.overflows = self.lost = 0
        self.hits: list[int] = []
        self.watch: Callable[[Search, Codes], None] = lambda search, codes: None

    def topk(self, q: Array, x: Array, k: int, *, spare: int = 0, growth: int = 0, **options: Any) -> TopK:
        return self._run(cosine_topk, q, x, k, plan={"spare": spare, "growth": growth}, **options)

    def threshold(self, q: Array, x: Array, threshold: Any, **options: Any) -> ThresholdHits:
        return self._run(cosine_threshold, q, x, threshold, **options)

    def similarity(self, q: Array, x: Array, metric: str) -> Array:
        return self._run(cosine_similarity, q, x, metric=metric)

    def normalize(self, x: Array) -> tuple[Array, Array]:
        return self._run(normalize, x, return_norms=True)

    def _run(self, function: Any, *arguments: Any, plan: Any = None, **options: Any) -> Any:
        with self._driver as driver:
            _cuda.load_kernels(0, b"an image that every fake driver takes")
            _cuda.override_plan(**self._plan, **(plan or {}))
            try:
                return function(*arguments, device="cuda", **options)
            except RuntimeError:
                raise driver.fault or AssertionError("the driver has no fault") from None
            finally:
                _cuda.override_plan()

    def _look(self, kernel: str, arguments: list[bytes]) -> None:
        if not kernel.startswith("settle_"):
            return
        search = Search.from_buffer_copy(arguments[0])
        if not kernel.startswith("settle_codes_"):
            self.overflows += int((self.read(search.counts, search.queries, np.uint32) > search.capacity).sum())
            return
        codes = Codes.from_buffer_copy(arguments[1])
        counts = self.read(codes.hit_counts, search.queries, np.uint32)
        self.hits.append(int(counts.sum()))
        self.lost += int((counts > codes.hit_capacity).sum())
        self.watch(search, codes)

    @property
    def launched(self) -> set[str]:
        """Names of the kernels that were launched so far."""
        return {name for name, *_ in self._driver.launches}

    def read(self, address: int, shape: Any, dtype: Any) -> Array:
        """What lies in the device's memory now."""
        size = math.prod(np.atleast_1d(shape).tolist()) * np.dtype(dtype).itemsize
        return np.frombuffer(self._driver.machine.heap.memory.read(address, size), dtype).reshape(shape).copy()


class CodedDevice(Device):
    """Scans codes: of few queries by dot products of four bytes, else (or where ``tensor`` says so) on tensor cores."""

    def __init__(
        self, code: str | None = None, seed: int = 0, *, tensor: bool = False, hits: int = 1024, tiles: int = 4
    ) -> None:
        super().__init__(code, seed, coded=True, panel=TENSOR_PANEL if tensor else 0, hits=hits, tiles=tiles)
