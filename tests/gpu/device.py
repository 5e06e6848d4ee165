"""Searches on a simulated GPU: the kernels' PTX from nvcc, and the launches that a search takes."""

from __future__ import annotations

import ctypes
import functools
import math
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aigc_fast import ThresholdHits, TopK
from ptxsim import Machine

Array = npt.NDArray[Any]

SOURCES = Path(__file__).parents[2] / "cuda" / "kernels"
FLAGS = ("-std=c++17", "-fmad=false")  # the canonical score fuses where it says so
METRICS = ("cosine", "inner_product", "pearson")
NAMES = {"float32": "f32", "float64": "f64", "float16": "f16", "uint16": "bf16", "int8": "i8"}
FILTERS = ("exclude_indptr", "exclude_ids", "allow_indptr", "allow_ids", "allowed")
KEEP, COUNT, FILL = range(3)
THREADS, TILE_ROWS, LANES, STEP_COLUMNS = 256, 128, 8, 16


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


class _Structure(ctypes.Structure):
    def packed(self) -> bytes:
        return bytes(self)


class Rows(_Structure):
    _fields_ = (
        ("data", ctypes.c_uint64),
        ("row_stride", ctypes.c_int64),
        ("column_stride", ctypes.c_int64),
        ("rows", ctypes.c_uint32),
        ("dim", ctypes.c_uint32),
    )


class Search(_Structure):
    """``cuda/kernels/search.h``."""

    _fields_ = (
        ("items", Rows),
        *((name, ctypes.c_int32) for name in ("metric", "as_f64")),
        *((name, ctypes.c_uint32) for name in ("queries", "panel")),
        ("mode", ctypes.c_int32),
        *((name, ctypes.c_uint64) for name in ("values", "vectors", "info", "cutoffs", "measures", "names")),
        *((name, ctypes.c_uint64) for name in FILTERS),
        *((name, ctypes.c_uint64) for name in ("thresholds", "after_scores", "after_ids")),
        *((name, ctypes.c_uint32) for name in ("tiles", "tile_step", "k", "capacity")),
        *((name, ctypes.c_uint64) for name in ("scores", "ids", "kept", "counts")),
        *((name, ctypes.c_uint64) for name in ("indptr", "hit_scores", "hit_ids")),
    )  # fmt: skip


class TopKOutput(_Structure):
    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("scores", "ids", "counts")),
        ("width", ctypes.c_uint32),
    )


class Wave(_Structure):
    _fields_ = (("begin", ctypes.c_uint32), ("end", ctypes.c_uint32))


class Device:
    """A simulated device with the launches of each kind of search."""

    def __init__(self, code: str | None = None, seed: int = 0) -> None:
        self.machine = Machine(ptx() if code is None else code, 1 << 23, seed)
        self.overflows = 0  # waves that were done again

    def upload(self, x: Array | None) -> int:
        if x is None:
            return 0
        address = self.empty(x.nbytes)
        self.machine.heap.memory.write(address, np.ascontiguousarray(x).tobytes())
        return address

    def empty(self, size: int) -> int:
        address = self.machine.heap.allocate(size)
        assert address is not None
        return address

    def download(self, address: int, shape: Any, dtype: Any) -> Array:
        size = math.prod(np.atleast_1d(shape).tolist()) * np.dtype(dtype).itemsize
        return np.frombuffer(self.machine.heap.memory.read(address, size), dtype).reshape(shape).copy()

    def rows(self, x: Array) -> Rows:
        """Upload a matrix with its strides."""
        as_strided = np.lib.stride_tricks.as_strided  # what lies between rows and columns travels too
        strides = [s // x.itemsize for s in x.strides]
        span = 1 + sum((n - 1) * s for n, s in zip(x.shape, strides, strict=True)) if x.size else 1
        flat = as_strided(x, (span,), (x.itemsize,)) if x.size else np.zeros(1, x.dtype)
        return Rows(self.upload(flat), *strides, *x.shape)

    def launch(self, name: str, blocks: int, *arguments: Any, y: int = 1, shared: int = 0) -> None:
        if blocks * y:
            packed = [a.packed() if isinstance(a, _Structure) else a for a in arguments]
            self.machine.launch(name, (blocks, y, 1), (THREADS, 1, 1), packed, shared)

    def _panel(self, queries: int, mode: int) -> int:
        return 8 if queries <= 8 else 64

    def _prepare(
        self, q: Array, x: Array, metric: str, mode: int, k: int, spare: int, filters: dict[str, Any]
    ) -> Search:
        count, dim = q.shape
        panel = self._panel(count, mode)
        padded = -(-count // panel) * panel
        tiles = -(-len(x) // TILE_ROWS)
        step = next(s for s in range(max(int(tiles * 0.618), 1), tiles + 2) if math.gcd(s, max(tiles, 1)) == 1)
        capacity = min(k + spare, len(x))
        search = Search(
            items=self.rows(x), metric=METRICS.index(metric), as_f64=np.float64 in (q.dtype, x.dtype), queries=count,
            panel=panel, mode=mode, values=self.empty(count * -(-dim // LANES) * LANES * 8),
            vectors=self.empty(padded * -(-dim // STEP_COLUMNS) * STEP_COLUMNS * 4), info=self.empty(count * 24),
            cutoffs=self.empty(padded * 4), measures=self.empty(len(x) * 8), tiles=tiles, tile_step=step, k=k,
            capacity=capacity, scores=self.empty(count * capacity * 8), ids=self.empty(count * capacity * 8),
            kept=self.empty(count * 4), counts=self.empty(count * 4), **filters,
        )  # fmt: skip
        self.prepare_queries(search, q)
        self._describe_items(search, x)
        return search

    def _describe_items(self, search: Search, x: Array) -> None:
        self.launch(f"measure_items_{NAMES[x.dtype.name]}", -(-len(x) // 8), search)

    def prepare_queries(self, search: Search, q: Array) -> None:
        padded = -(-search.queries // search.panel) * search.panel
        self.launch(f"prepare_queries_{NAMES[q.dtype.name]}", -(-padded * LANES // THREADS), search, self.rows(q))

    def _scan(self, search: Search, x: Array, wave: Wave) -> None:
        kind = "few" if search.panel == 8 else "many"
        blocks = (wave.end - wave.begin) * -(-search.queries // search.panel)
        self.launch(f"scan_{kind}_{NAMES[x.dtype.name]}", blocks, search, wave)

    def _settle(self, search: Search, x: Array, wave: Wave) -> None:
        counts = self.download(search.counts, search.queries, np.uint32)
        self.overflows += int((counts > search.capacity).sum())
        self.launch(f"settle_{NAMES[x.dtype.name]}", search.queries, search, wave)

    def filters(
        self, exclude: Any = None, allow: Any = None, allowed: Any = None, thresholds: Any = None, after: Any = None
    ) -> dict[str, int]:
        """Upload what restricts results: (indptr, ids) pairs, flags, one threshold or (score, id) a query."""
        indptr, ids = exclude or (None, None)
        allow_indptr, allow_ids = allow or (None, None)
        scores, after_ids = after or (None, None)
        arrays = {
            "exclude_indptr": indptr, "exclude_ids": ids, "allow_indptr": allow_indptr, "allow_ids": allow_ids,
            "allowed": allowed, "thresholds": thresholds, "after_scores": scores, "after_ids": after_ids,
        }  # fmt: skip
        return {name: self.upload(array) for name, array in arrays.items()}

    def topk(
        self, q: Array, x: Array, k: int, *, metric: str = "cosine", spare: int = 1024, growth: int = 8, **filters: Any
    ) -> TopK:
        """Waves of growing size; after each the candidates are put in order."""
        best = min(k, len(x))
        search = self._prepare(q, x, metric, KEEP, best, spare, self.filters(**filters))
        begin = 0
        end = search.tiles if search.capacity == len(x) else spare // TILE_ROWS
        while best and begin < search.tiles:
            wave = Wave(begin, min(end, search.tiles))
            self._scan(search, x, wave)
            self._settle(search, x, wave)
            begin, end = end, end * growth
        dtype = np.float64 if search.as_f64 else np.float32
        output = TopKOutput(
            self.empty(len(q) * k * np.dtype(dtype).itemsize), self.empty(len(q) * k * 8), self.empty(len(q) * 8), k
        )
        self.launch("write_topk", len(q), search, output)
        return TopK(
            self.download(output.scores, (len(q), k), dtype),
            self.download(output.ids, (len(q), k), np.int64),
            self.download(output.counts, len(q), np.int64),
        )

    def threshold(
        self, q: Array, x: Array, thresholds: Array, *, metric: str = "cosine", **filters: Any
    ) -> ThresholdHits:
        """Count, add up, fill, sort."""
        search = self._prepare(q, x, metric, COUNT, 0, 0, self.filters(thresholds=thresholds, **filters))
        self._scan(search, x, Wave(0, search.tiles))
        search.indptr = self.empty((len(q) + 1) * 8)
        self.launch("add_counts", 1, search.counts, len(q), search.indptr)
        indptr = self.download(search.indptr, len(q) + 1, np.int64)
        dtype = np.float64 if search.as_f64 else np.float32
        total = int(indptr[-1])
        search.hit_scores, search.hit_ids = self.empty(total * np.dtype(dtype).itemsize), self.empty(total * 8)
        search.mode = FILL
        self.prepare_queries(search, q)
        self._scan(search, x, Wave(0, search.tiles))
        self.launch(
            f"sort_hits_{NAMES[np.dtype(dtype).name]}", len(q), search.indptr, search.hit_scores, search.hit_ids
        )
        return ThresholdHits(
            indptr, self.download(search.hit_ids, total, np.int64), self.download(search.hit_scores, total, dtype)
        )

    def similarity(self, q: Array, x: Array, metric: str = "cosine") -> Array:
        search = self._prepare(q, x, metric, COUNT, 0, 0, {})
        dtype = np.float64 if search.as_f64 else np.float32
        scores = self.empty(len(q) * len(x) * np.dtype(dtype).itemsize)
        self.launch(f"similarity_{NAMES[x.dtype.name]}", -(-len(x) * LANES // THREADS), search, scores, y=len(q))
        return self.download(scores, (len(q), len(x)), dtype)

    def normalize(self, x: Array) -> tuple[Array, Array]:
        dtype = np.float64 if x.dtype == np.float64 else np.float32
        size = np.dtype(dtype).itemsize
        unit, norms = self.empty(x.size * size), self.empty(len(x) * size)
        self.launch(f"normalize_{NAMES[x.dtype.name]}", -(-len(x) * LANES // THREADS), self.rows(x), unit, norms)
        return self.download(unit, x.shape, dtype), self.download(norms, len(x), dtype)
