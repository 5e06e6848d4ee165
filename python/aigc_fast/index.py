"""CosineIndex: items kept ready for exact search at int8 speed, with additions, removals and files.

A snapshot is a tuple of segments that never change, so readers need no lock: a search works on the snapshot that it
found, whatever writers do meanwhile. Writers take turns, prepare the next snapshot and publish it by one assignment.
Rows are added to a small tail, which is coded and becomes a segment when it is large enough; segments of similar size
are merged, so that a row is copied O(log n) times. A removal marks rows with the version from which they are gone.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aigc_fast import _core, index_head
from aigc_fast.arrays import (
    Matrix,
    as_count,
    as_k,
    as_matrix,
    as_torch,
    check_metric,
    id_lists,
    integers,
    is_id_lists,
    page_ends,
    same_columns,
    score_dtype,
    scores_like,
    shared_ids,
    threads,
)
from aigc_fast.device import Device, choose, on_host
from aigc_fast.errors import require
from aigc_fast.explanation import Explanation
from aigc_fast.segment_writer import SegmentWriter
from aigc_fast.segments import Lookup, Segment, Snapshot
from aigc_fast.similarity import Metric, ThresholdHits, TopK

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import numpy.typing as npt

    from aigc_fast.gpu.index import IndexOnGpu
    from aigc_fast.segments import Ids

_CODED_ROWS = 256  # fewer are scored directly in no time
_DRIFT_ROWS = 2048  # looked at, of those added and of the others


class CosineIndex:
    """Items prepared for exact top-K and threshold search.

    Parameters
    ----------
    items
        Rows, shape (n, d), as in :func:`aigc_fast.cosine_topk`. NumPy arrays and torch tensors are used in place,
        without a copy: do not change them while the index lives.
    ids
        Shape (n,), distinct integers: the items' names in results, exclusions and removals. None: 0 to n-1, and later
        additions count on.
    metric
        "cosine", "inner_product" or "pearson".
    num_threads
        Threads that build and search; None: ``get_num_threads()``.
    progress
        Show a bar on standard error while rows are coded (tqdm); a build can be interrupted with or without it.
    device
        Where searches run: "cpu", "cuda", "cuda:1", "auto", or None: where ``items`` live. On a GPU the index keeps
        rows and codes there beside the rows on the host; a change copies the rows that are new. Pickled, it comes back
        on the CPU.

    Notes
    -----
    Results are those of :func:`aigc_fast.cosine_topk`, bit for bit: a scan of int8 codes proposes, the canonical score
    decides (docs/architecture.md). Codes take d + 2 bytes a row, about a quarter of float32 rows. Where rows lie near a
    subspace of few dimensions, as embeddings often do, a scan of these rules most items out first; that takes another
    d + 32 to d + 192 bytes a row, and is done only where a sample of the rows says that it pays.
    Searches are thread-safe and go on undisturbed during writes: each sees the items as they were when it started.

    Examples
    --------
    >>> import numpy as np
    >>> index = CosineIndex(np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32))
    >>> index.topk([[1.0, 0.2]], 2).ids.tolist()
    [[0, 2]]
    >>> index.remove([0])
    >>> index.add([[2.0, 0.1]]).tolist()
    [3]
    >>> index.topk([[1.0, 0.2]], 2).ids.tolist()
    [[3, 2]]
    """

    def __init__(
        self,
        items: Any,
        ids: Any = None,
        *,
        metric: Metric = "cosine",
        num_threads: int | None = None,
        progress: bool = False,
        device: Device = None,
    ) -> None:
        check_metric(metric)
        self._on_gpu = _on_gpu(choose(device, {"items": items}), metric)
        rows = as_matrix(on_host(items), "items").array
        id_array = None if ids is None else _distinct(integers(ids, "ids"), rows.shape[0])
        self._metric = metric
        self._num_threads = num_threads
        self._lock = threading.Lock()
        codes = self._encode(rows, id_array, progress)
        if codes is not None:
            codes = index_head.with_head(rows, codes, metric, threads(num_threads))
        base = Segment(rows, None if id_array is None else Lookup(id_array), codes, borrowed=True)
        self._writer = SegmentWriter(rows, self._encode_like)
        self._next_id = rows.shape[0] if id_array is None else int(id_array.max(initial=-1)) + 1
        self._snapshot = Snapshot((base, self._writer.tail(0)), 0, rows.shape[0])

    def _encode(self, rows: npt.NDArray[Any], ids: Ids | None, progress: bool = False) -> _core.ItemCodes | None:
        if self._on_gpu is not None or rows.shape[0] < _CODED_ROWS or rows.shape[1] > _core.MAX_CODED_COLUMNS:
            return None
        arguments = (rows, ids, self._metric, threads(self._num_threads))
        if not progress:
            return _core.ItemCodes.encode(*arguments)
        with require("tqdm", "index").tqdm(total=rows.shape[0], unit="row", unit_scale=True) as bar:
            return _core.ItemCodes.encode(*arguments, lambda done: bar.update(done - bar.n))

    def _encode_like(self, rows: npt.NDArray[Any], ids: Ids | None) -> _core.ItemCodes | None:
        """Codes of rows, with heads along the same directions as those of the first segment."""
        codes, model = self._encode(rows, ids), self._snapshot.segments[0].codes
        if codes is None or model is None or model.head is None:
            return codes
        basis = model.head.arrays()["basis"]
        return index_head.encode_heads(rows, codes, self._metric, threads(self._num_threads), basis, model.survivors)

    # Searching

    def topk(
        self,
        queries: Any,
        k: int,
        *,
        threshold: Any = None,
        exclude: Any = None,
        allow: Any = None,
        after: tuple[Any, Any] | None = None,
        num_threads: int | None = None,
    ) -> TopK:
        """Find the ``k`` best items of each query; parameters and result as in :func:`aigc_fast.cosine_topk`.

        ``exclude`` and ``allow`` name items by their ids; a sparse matrix has a column for each id. Unknown ids are
        ignored, since an item may have been removed meanwhile.
        """
        snapshot = self._snapshot
        if self._on_gpu is not None:
            return self._on_gpu.topk(
                snapshot, queries, k, threshold=threshold, exclude=exclude, allow=allow, after=after
            )
        query_rows = self._queries(queries)
        count = query_rows.array.shape[0]
        k = as_k(k)
        dtype = score_dtype(query_rows.array, snapshot.segments[0].rows)
        thresholds = None if threshold is None else scores_like(threshold, "threshold", count, dtype)
        ends = None if after is None else page_ends(after, count, dtype)
        filters = self._filters(snapshot, exclude, allow, count)
        workers = threads(num_threads if num_threads is not None else self._num_threads)
        parts = []
        for items, lists in zip(snapshot.item_sets, filters, strict=True):
            part = _empty_topk(count, k, dtype)
            _core.topk(
                query_rows.array,
                items,
                k,
                thresholds,
                self._metric,
                *lists,
                ends,
                workers,
                *part,
            )
            parts.append(part)
        result = parts[0] if len(parts) == 1 else _merge_topk(parts, count, k, dtype)
        return TopK(*map(as_torch, result)) if query_rows.is_torch else result

    def threshold(
        self,
        queries: Any,
        threshold: Any,
        *,
        exclude: Any = None,
        allow: Any = None,
        after: tuple[Any, Any] | None = None,
        num_threads: int | None = None,
    ) -> ThresholdHits:
        """Find all that reaches ``threshold``; as :func:`aigc_fast.cosine_threshold`, with ids as in ``topk``."""
        snapshot = self._snapshot
        if self._on_gpu is not None:
            return self._on_gpu.threshold(snapshot, queries, threshold, exclude=exclude, allow=allow, after=after)
        query_rows = self._queries(queries)
        count = query_rows.array.shape[0]
        dtype = score_dtype(query_rows.array, snapshot.segments[0].rows)
        thresholds = scores_like(threshold, "threshold", count, dtype)
        ends = None if after is None else page_ends(after, count, dtype)
        filters = self._filters(snapshot, exclude, allow, count)
        workers = threads(num_threads if num_threads is not None else self._num_threads)
        parts = [
            _core.threshold(query_rows.array, items, thresholds, self._metric, *lists, ends, workers)
            for items, lists in zip(snapshot.item_sets, filters, strict=True)
        ]
        indptr, ids, scores = parts[0] if len(parts) == 1 else _merge_hits(parts, count)
        result = ThresholdHits(indptr, ids, scores.astype(dtype, copy=False))
        return ThresholdHits(*map(as_torch, result)) if query_rows.is_torch else result

    def explain(self, queries: Any, k: int, *, threshold: Any = None, num_threads: int | None = None) -> Explanation:
        """Search on the CPU, and say what the planner chose and what each stage did; printing shows a table."""
        snapshot = self._snapshot
        query_rows = self._queries(queries).array
        count = query_rows.shape[0]
        dtype = score_dtype(query_rows, snapshot.segments[0].rows)
        thresholds = None if threshold is None else scores_like(threshold, "threshold", count, dtype)
        workers = threads(num_threads if num_threads is not None else self._num_threads)
        reports = []
        for items in snapshot.item_sets:
            part = _empty_topk(count, as_k(k), dtype)
            report = _core.SearchReport()
            arguments = (thresholds, self._metric, None, None, None, None, workers, *part)
            _core.topk(query_rows, items, k, *arguments, report)
            reports.append(report)
        searched = snapshot.searched
        survivors = tuple(segment.survivors for segment in searched)
        return Explanation(count, tuple(map(len, searched)), tuple(reports), survivors)

    def _queries(self, queries: Any) -> Matrix:
        query_rows = as_matrix(queries, "queries")
        same_columns(query_rows.array, self._snapshot.segments[0].rows, "queries", "items")
        return query_rows

    def _filters(self, snapshot: Snapshot, exclude: Any, allow: Any, count: int) -> list[tuple[Any, Any, Any]]:
        """Return (exclude lists, allow lists, shared allowed rows) of each segment, in its rows."""
        if exclude is None and allow is None:
            return [(None, None, None)] * len(snapshot.item_sets)
        excluded = None if exclude is None else id_lists(exclude, "exclude", count, None)
        lists = shared = None
        if allow is not None:
            if is_id_lists(allow):
                lists = id_lists(allow, "allow", count, None)
            else:
                shared = shared_ids(allow, "allow", None)
        return [
            (
                None if excluded is None else segment.rows_of_lists(*excluded),
                None if lists is None else segment.rows_of_lists(*lists),
                None if shared is None else segment.rows_of(shared),
            )
            for segment in snapshot.searched
        ]

    # Changing

    def add(self, items: Any, ids: Any = None) -> Ids:
        """Add rows (cast to the dtype of the index) and return their ids, shape (n,).

        Raises
        ------
        ValueError
            The shape does not fit, or an id is there already.
        TypeError
            The dtype of the items does not cast to that of the index.
        """
        with self._lock:
            rows = self._checked_rows(items)
            new_ids = self._new_ids(ids, rows.shape[0])
            self._publish(self._writer.appended(self._snapshot, rows, new_ids))
        return new_ids

    def remove(self, ids: Any) -> None:
        """Remove items by id; an id is never given out again.

        Raises
        ------
        KeyError
            An id is not in the index; nothing is removed then.
        """
        with self._lock:
            self._publish(self._writer.without(self._snapshot, np.unique(integers(ids, "ids"))))

    def update(self, ids: Any, items: Any) -> None:
        """Replace the rows of items, all at once for readers; errors as for ``add`` and ``remove``."""
        with self._lock:
            rows = self._checked_rows(items)
            wanted = _distinct(integers(ids, "ids"), rows.shape[0])
            without = self._writer.without(self._snapshot, np.sort(wanted))
            self._publish(self._writer.appended(without, rows, wanted))

    def _publish(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def _checked_rows(self, items: Any) -> npt.NDArray[Any]:
        rows = as_matrix(items, "items").array
        base = self._snapshot.segments[0].rows
        same_columns(rows, base, "items", "the index")
        bfloat16 = np.dtype(np.uint16)
        castable = bfloat16 not in (rows.dtype, base.dtype) and np.can_cast(rows.dtype, base.dtype, "same_kind")
        if rows.dtype != base.dtype and not castable:
            raise TypeError(f"items must have a dtype that casts to the index's ({base.dtype}), got {rows.dtype}")
        return rows.astype(base.dtype, copy=False)

    def _new_ids(self, ids: Any, count: int) -> Ids:
        if ids is None:
            new_ids = np.arange(self._next_id, self._next_id + count, dtype=np.int64)
        else:
            new_ids = _distinct(integers(ids, "ids"), count)
            present = new_ids[self._snapshot.locate(new_ids)[0] >= 0]
            if present.size:
                raise ValueError(f"ids must be new, but {present[0]} is in the index already")
        self._next_id = max(self._next_id, int(new_ids.max(initial=-1)) + 1)
        return new_ids

    # Files and the rest

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file (removed rows are left out); crash-safe. See :mod:`aigc_fast.index_file`."""
        from aigc_fast import index_file

        index_file.save(path, *self._state())

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = False, device: Device = None) -> CosineIndex:
        """Read an index from a file; with ``mmap`` its arrays stay in the file and are read when they are used.

        An index that was saved on a GPU has no codes; on the CPU they are made when it is loaded.

        Raises
        ------
        ValueError
            The file is truncated, damaged, or not of this form and version.
        """
        from aigc_fast import index_file

        return cls._from_state(*index_file.load(path, mmap=mmap), device)

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
        """Return everything as (arrays, facts), in one segment."""
        with self._lock:
            snapshot = self._snapshot
            segments = snapshot.searched
            plain = len(segments) == 1 and segments[0].removed == 0
            segment = segments[0] if plain else self._writer.merged(list(segments), snapshot.version)
            facts = {"metric": self._metric, "next_id": str(self._next_id)}
        arrays = {"rows": segment.rows}
        if segment.ids is not None:
            arrays["ids"] = segment.ids
        if segment.codes is not None:
            arrays.update(index_head.arrays_of(segment.codes))
            facts["rotated"] = str(int(segment.codes.rotated))
            if segment.codes.head is not None:
                facts["head_rotated"] = str(int(segment.codes.head.rotated))
                facts["survivors"] = str(segment.codes.survivors)
        return arrays, facts

    @classmethod
    def _from_state(
        cls, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, str], device: Device = None
    ) -> CosineIndex:
        index = cls.__new__(cls)
        arrays = dict(arrays)
        rows, ids = arrays.pop("rows"), arrays.pop("ids", None)
        index._metric = facts["metric"]  # type: ignore[assignment]
        index._num_threads = None
        index._lock = threading.Lock()
        index._on_gpu = _on_gpu(choose(device, {}), index._metric)
        coded = "codes" in arrays
        codes = index_head.codes_from(arrays, facts, rows.shape) if coded else index._encode(rows, ids)
        index._writer = SegmentWriter(rows, index._encode_like)
        index._next_id = int(facts["next_id"])
        base = Segment(rows, None if ids is None else Lookup(ids), codes)
        index._snapshot = Snapshot((base, index._writer.tail(0)), 0, rows.shape[0])
        return index

    def __getstate__(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
        return self._state()

    def __setstate__(self, state: tuple[dict[str, npt.NDArray[Any]], dict[str, str]]) -> None:
        self.__dict__.update(self._from_state(*state).__dict__)

    @property
    def head_columns(self) -> int:
        """Columns of the heads that scans look at first; 0 where the rows have none."""
        codes = self._snapshot.segments[0].codes
        return 0 if codes is None or codes.head is None else int(codes.head.arrays()["basis"].shape[1])

    @property
    def drift(self) -> float:
        """How badly the heads fit rows added since the index was built.

        The share of energy that heads leave out of them, relative to that of the rows at the start: 1.0 where they
        fit as well or where there are no heads; from about 2 on, a new index scans faster. Searches are exact anyway.
        """
        first, *later = self._snapshot.searched or (self._snapshot.segments[0],)
        if first.codes is None or first.codes.head is None or not later:
            return 1.0
        basis = first.codes.head.arrays()["basis"]
        left_out = []
        for segments in (later, [first]):
            step = 1 + sum(map(len, segments)) // _DRIFT_ROWS
            sample = np.concatenate([segment.rows[::step] for segment in segments])
            left_out.append(index_head.left_out(_core.unit_rows(sample, self._metric), basis))
        return left_out[0] / max(left_out[1], 1e-12)

    def verify(self, sample: int = 100, *, seed: int = 0) -> None:
        """Search for ``sample`` of its own rows, with and without codes or the GPU.

        Raises
        ------
        RuntimeError
            The results differ.
        """
        snapshot = self._snapshot
        rng = np.random.default_rng(seed)
        plain = [replace(segment, codes=None).item_set(snapshot.version) for segment in snapshot.searched]
        for segment in snapshot.searched:
            queries = segment.rows[rng.integers(len(segment), size=as_count(sample, "sample", 1))]
            expected = self._best(plain, queries, 10)
            if self._on_gpu is None:
                found = self._best(snapshot.item_sets, queries, 10)
            else:
                found = self._on_gpu.topk(snapshot, queries, 10, threshold=None, exclude=None, allow=None, after=None)
            if not all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True)):
                kept = "codes" if self._on_gpu is None else "copies on the GPU"
                raise RuntimeError(f"the {kept} of this index do not belong to its rows; build it anew")

    def _best(self, item_sets: Sequence[_core.ItemSet], queries: npt.NDArray[Any], k: int) -> TopK:
        """Search sets of items on the CPU without filters."""
        count, dtype = queries.shape[0], score_dtype(queries, self._snapshot.segments[0].rows)
        parts = [_empty_topk(count, k, dtype) for _ in item_sets]
        for items, part in zip(item_sets, parts, strict=True):
            _core.topk(queries, items, k, None, self._metric, None, None, None, None, threads(self._num_threads), *part)
        return _merge_topk(parts, count, k, dtype)

    @property
    def ids(self) -> Ids:
        """Ids of all items, in the order of their addition."""
        snapshot = self._snapshot
        parts = [segment.all_ids[segment.alive(snapshot.version)] for segment in snapshot.segments]
        return np.concatenate(parts)

    @property
    def metric(self) -> Metric:
        """The metric that the index was made for."""
        return self._metric

    @property
    def device(self) -> str:
        """Where searches run, as "cpu" or "cuda:0"."""
        return "cpu" if self._on_gpu is None else f"cuda:{self._on_gpu.gpu}"

    @property
    def dim(self) -> int:
        """Columns of the rows."""
        return int(self._snapshot.segments[0].rows.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes that the index keeps beside the caller's array."""
        total = 0
        for segment in self._snapshot.segments:
            arrays = list(index_head.arrays_of(segment.codes).values()) if segment.codes is not None else []
            arrays += [a for a in (segment.ids, segment.removed_at) if a is not None]
            total += sum(int(a.nbytes) for a in arrays) + (0 if segment.borrowed else int(segment.rows.nbytes))
        return total

    def __len__(self) -> int:
        return self._snapshot.count

    def __repr__(self) -> str:
        dtype = self._snapshot.segments[0].rows.dtype
        kind = "bfloat16" if dtype == np.uint16 else str(dtype)
        return f"CosineIndex({len(self)} items, dim={self.dim}, metric={self._metric!r}, dtype={kind})"


def _on_gpu(gpu: int | None, metric: Metric) -> IndexOnGpu | None:
    if gpu is None:
        return None
    from aigc_fast.gpu.index import IndexOnGpu

    return IndexOnGpu(gpu, metric)


def _empty_topk(count: int, k: int, dtype: Any) -> TopK:
    return TopK(np.empty((count, k), dtype), np.empty((count, k), np.int64), np.empty(count, np.int64))


def _distinct(ids: Ids, count: int) -> Ids:
    if ids.shape[0] != count:
        raise ValueError(f"ids must have one entry for each of the {count} rows, got {ids.shape[0]}")
    if ids.size and ids.min() < 0:
        raise ValueError(f"ids must not be negative (-1 marks missing results), got {ids.min()}")
    values, counts = np.unique(ids, return_counts=True)
    if values.shape[0] != count:
        raise ValueError(f"ids must be distinct, but {values[counts > 1][0]} occurs {counts.max()} times")
    return ids


def _merge_topk(parts: list[TopK], count: int, k: int, dtype: Any) -> TopK:
    if not parts:
        return TopK(np.full((count, k), -np.inf, dtype), np.full((count, k), -1), np.zeros(count, np.int64))
    scores = np.concatenate([part.scores for part in parts], axis=1)
    ids = np.concatenate([part.ids for part in parts], axis=1)
    missing = ids < 0
    order = np.lexsort((ids, -scores, missing), axis=1)[:, :k]
    counts = np.minimum(np.sum([part.counts for part in parts], axis=0), k)
    return TopK(np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1), counts)


def _merge_hits(parts: list[tuple[Any, Any, Any]], count: int) -> tuple[Any, Any, Any]:
    if not parts:
        return np.zeros(count + 1, np.int64), np.empty(0, np.int64), np.empty(0)
    query_of = np.concatenate([np.repeat(np.arange(count), np.diff(indptr)) for indptr, _, _ in parts])
    ids = np.concatenate([ids for _, ids, _ in parts])
    scores = np.concatenate([scores for _, _, scores in parts])
    order = np.lexsort((ids, -scores, query_of))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(query_of, minlength=count))])
    return indptr, ids[order], scores[order]
