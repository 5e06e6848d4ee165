"""A CosineIndex on a GPU: copies of the snapshot's segments, which all streams may read."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aigc_fast import _cuda
from aigc_fast.arrays import bfloat16_bits
from aigc_fast.device import gpu_of
from aigc_fast.gpu import search
from aigc_fast.gpu.arrays import contiguous
from aigc_fast.gpu.items import Items
from aigc_fast.gpu.memory import PER_THREAD_STREAM, Memory, upload

if TYPE_CHECKING:
    from aigc_fast.segments import Segment, Snapshot
    from aigc_fast.similarity import ThresholdHits, TopK


class _OnGpu:
    """A segment's rows, ids and codes, which never change."""

    def __init__(self, gpu: int, segment: Segment, metric: str) -> None:
        rows = np.ascontiguousarray(segment.rows)
        self._kept = [_resident(gpu, rows)]
        self.rows = contiguous(self._kept[0].pointer, rows)
        self.names = 0
        if segment.ids is not None:
            self._kept.append(_resident(gpu, segment.ids))
            self.names = self._kept[-1].pointer
        self._kept.append(_cuda.DeviceMemory(gpu, None, _cuda.description_bytes(len(rows), rows.shape[1])))
        self.description = self._kept[-1].pointer
        _cuda.describe(gpu, PER_THREAD_STREAM, self.rows, metric, self.description)
        _cuda.synchronize(gpu, PER_THREAD_STREAM)  # other streams will use them


class IndexItems(Items):
    """The items that readers of one snapshot see."""

    def __init__(self, parts: list[tuple[Segment, _OnGpu, Any]], snapshot: Snapshot) -> None:
        self._parts, self._version = parts, snapshot.version
        self.segments = [
            _cuda.Segment(there.rows, there.names, 0 if flags is None else flags.pointer, there.description)
            for _, there, flags in parts
        ]
        rows = snapshot.segments[0].rows
        self.rows, self.dim = sum(len(segment) for segment, *_ in parts), rows.shape[1]
        self.is_float64 = rows.dtype == np.float64
        self.id_count = None

    def allow(self, ids: npt.NDArray[np.int64], memory: Memory) -> list[Any]:
        """As the base class; ids that no row has are ignored."""
        kept = []
        self.segments = []
        for segment, there, _ in self._parts:
            found = segment.find(ids)
            flags = np.zeros(len(segment), np.uint8)
            flags[found[found >= 0]] = 1
            kept.append(upload(memory, flags & segment.alive(self._version)))
            self.segments.append(_cuda.Segment(there.rows, there.names, memory.pointer(kept[-1]), there.description))
        return kept


class IndexOnGpu:
    """Copies of an index's segments on a GPU; each is made when a search first needs it."""

    def __init__(self, gpu: int, metric: str) -> None:
        self.gpu, self._metric = gpu, metric
        self._lock = threading.Lock()
        # By the identity of the rows, which the entry keeps: segments that differ in removals share them.
        self._copies: dict[int, tuple[Any, _OnGpu]] = {}
        self._flags: dict[int, tuple[int, Any]] = {}  # and how many rows were removed when they were made

    def topk(self, snapshot: Snapshot, queries: Any, k: int, **options: Any) -> TopK:
        """As ``CosineIndex.topk`` on a snapshot."""
        items = self._items(snapshot, queries)
        return search.topk(self.gpu, queries, items, k, metric=self._metric, out=None, **options)

    def nearest(self, snapshot: Snapshot, rows: npt.NDArray[Any], k: int) -> TopK:
        """Search for rows in the form that segments have them, without filters."""
        queries = bfloat16_bits(rows) if rows.dtype == np.uint16 else rows
        options = dict.fromkeys(("threshold", "exclude", "allow", "after", "max_memory"))
        return self.topk(snapshot, queries, k, **options)

    def threshold(self, snapshot: Snapshot, queries: Any, threshold: Any, **options: Any) -> ThresholdHits:
        """As ``CosineIndex.threshold`` on a snapshot."""
        items = self._items(snapshot, queries)
        return search.threshold_hits(self.gpu, queries, items, threshold, metric=self._metric, **options)

    def _items(self, snapshot: Snapshot, queries: Any) -> IndexItems:
        """Forget what is gone, and copy what this snapshot's readers search and is not there yet."""
        home = gpu_of(queries)
        if home not in (None, self.gpu):
            raise ValueError(f"queries must be on the index's GPU, cuda:{self.gpu}, but they are on cuda:{home}")
        segments = snapshot.searched or snapshot.segments[:1]
        with self._lock:
            current = {id(segment.rows) for segment in segments}
            self._copies = {key: copy for key, copy in self._copies.items() if key in current}
            self._flags = {key: flags for key, flags in self._flags.items() if key in current}
            parts = [(segment, *self._copy_of(segment, snapshot.version)) for segment in segments]
        return IndexItems(parts, snapshot)

    def _copy_of(self, segment: Segment, version: int) -> tuple[_OnGpu, Any]:
        key = id(segment.rows)
        if key not in self._copies:
            self._copies[key] = (segment.rows, _OnGpu(self.gpu, segment, self._metric))
        if segment.removed == 0:
            return self._copies[key][1], None
        if self._flags.get(key, (0, None))[0] != segment.removed:
            self._flags[key] = (segment.removed, _resident(self.gpu, segment.alive(version)))
        return self._copies[key][1], self._flags[key][1]


def _resident(gpu: int, array: npt.NDArray[Any]) -> _cuda.DeviceMemory:
    """Copy to memory that all streams may use from now on."""
    memory = _cuda.DeviceMemory(gpu, None, array.nbytes)
    _cuda.upload(gpu, PER_THREAD_STREAM, memory.pointer, array)
    return memory
