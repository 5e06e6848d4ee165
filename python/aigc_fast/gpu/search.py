"""The public functions on a GPU: check, place, plan, enqueue. Parameters and results are those of the CPU's.

Nothing here waits for the GPU where all arrays live on it, but for: filters from the host (their copies), and the
number of hits of a threshold search, which decides how much memory its result takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aigc_fast import _cuda
from aigc_fast.arrays import as_count, as_k, check_metric, id_lists, is_id_lists, page_ends, shared_ids
from aigc_fast.gpu.arrays import SIZES, Matrix, Target, as_matrix, home_of, per_query
from aigc_fast.gpu.items import Items
from aigc_fast.gpu.memory import Memory, memory_of, upload
from aigc_fast.similarity import ThresholdHits, TopK, three_arrays

WORKSPACE_BYTES = 1 << 30  # the default of max_memory


class _Search:
    """One call: its arrays on the GPU, the filters, and the plan."""

    def __init__(
        self,
        gpu: int,
        queries: Any,
        items: Any,
        metric: str,
        max_memory: int | None,
        names: tuple[str, str] = ("queries", "items"),
    ) -> None:
        arrays = (queries,) if isinstance(items, Items) else (queries, items)
        self.memory: Memory = memory_of(gpu, *arrays)
        self.home = home_of(queries)
        self.queries: Matrix = as_matrix(queries, names[0], self.memory)
        if not isinstance(items, Items):
            items = Items(self.queries if items is queries else as_matrix(items, names[1], self.memory))
        self.items: Items = items
        given, wanted = ((m.rows, m.dim) for m in (self.queries.rows, self.items))
        if given[1] != wanted[1]:
            both = f"{names[0]} and {names[1]}"
            raise ValueError(f"{both} must have the same number of columns, got shapes {given} and {wanted}")
        check_metric(metric)
        self.metric = metric
        self.dtype = np.float64 if self.queries.is_float64 or self.items.is_float64 else np.float32
        self.count = self.queries.rows.rows
        self._most = WORKSPACE_BYTES if max_memory is None else as_count(max_memory, "max_memory", 1)
        self._filters: dict[str, Any] = {}
        self._kept: list[Any] = []

    def _keep(self, array: Any) -> int:
        self._kept.append(array)
        return self.memory.pointer(array)

    def restrict(self, threshold: Any, exclude: Any, allow: Any, after: Any) -> None:
        """Check filters, on the host as for the CPU, and copy them to the GPU."""
        ids = self.items.id_count
        if threshold is not None:
            thresholds = per_query(threshold, "threshold", self.count, self.dtype, self.memory)
            self._kept.append(thresholds)
            self._filters["thresholds"] = thresholds.pointer
        if exclude is not None:
            lists = id_lists(exclude, "exclude", self.count, ids)
            self._filters["exclude"] = tuple(self._keep(upload(self.memory, part)) for part in lists)
        if allow is not None and is_id_lists(allow):
            lists = id_lists(allow, "allow", self.count, ids)
            self._filters["allow"] = tuple(self._keep(upload(self.memory, part)) for part in lists)
        elif allow is not None:
            self._kept += self.items.allow(shared_ids(allow, "allow", ids), self.memory)
        if after is not None:
            ends = page_ends(after, self.count, self.dtype)
            self._filters["after"] = tuple(self._keep(upload(self.memory, part)) for part in ends)

    def plan(self, task: str, k: int = 0) -> tuple[int, int, _cuda.Request, _cuda.Plan, int]:
        """Return what every search of the extension takes first."""
        request = _cuda.Request(self.queries.rows, self.items.segments, self.metric, task, k, **self._filters)
        plan = _cuda.Plan(request, self._most)
        workspace = self._keep(self.memory.empty((plan.workspace,), np.uint8))
        return self.memory.device, self.memory.stream, request, plan, workspace


def topk(
    gpu: int,
    queries: Any,
    items: Any,
    k: int,
    *,
    threshold: Any,
    exclude: Any,
    allow: Any,
    after: Any,
    metric: str,
    max_memory: int | None,
    out: Any,
) -> TopK:
    """As :func:`aigc_fast.cosine_topk`."""
    search = _Search(gpu, queries, items, metric, max_memory)
    k = as_k(k)
    given = (None,) * 3 if out is None else three_arrays(out)
    shape = (search.count, k)
    scores, ids, counts = (
        Target(search.memory, shape, dtype, search.home, f"out {name}", array)
        for name, shape, dtype, array in zip(
            TopK._fields, (shape, shape, shape[:1]), (search.dtype, np.int64, np.int64), given, strict=True
        )
    )
    search.restrict(threshold, exclude, allow, after)
    _cuda.topk(*search.plan("topk", k), scores.pointer, ids.pointer, counts.pointer, k)
    result = TopK(scores.finish(), ids.finish(), counts.finish())
    return result if out is None else out


def threshold_hits(
    gpu: int,
    queries: Any,
    items: Any,
    threshold: Any,
    *,
    exclude: Any,
    allow: Any,
    after: Any,
    metric: str,
    max_memory: int | None,
) -> ThresholdHits:
    """As :func:`aigc_fast.cosine_threshold`: count, allocate, fill, sort."""
    search = _Search(gpu, queries, items, metric, max_memory)
    search.restrict(threshold, exclude, allow, after)
    memory = search.memory
    indptr = Target(memory, (search.count + 1,), np.int64, search.home)
    counts = memory.empty((search.count,), np.int32)
    arguments = search.plan("threshold")
    _cuda.count_hits(*arguments, memory.pointer(counts), indptr.pointer)
    total = np.empty(1, np.int64)
    _cuda.download(memory.device, memory.stream, indptr.pointer + 8 * search.count, total)
    ids = Target(memory, (int(total[0]),), np.int64, search.home)
    scores = Target(memory, (int(total[0]),), search.dtype, search.home)
    _cuda.fill_hits(*arguments, memory.pointer(counts), indptr.pointer, scores.pointer, ids.pointer)
    return ThresholdHits(indptr.finish(), ids.finish(), scores.finish())


def similarity(gpu: int, a: Any, b: Any, *, metric: str, max_memory: int | None) -> Any:
    """As :func:`aigc_fast.cosine_similarity`."""
    search = _Search(gpu, a, a if b is None else b, metric, max_memory, ("a", "b"))
    scores = Target(search.memory, (search.count, search.items.rows), search.dtype, search.home)
    _cuda.similarity(*search.plan("similarity"), scores.pointer)
    return scores.finish()


def normalize(gpu: int, x: Any, *, out: Any, return_norms: bool) -> Any:
    """As :func:`aigc_fast.normalize`."""
    memory, home = memory_of(gpu, x), home_of(x)
    rows = as_matrix(x, "x", memory)
    dtype = np.float64 if rows.is_float64 else np.float32
    shape = (rows.rows.rows, rows.rows.dim)
    unit = Target(memory, shape, dtype, home, "out", out)
    copied = out is not None and home == "gpu" and _partly_overlap(unit.pointer, np.dtype(dtype), rows.rows)
    if copied:
        unit = Target(memory, shape, dtype, home)
    norms = Target(memory, (rows.rows.rows,), dtype, home) if return_norms else None
    _cuda.normalize(memory.device, memory.stream, rows.rows, unit.pointer, 0 if norms is None else norms.pointer)
    result = unit.finish()
    if copied:
        out[...] = result
        result = out
    return result if norms is None else (result, norms.finish())


def _partly_overlap(pointer: int, dtype: np.dtype[Any], rows: _cuda.Matrix) -> bool:
    """Whether a C-contiguous output shares memory with rows, element by element in place excepted."""
    size = SIZES[rows.element]
    in_place = (
        pointer == rows.pointer and size == dtype.itemsize and (rows.row_stride, rows.column_stride) == (rows.dim, 1)
    )
    steps = [(n - 1) * step * size for n, step in ((rows.rows, rows.row_stride), (rows.dim, rows.column_stride))]
    begin, end = rows.pointer + sum(s for s in steps if s < 0), rows.pointer + size + sum(s for s in steps if s > 0)
    return not in_place and begin < pointer + rows.rows * rows.dim * dtype.itemsize and pointer < end
