"""The graph of nearest neighbours of a set of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aigc_fast.arrays import as_k, as_matrix, bfloat16_bits
from aigc_fast.errors import require
from aigc_fast.index import CosineIndex
from aigc_fast.similarity import Metric, cosine_threshold

if TYPE_CHECKING:
    import numpy.typing as npt

_BLOCK_ROWS = 8192  # queries at a time where only half of the pairs is searched


def knn_graph(
    items: Any,
    k: int | None,
    threshold: float | None = None,
    *,
    exclude_self: bool = True,
    metric: Metric = "cosine",
    num_threads: int | None = None,
) -> Any:
    """Find the nearest neighbours of every row among all rows, exactly.

    Parameters
    ----------
    items
        Rows, shape (n, d), as in :func:`aigc_fast.cosine_topk`.
    k
        Neighbours of each row; None: all that reach ``threshold``.
    threshold
        Only neighbours that score at least this.
    exclude_self
        Leave each row itself out: the row of that number, not whatever scores best, so duplicates stay neighbours.
    metric, num_threads
        As in :func:`aigc_fast.cosine_topk`.

    Returns
    -------
    scipy.sparse.csr_matrix of shape (n, n)
        Scores; each row's neighbours in the order score descending, then id ascending.

    Raises
    ------
    MissingExtraError
        SciPy is not installed.
    ValueError, TypeError
        An argument has a wrong shape, range or type; the message names it.

    Notes
    -----
    O(n² · d) multiply-adds in int8 or float32; memory O(n · (d + k)). Scores are symmetric, bit for bit, so for
    ``k=None`` half of the matrix is searched; the k best are not, and take the whole.

    Examples
    --------
    >>> graph = knn_graph([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], 1)
    >>> graph.indices.tolist()
    [1, 0, 1]
    """
    sparse = require("scipy.sparse", "recommender")
    rows = as_matrix(items, "items").array
    if rows.dtype == np.uint16:
        rows = bfloat16_bits(rows)  # for the searches, which look at the rows anew
    if threshold is not None and np.ndim(threshold) != 0:  # pairs are searched from one side
        raise ValueError(f"threshold must be one number, got shape {np.shape(threshold)}")
    count = rows.shape[0]
    if k is None:
        if threshold is None:
            raise ValueError("k and threshold must not both be None")
        found = _pairs(rows, threshold, exclude_self, metric, num_threads)
        return sparse.csr_matrix(found, shape=(count, count))
    itself = (np.arange(count + 1), np.arange(count)) if exclude_self else None
    index = CosineIndex(rows, metric=metric, num_threads=num_threads)
    top = index.topk(rows, min(as_k(k), count), threshold=threshold, exclude=itself)
    real = top.ids >= 0
    indptr = np.concatenate([[0], np.cumsum(top.counts)])
    return sparse.csr_matrix((top.scores[real], top.ids[real], indptr), shape=(count, count))


def _pairs(
    rows: npt.NDArray[Any], threshold: float, exclude_self: bool, metric: Metric, num_threads: int | None
) -> tuple[Any, Any, Any]:
    """Return (scores, columns, indptr) of all pairs that reach the threshold, searched where column >= row."""
    count = rows.shape[0]
    found: list[tuple[Any, Any, Any]] = []
    for begin in range(0, max(count, 1), _BLOCK_ROWS):  # without rows once, for the checks and the dtype
        block = rows[begin : begin + _BLOCK_ROWS]
        hits = cosine_threshold(block, rows[begin:], threshold, metric=metric, num_threads=num_threads)
        row = np.repeat(np.arange(block.shape[0]), np.diff(hits.indptr))
        upper = hits.ids > row if exclude_self else hits.ids >= row
        found.append((begin + row[upper], begin + hits.ids[upper], hits.scores[upper]))
    row, column, score = (np.concatenate(parts) for parts in zip(*found, strict=True))
    mirrored = row != column
    rows_of = np.concatenate([row, column[mirrored]])
    columns = np.concatenate([column, row[mirrored]])
    scores = np.concatenate([score, score[mirrored]])
    order = np.lexsort((columns, -scores, rows_of))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows_of, minlength=count))])
    return scores[order], columns[order], indptr
