"""Join the lists that several vectors of one user found into one list per user.

Every function keeps the order of the kernels: score descending, then id ascending, and an item stands in a
user's list once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aigc_fast import ThresholdHits, TopK
from aigc_fast.recommender.arguments import Pattern


def repeat_rows(pattern: Pattern, times: int) -> Pattern:
    """Repeat each row of a pattern, for the vectors of its user."""
    indptr, ids = pattern
    lengths = np.repeat(np.diff(indptr), times)
    repeated = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=repeated[1:])
    within = np.arange(repeated[-1]) - np.repeat(repeated[:-1], lengths)
    return repeated, ids[np.repeat(np.repeat(indptr[:-1], times), lengths) + within]


def merge_best(
    n_rows: int, rows: NDArray[np.int64], ids: NDArray[np.int64], scores: NDArray[np.floating]
) -> ThresholdHits:
    """Group scored items by row, keeping the best score of an item that a row holds more than once.

    Parameters
    ----------
    n_rows
        Number of rows of the result.
    rows, ids, scores
        (n,) each: the row, the item and its score. Real hits only, no padding.

    Returns
    -------
    ThresholdHits
        CSR, rows sorted by score descending, then id ascending. O(n log n).
    """
    return _merged(np.maximum, n_rows, rows, ids, scores)


def merge_sums(
    n_rows: int, rows: NDArray[np.int64], ids: NDArray[np.int64], scores: NDArray[np.floating]
) -> ThresholdHits:
    """Group scored items by row like `merge_best`, adding the scores of an item that a row holds more than once."""
    return _merged(np.add, n_rows, rows, ids, scores)


def _merged(
    join: np.ufunc, n_rows: int, rows: NDArray[np.int64], ids: NDArray[np.int64], scores: NDArray[np.floating]
) -> ThresholdHits:
    by_item = np.lexsort((ids, rows))
    rows, ids, scores = rows[by_item], ids[by_item], scores[by_item]
    first = np.ones(len(ids), dtype=bool)
    first[1:] = (rows[1:] != rows[:-1]) | (ids[1:] != ids[:-1])
    if len(ids):
        scores = join.reduceat(scores, np.flatnonzero(first))
    rows, ids = rows[first], ids[first]
    by_score = np.lexsort((ids, -scores, rows))
    indptr = np.zeros(n_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=n_rows), out=indptr[1:])
    return ThresholdHits(indptr, ids[by_score], scores[by_score])


def merge_topk(found: TopK, n_rows: int) -> ThresholdHits:
    """Join the lists of a batch whose queries come in ``n_rows`` groups of equal size, one group per row.

    The best ``k`` of the joined row are exactly the best ``k`` by the maximum over the group, as an item
    that one query ranks below its ``k`` best has ``k`` items above it in the joined row, too.
    """
    n_queries, k = found.ids.shape
    per_row = n_queries // n_rows if n_rows else 0
    real = np.arange(k) < found.counts[:, None]
    rows = np.repeat(np.arange(n_rows, dtype=np.int64), per_row)
    owner = np.broadcast_to(rows[:, None], real.shape)[real]
    return merge_best(n_rows, owner, found.ids[real], found.scores[real])


def merge_threshold(hits: ThresholdHits, n_rows: int) -> ThresholdHits:
    """Join threshold results whose queries come in ``n_rows`` groups of equal size, one group per row."""
    n_queries = len(hits.indptr) - 1
    per_row = n_queries // n_rows if n_rows else 0
    owner = np.repeat(np.arange(n_queries, dtype=np.int64) // max(per_row, 1), np.diff(hits.indptr))
    return merge_best(n_rows, owner, hits.ids, hits.scores)


def head(hits: ThresholdHits, k: int) -> TopK:
    """Return the first ``k`` of every row; missing slots have id -1 and score -inf."""
    n_rows = len(hits.indptr) - 1
    lengths = np.diff(hits.indptr)
    counts = np.minimum(lengths, k)
    taken = np.arange(k) < counts[:, None]
    source = (hits.indptr[:-1, None] + np.arange(k))[taken]
    ids = np.full((n_rows, k), -1, dtype=np.int64)
    scores = np.full((n_rows, k), -np.inf, dtype=hits.scores.dtype)
    ids[taken] = hits.ids[source]
    scores[taken] = hits.scores[source]
    return TopK(scores, ids, counts.astype(np.int64))
