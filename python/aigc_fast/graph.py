"""The graph of nearest neighbours of a set of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from aigc_fast.arrays import as_k, as_matrix
from aigc_fast.errors import require
from aigc_fast.index import CosineIndex
from aigc_fast.similarity import Metric, cosine_threshold


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

    Notes
    -----
    O(n² · d) multiply-adds in int8 or float32; memory O(n · (d + k)). Scores are symmetric, but the k best are not, so
    both halves of the matrix are searched.

    Examples
    --------
    >>> graph = knn_graph([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], 1)
    >>> graph.indices.tolist()
    [1, 0, 1]
    """
    sparse = require("scipy.sparse", "recommender")
    rows = as_matrix(items, "items").array
    count = rows.shape[0]
    itself = (np.arange(count + 1), np.arange(count)) if exclude_self else None
    if k is None:
        if threshold is None:
            raise ValueError("k and threshold must not both be None")
        hits = cosine_threshold(rows, rows, threshold, exclude=itself, metric=metric, num_threads=num_threads)
        return sparse.csr_matrix((hits.scores, hits.ids, hits.indptr), shape=(count, count))
    index = CosineIndex(rows, metric=metric, num_threads=num_threads)
    top = index.topk(rows, min(as_k(k), count), threshold=threshold, exclude=itself)
    real = top.ids >= 0
    indptr = np.concatenate([[0], np.cumsum(top.counts)])
    return sparse.csr_matrix((top.scores[real], top.ids[real], indptr), shape=(count, count))
