"""The public functions on a GPU: check, place, plan, enqueue. Parameters and results are those of the CPU's.

What a call needs beside its inputs and results stays within ``max_memory``; results for the host are made a part at a
time within it, too.

Nothing here waits for the GPU where all arrays live on it, but for: filters from the host (their copies), and the
number of hits of a threshold search, which decides how much memory its result takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_fast import _cuda, arrays
from aigc_fast.arrays import as_k, check_apart, check_metric, item_filters, page_ends
from aigc_fast.gpu.arrays import Matrix, Target, as_matrix, contiguous, home_of, per_query, rows_from
from aigc_fast.gpu.items import Items
from aigc_fast.gpu.memory import Budget, Memory, OwnMemory, give_back, memory_of, upload
from aigc_fast.similarity import ThresholdHits, TopK, three_arrays


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
        given_arrays = (queries,) if isinstance(items, Items) else (queries, items)
        self.memory: Memory = memory_of(gpu, *given_arrays)
        self.home = home_of(queries)
        self.queries: Matrix = as_matrix(queries, names[0], self.memory)
        self.places = {names[0]: self.queries.place}  # of what is read
        if not isinstance(items, Items):
            matrix = self.queries if items is queries else as_matrix(items, names[1], self.memory)
            self.places[names[1]] = matrix.place
            items = Items(matrix)
        self.items: Items = items
        given, wanted = ((m.rows, m.dim) for m in (self.queries.rows, self.items))
        if given[1] != wanted[1]:
            both = f"{names[0]} and {names[1]}"
            raise ValueError(f"{both} must have the same number of columns, got shapes {given} and {wanted}")
        check_metric(metric)
        self.metric = metric
        self.dtype = np.float64 if self.queries.is_float64 or self.items.is_float64 else np.float32
        self.count = self.queries.rows.rows
        self.budget = Budget(max_memory)
        self._given = [*given_arrays]
        self._filters: dict[str, Any] = {}
        self._kept: list[Any] = []

    def _keep(self, array: Any) -> int:
        self._kept.append(array)
        return self.memory.pointer(array)

    def reach(self, threshold: Any) -> None:
        """Let nothing pass that scores less."""
        self._given.append(threshold)
        thresholds = per_query(threshold, "threshold", self.count, self.dtype, self.memory)
        self._kept.append(thresholds)
        self._filters["thresholds"] = thresholds.pointer

    def restrict(self, exclude: Any, allow: Any, after: Any) -> None:
        """Check filters, on the host as for the CPU, and copy them to the GPU."""
        excluded, allowed, shared = item_filters(exclude, allow, self.count, self.items.id_count)
        ends = None if after is None else page_ends(after, self.count, self.dtype)
        for name, pair in (("exclude", excluded), ("allow", allowed), ("after", ends)):
            if pair is not None:
                self._filters[name] = tuple(self._keep(upload(self.memory, part)) for part in pair)
        if shared is not None:
            self._kept += self.items.allow(shared, self.memory)

    def plan(self, task: str, k: int = 0) -> tuple[int, int, _cuda.Request, _cuda.Plan, int]:
        """Return what every search of the extension takes first."""
        request = self.request(self.queries.rows, task, k)

        def make(room: int) -> tuple[_cuda.Plan, Any]:
            plan = _cuda.Plan(request, room)
            return plan, self.memory.empty((plan.workspace,), np.uint8)

        plan, workspace = self.budget.fit(make)
        return self.memory.device, self.memory.stream, request, plan, self._keep(workspace)

    def end(self, *results: Any) -> None:
        """Everything is enqueued: the caller may use results and drop the arrays."""
        give_back(self.memory, *self._given, *results)

    def request(self, queries: _cuda.Matrix, task: str, k: int = 0) -> _cuda.Request:
        """Return what is asked, of all queries or some."""
        return _cuda.Request(queries, self.items.segments, self.metric, task, k, **self._filters)


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
    scores, ids, counts = targets = [
        Target(search.memory, shape, dtype, search.home, f"out {name}", array)
        for name, shape, dtype, array in zip(
            TopK._fields, (shape, shape, shape[:1]), (search.dtype, np.int64, np.int64), given, strict=True
        )
    ]
    check_apart({target.name: target.place for target in targets}, search.places)
    if threshold is not None:
        search.reach(threshold)
    search.restrict(exclude, allow, after)
    _cuda.topk(*search.plan("topk", k), scores.pointer, ids.pointer, counts.pointer, k)
    search.end(*given)
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
    search.reach(threshold)
    search.restrict(exclude, allow, after)
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
    search.end()
    return ThresholdHits(indptr.finish(), ids.finish(), scores.finish())


def similarity(gpu: int, a: Any, b: Any, *, metric: str, max_memory: int | None) -> Any:
    """As :func:`aigc_fast.cosine_similarity`."""
    search = _Search(gpu, a, a if b is None else b, metric, max_memory, ("a", "b"))
    shape = search.count, search.items.rows
    if search.home != "gpu":
        host = np.empty(shape, search.dtype)
        _similarity_to_host(search, host)
        return arrays.as_torch(host) if search.home == "torch" else host
    scores = Target(search.memory, shape, search.dtype, search.home)
    _cuda.similarity(*search.plan("similarity"), scores.pointer)
    search.end()
    return scores.finish()


def _similarity_to_host(search: _Search, host: Any) -> None:
    """Compute as many rows at a time as there is room for."""
    memory, queries = search.memory, search.queries.rows
    row_bytes = host.shape[1] * host.itemsize

    def make(room: int) -> tuple[int, Any, _cuda.Plan, Any]:
        at_once = max(1, min(len(host), room // 2 // max(1, row_bytes)))
        if room <= at_once * row_bytes:
            raise MemoryError(f"a row of the result takes {row_bytes} bytes, and max_memory is {room}")
        part = memory.empty((at_once, host.shape[1]), host.dtype)
        plan = _cuda.Plan(search.request(rows_from(queries, 0, at_once), "similarity"), room - at_once * row_bytes)
        return at_once, part, plan, memory.empty((plan.workspace,), np.uint8)

    at_once, part, plan, workspace = search.budget.fit(make)
    for first in range(0, len(host), at_once):
        request = search.request(rows_from(queries, first, at_once), "similarity")
        pointers = memory.pointer(workspace), memory.pointer(part)
        _cuda.similarity(memory.device, memory.stream, request, plan, *pointers)
        _cuda.download(memory.device, memory.stream, pointers[1], host[first : first + at_once])


def normalize(gpu: int, x: Any, *, out: Any, return_norms: bool, max_memory: int | None) -> Any:
    """As :func:`aigc_fast.normalize`."""
    home, budget = home_of(x), Budget(max_memory)
    if home != "gpu":
        results = _normalize_on_host(gpu, arrays.as_matrix(x, "x").array, out, return_norms, budget)
        unit, norms = (arrays.as_torch(part) if home == "torch" else part for part in results)
        unit = unit if out is None else out
        return (unit, norms) if return_norms else unit
    memory = memory_of(gpu, x)
    rows = as_matrix(x, "x", memory)
    dtype = np.float64 if rows.is_float64 else np.float32
    shape = (rows.rows.rows, rows.rows.dim)
    unit = Target(memory, shape, dtype, home, "out", out)
    copied = arrays.overwrites(unit.place, rows.place)
    if copied:
        unit = Target(memory, shape, dtype, home)
    norms = Target(memory, (rows.rows.rows,), dtype, home) if return_norms else None
    _cuda.normalize(memory.device, memory.stream, rows.rows, unit.pointer, 0 if norms is None else norms.pointer)
    give_back(memory, out)
    result = unit.finish()
    if copied:
        out[...] = result
        result = out
    return result if norms is None else (result, norms.finish())


def _normalize_on_host(
    gpu: int, rows: npt.NDArray[Any], out: Any, return_norms: bool, budget: Budget
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Copy as many rows at a time as there is room for; without ``return_norms`` the norms are of no rows."""
    memory, dim = OwnMemory(gpu), rows.shape[1]
    dtype = arrays.score_dtype(rows, rows)
    unit = np.empty(rows.shape, dtype) if out is None else arrays.output(out, "out", rows.shape, dtype)
    rows = arrays.unaliased(rows, unit)
    norms = np.empty(len(rows) if return_norms else 0, dtype)
    row_bytes = dim * (rows.itemsize + unit.itemsize) + unit.itemsize

    def make(room: int) -> tuple[int, Any, Any, Any]:
        if room < row_bytes:
            raise MemoryError(f"a row and its result take {row_bytes} bytes, and max_memory is {room}")
        at_once = min(len(rows), room // row_bytes)
        made = [memory.empty((at_once, dim), of.dtype) for of in (rows, unit)]
        return at_once, *made, memory.empty((at_once,), dtype)

    if len(rows) == 0:
        return unit, norms
    at_once, *parts = budget.fit(make)
    source, target, lengths = map(memory.pointer, parts)
    for first in range(0, len(rows), at_once):
        some = np.ascontiguousarray(rows[first : first + at_once])
        _cuda.upload(gpu, memory.stream, source, some)
        _cuda.normalize(gpu, memory.stream, contiguous(source, some), target, lengths)
        _cuda.download(gpu, memory.stream, target, unit[first : first + at_once])
        if return_norms:
            _cuda.download(gpu, memory.stream, lengths, norms[first : first + at_once])
    return unit, norms
