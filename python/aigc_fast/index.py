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

from aigc_fast import index_file, index_head
from aigc_fast.arrays import as_count, as_matrix, check_limits, check_metric, distinct_ids, integers, same_columns
from aigc_fast.device import Device, choose, on_host
from aigc_fast.row_coder import RowCoder
from aigc_fast.segment_writer import SegmentWriter
from aigc_fast.segments import Lookup, Segment, Snapshot
from aigc_fast.similarity import Metric, ThresholdHits, TopK
from aigc_fast.snapshot_search import SnapshotSearch

if TYPE_CHECKING:
    import os

    import numpy.typing as npt

    from aigc_fast.explanation import Explanation
    from aigc_fast.gpu.index import IndexOnGpu
    from aigc_fast.segments import Ids


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
        rows and codes there beside the rows on the host; a change copies the rows that are new, when they are next
        searched. A CUDA graph that holds a search is of no use after a change: capture it anew. Pickled or copied, the
        index comes back on the CPU.

    Notes
    -----
    Results are those of :func:`aigc_fast.cosine_topk`, bit for bit: a scan of int8 codes proposes, the canonical score
    decides (docs/architecture.md). Codes take d + 2 bytes a row, about a quarter of float32 rows. Where rows lie near a
    subspace of few dimensions, as embeddings often do, a scan of these rules most items out first; that takes another
    32 to 192 bytes a row, and is done only where a sample of the rows says that it pays.
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
        self._prepare(metric, num_threads, choose(device, {"items": items}))
        rows = as_matrix(on_host(items), "items").array
        id_array = None if ids is None else distinct_ids(ids, "ids", rows.shape[0])
        codes = self._coder.build(rows, id_array, progress)
        borrowed = rows is items or not rows.flags.owndata  # else converted: from a list, integers, another byte order
        base = Segment(rows, None if id_array is None else Lookup(id_array), codes, borrowed)
        self._begin(base, rows.shape[0] if id_array is None else int(id_array.max(initial=-1)) + 1)

    def _prepare(self, metric: Metric, num_threads: int | None, gpu: int | None) -> None:
        self._metric = metric
        self._lock = threading.Lock()
        self._coder = RowCoder(metric, num_threads, wanted=gpu is None)
        self._on_cpu = SnapshotSearch(metric, num_threads)
        self._on_gpu = _on_gpu(gpu, metric)

    def _begin(self, base: Segment, next_id: int) -> None:
        self._writer = SegmentWriter(base.rows, self._coder)
        self._next_id = next_id
        self._snapshot = Snapshot((base, self._writer.tail(0)), 0, len(base))

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
        max_memory: int | None = None,
    ) -> TopK:
        """Find the ``k`` best items of each query; parameters and result as in :func:`aigc_fast.cosine_topk`.

        ``exclude`` and ``allow`` name items by their ids; a sparse matrix has a column for each id. Unknown ids are
        ignored, since an item may have been removed meanwhile.
        """
        check_limits(num_threads, max_memory)
        if self._on_gpu is not None:
            filters = {"threshold": threshold, "exclude": exclude, "allow": allow, "after": after}
            return self._on_gpu.topk(self._snapshot, queries, k, **filters, max_memory=max_memory)
        return self._on_cpu.topk(self._snapshot, queries, k, threshold, exclude, allow, after, num_threads)

    def threshold(
        self,
        queries: Any,
        threshold: Any,
        *,
        exclude: Any = None,
        allow: Any = None,
        after: tuple[Any, Any] | None = None,
        num_threads: int | None = None,
        max_memory: int | None = None,
    ) -> ThresholdHits:
        """Find all that reaches ``threshold``; as :func:`aigc_fast.cosine_threshold`, with ids as in ``topk``."""
        check_limits(num_threads, max_memory)
        if self._on_gpu is not None:
            filters = {"exclude": exclude, "allow": allow, "after": after}
            return self._on_gpu.threshold(self._snapshot, queries, threshold, **filters, max_memory=max_memory)
        return self._on_cpu.threshold(self._snapshot, queries, threshold, exclude, allow, after, num_threads)

    def explain(self, queries: Any, k: int, *, threshold: Any = None, num_threads: int | None = None) -> Explanation:
        """Search on the CPU, and say what the planner chose and what each stage did; printing shows a table."""
        return self._on_cpu.explain(self._snapshot, queries, k, threshold, num_threads)

    # Changing

    def add(self, items: Any, ids: Any = None) -> Ids:
        """Add rows (cast to the dtype of the index) and return their ids, shape (n,).

        Raises
        ------
        ValueError
            The shape does not fit, an id is there already, or a number is too large for the dtype of the index.
        TypeError
            The dtype of the items does not cast to that of the index; bfloat16 and others do not cast to each other.
        """
        with self._lock:
            rows = self._checked_rows(items)
            new_ids = self._new_ids(ids, rows.shape[0])
            self._snapshot = self._writer.appended(self._snapshot, rows, new_ids)
        return new_ids

    def remove(self, ids: Any) -> None:
        """Remove items by id; an id is never given out again.

        Raises
        ------
        KeyError
            An id is not in the index; nothing is removed then.
        """
        with self._lock:
            self._snapshot = self._writer.without(self._snapshot, np.unique(integers(ids, "ids")))

    def update(self, ids: Any, items: Any) -> None:
        """Replace the rows of items, all at once for readers; errors as for ``add`` and ``remove``."""
        with self._lock:
            rows = self._checked_rows(items)
            wanted = distinct_ids(ids, "ids", rows.shape[0])
            without = self._writer.without(self._snapshot, np.sort(wanted))
            self._snapshot = self._writer.appended(without, rows, wanted)

    def _checked_rows(self, items: Any) -> npt.NDArray[Any]:
        rows = as_matrix(on_host(items), "items").array
        base = self._snapshot.segments[0].rows
        same_columns(rows, base, "items", "the index")
        bfloat16 = np.dtype(np.uint16)
        castable = bfloat16 not in (rows.dtype, base.dtype) and np.can_cast(rows.dtype, base.dtype, "same_kind")
        if rows.dtype != base.dtype and not castable:
            wanted, got = _name_of(base.dtype), _name_of(rows.dtype)
            raise TypeError(f"items must have a dtype that casts to the index's ({wanted}), got {got}")
        try:
            with np.errstate(over="raise"):
                return rows.astype(base.dtype, copy=False)
        except FloatingPointError:
            raise ValueError(f"items has numbers too large for the index's dtype, {_name_of(base.dtype)}") from None

    def _new_ids(self, ids: Any, count: int) -> Ids:
        if ids is None:
            if self._next_id + count > 2**63:
                raise ValueError("ids must be given: none are left to count on after the largest one, 2**63 - 1")
            new_ids = np.arange(self._next_id, self._next_id + count, dtype=np.int64)
        else:
            new_ids = distinct_ids(ids, "ids", count)
            present = new_ids[self._snapshot.locate(new_ids)[0] >= 0]
            if present.size:
                raise ValueError(f"ids must be new, but {present[0]} is in the index already")
        self._next_id = max(self._next_id, int(new_ids.max(initial=-1)) + 1)
        return new_ids

    # Files and the rest

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file (removed rows are left out); crash-safe. See :mod:`aigc_fast.index_file`."""
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
        return cls._from_state(*index_file.load(path, mmap=mmap), device)

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
        """Return everything as (arrays, facts), in one segment."""
        with self._lock:
            snapshot = self._snapshot
            segments = snapshot.searched
            plain = len(segments) == 1 and segments[0].removed == 0
            segment = segments[0] if plain else self._writer.merged(list(segments), snapshot)
            return index_file.state_of(segment, self._metric, self._next_id)

    @classmethod
    def _from_state(
        cls, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, str], device: Device = None
    ) -> CosineIndex:
        index = cls.__new__(cls)
        metric: Metric = facts["metric"]  # type: ignore[assignment]
        index._prepare(metric, None, choose(device, {}))
        index._begin(index_file.segment_of(arrays, facts, index._coder.build), int(facts["next_id"]))
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
        return index_head.drift(first.codes.head, [first.rows], [segment.rows for segment in later], self._metric)

    def verify(self, sample: int = 100, *, seed: int = 0) -> None:
        """Search for ``sample`` of its own rows, with and without codes or the GPU.

        Raises
        ------
        RuntimeError
            The results differ.
        """
        snapshot = self._snapshot
        rng = np.random.default_rng(seed)
        plain = replace(snapshot, segments=tuple(replace(segment, codes=None) for segment in snapshot.segments))
        for segment in snapshot.searched:
            queries = segment.rows[rng.integers(len(segment), size=as_count(sample, "sample", 1))]
            expected = self._on_cpu.nearest(plain, queries, 10)
            if self._on_gpu is None:
                found = self._on_cpu.nearest(snapshot, queries, 10)
            else:
                found = self._on_gpu.nearest(snapshot, queries, 10)
            if not all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True)):
                kept = "codes" if self._on_gpu is None else "copies on the GPU"
                raise RuntimeError(f"the {kept} of this index do not belong to its rows; build it anew")

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
        """Bytes that the index keeps beside the caller's array; all of them where that had to be converted."""
        total = 0
        for segment in self._snapshot.segments:
            arrays = list(index_head.arrays_of(segment.codes).values()) if segment.codes is not None else []
            arrays += [a for a in (segment.ids, segment.removed_at) if a is not None]
            total += sum(int(a.nbytes) for a in arrays) + (0 if segment.borrowed else int(segment.rows.nbytes))
        return total

    def __len__(self) -> int:
        return self._snapshot.count

    def __repr__(self) -> str:
        dtype = _name_of(self._snapshot.segments[0].rows.dtype)
        return f"CosineIndex({len(self)} items, dim={self.dim}, metric={self._metric!r}, dtype={dtype})"


def _name_of(dtype: np.dtype[Any]) -> str:
    return "bfloat16" if dtype == np.uint16 else str(dtype)


def _on_gpu(gpu: int | None, metric: Metric) -> IndexOnGpu | None:
    if gpu is None:
        return None
    from aigc_fast.gpu.index import IndexOnGpu

    return IndexOnGpu(gpu, metric)
