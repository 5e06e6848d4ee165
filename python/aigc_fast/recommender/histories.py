"""Histories that grow, and lists as matrices of their pattern."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK
from aigc_fast.recommender.arguments import Pattern


class Merged(NamedTuple):
    """A grown history, and where its new interactions are in ``history.data``."""

    history: csr_matrix
    new_entries: npt.NDArray[np.int64]


def merge(history: csr_matrix, new: csr_matrix) -> Merged:
    """Put new interactions into a history; one that is there already gets the new value. O(nnz log nnz).

    SciPy's ``+`` would add the two values, and drop entries that are zero.
    """
    old_keys, new_keys = entry_keys(history), entry_keys(new)
    kept = ~np.isin(old_keys, new_keys, assume_unique=True)
    keys = np.concatenate([old_keys[kept], new_keys])
    values = np.concatenate([history.data[kept], new.data])
    order = np.argsort(keys)
    rows, columns = np.divmod(keys[order], max(history.shape[1], 1))
    indptr = np.zeros(history.shape[0] + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=history.shape[0]), out=indptr[1:])
    merged = csr_matrix((values[order], columns, indptr), shape=history.shape)
    return Merged(merged, np.flatnonzero(order >= np.count_nonzero(kept)))


def with_latest_time(times: csr_matrix, new: csr_matrix) -> csr_matrix:
    """Return the times of ``merge(history, new)``; new interactions happen at their user's latest time, or at 0."""
    latest = np.zeros(times.shape[0], times.dtype)
    known = np.flatnonzero(np.diff(times.indptr))
    latest[known] = np.maximum.reduceat(times.data, times.indptr[known]) if len(known) else 0
    now = np.repeat(latest, np.diff(new.indptr))
    return merge(times, csr_matrix((now, new.indices, new.indptr), shape=new.shape)).history


def widen(history: csr_matrix, n_items: int, n_users: int | None = None) -> csr_matrix:
    """Return the history over more items, and more users (None: as many)."""
    further = 0 if n_users is None else n_users - history.shape[0]
    indptr = np.pad(history.indptr, (0, further), mode="edge")
    return csr_matrix((history.data, history.indices, indptr), shape=(history.shape[0] + further, n_items))


def pattern_of_lists(lists: TopK, n_items: int) -> csr_matrix:
    """Return a matrix (n_lists, n_items) with a 1 for each listed item."""
    real = lists.ids >= 0
    indptr = np.concatenate([[0], np.cumsum(real.sum(axis=1))])
    matrix = csr_matrix((np.ones(indptr[-1], np.float32), lists.ids[real], indptr), (len(lists.ids), n_items))
    matrix.sort_indices()
    return matrix


def scatter_rows(matrix: csr_matrix, rows: npt.NDArray[np.int64], n_rows: int) -> csr_matrix:
    """Return a matrix of ``n_rows`` rows in which row ``rows[i]`` is row i of ``matrix``; the others are empty."""
    lengths = np.zeros(n_rows, np.int64)
    lengths[rows] = np.diff(matrix.indptr)
    ordered = matrix[np.argsort(rows)]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return csr_matrix((ordered.data, ordered.indices, indptr), shape=(n_rows, matrix.shape[1]))


def union(first: Pattern, second: Pattern, n_items: int) -> Pattern:
    """Return the pattern that has the entries of both, row by row."""
    shape = (len(first[0]) - 1, n_items)
    both = [csr_matrix((np.ones(len(ids), np.int8), ids, indptr), shape) for indptr, ids in (first, second)]
    joined = both[0].maximum(both[1])
    return joined.indptr, joined.indices


def entry_keys(matrix: csr_matrix) -> npt.NDArray[np.int64]:
    """One number per entry of a CSR matrix, row · n_items + item: ascending where the indices are sorted."""
    row = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    keys: npt.NDArray[np.int64] = row * matrix.shape[1] + matrix.indices
    return keys
