"""User-based and item-based nearest neighbours, searched exactly by the cosine kernels.

Formulas as in Ferrari Dacrema, Cremonesi, Jannach, "Are we really making much progress?", RecSys 2019 (after
Sarwar et al., WWW 2001): similarity with a shrink term, the k nearest of each row, and a sum over the neighbours
that is not normalised (which ranks better than a weighted mean).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK, cosine_similarity, cosine_topk
from aigc_fast.recommender.arguments import Pattern, as_count, pattern_rows
from aigc_fast.recommender.base import Recommender
from aigc_fast.recommender.selection import top_of_scores

Metric = Literal["cosine", "pearson"]

#: The rows searched are held dense (4 bytes a cell); a matrix that takes more than this is refused.
DENSE_LIMIT_BYTES = 1 << 30
#: Rows searched in one call: bounds the block of queries and of scores.
BATCH_ROWS = 512
#: Only positive similarities make a neighbour; this is the smallest normal float32.
_POSITIVE = float(np.finfo(np.float32).tiny)


class NeighbourSearch:
    """The nearest rows of a matrix by cosine or Pearson similarity with shrinkage.

    sim(a, b) = a·b / (‖a‖‖b‖ + shrink), for Pearson with a and b minus their means. Missing entries count as
    0, in the mean too: the similarity is that of the whole rows, as `numpy.corrcoef` computes it, and not of
    the entries that both rows have. Only rows with a positive similarity are neighbours.

    Without shrinkage the kernel selects in one pass. The shrink term changes the order within a row, so then
    the kernel computes the similarities of a batch of rows, which are shrunk and selected.

    Parameters
    ----------
    rows : (n, d) CSR, float32
        Held dense: 4·n·d bytes, at most `DENSE_LIMIT_BYTES` (1 GiB).
    """

    def __init__(self, rows: csr_matrix, metric: Metric, shrink: float) -> None:
        size = 4 * rows.shape[0] * rows.shape[1]
        if size > DENSE_LIMIT_BYTES:
            raise ValueError(
                f"user_items of {rows.shape[0]} × {rows.shape[1]} takes {size / 2**30:.1f} GiB as the dense "
                f"rows that neighbours are searched in; at most {DENSE_LIMIT_BYTES / 2**30:g} GiB is taken"
            )
        self._rows = rows.toarray()
        self._metric: Metric = metric
        self._shrink = shrink
        self._norms = self._row_norms(self._rows) if shrink else None

    def topk(self, queries: npt.NDArray[np.float32], k: int, exclude: Pattern) -> TopK:
        """Nearest ``k`` rows of each query (m, d), those of ``exclude`` left out."""
        if self._norms is None:
            return cosine_topk(queries, self._rows, k, metric=self._metric, threshold=_POSITIVE, exclude=exclude)
        similarity = cosine_similarity(queries, self._rows, metric=self._metric).astype(np.float64)
        size = self._row_norms(queries)[:, None] * self._norms
        similarity *= size / (size + self._shrink)
        return top_of_scores(csr_matrix(np.where(similarity > 0, similarity, 0)), k, exclude)

    def of_rows(self, ids: npt.NDArray[np.int64], k: int) -> TopK:
        """Nearest ``k`` rows of each of the rows ``ids``, that row itself left out."""
        parts = [
            self.topk(self._rows[batch], k, (np.arange(len(batch) + 1), batch))
            for batch in np.split(ids, range(BATCH_ROWS, len(ids), BATCH_ROWS))
        ]
        return TopK(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _row_norms(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Lengths of the rows (for Pearson after centring) in float64, without a float64 copy of them all."""
        norms = np.empty(len(rows))
        for first, last in _batches(len(rows)):
            part = rows[first:last].astype(np.float64)
            if self._metric == "pearson":
                part -= part.mean(axis=1, keepdims=True)
            norms[first:last] = np.linalg.norm(part, axis=1)
        return norms


class _Neighbours(Recommender):
    """What both neighbour models share: their parameters."""

    def __init__(self, k: int, metric: Metric, shrink: float) -> None:
        self.k = as_count("k", k, minimum=1)
        if metric not in ("cosine", "pearson"):
            raise ValueError(f"metric is {metric!r}; 'cosine' or 'pearson' is taken")
        self.metric = metric
        if not (np.isfinite(shrink) and shrink >= 0):
            raise ValueError(f"shrink is {shrink}; a finite number of at least 0 is taken")
        self.shrink = float(shrink)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(k={self.k}, metric={self.metric!r}, shrink={self.shrink:g})"


class UserKNN(_Neighbours):
    """Recommend what the most similar users have: score(u, i) = Σ_{v ∈ N_k(u)} sim(u, v)·r_vi.

    Parameters
    ----------
    k
        Number of neighbours.
    metric
        "cosine" or "pearson", see `NeighbourSearch`.
    shrink
        Added to the denominator of the similarity: pulls down pairs of users with short histories.

    Notes
    -----
    `fit` holds the matrix dense as float32 (at most 1 GiB); `recommend` costs one exact search in it and a
    sparse product. Items that no neighbour has are not returned; a user without history gets an empty list.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> history = csr_matrix([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]])
    >>> UserKNN(k=1).fit(history).recommend(0, n=2).ids.tolist()
    [[2, -1]]
    """

    def __init__(self, k: int = 80, metric: Metric = "pearson", shrink: float = 0.0) -> None:
        super().__init__(k, metric, shrink)

    def _fit(self, user_items: csr_matrix) -> None:
        self._search = NeighbourSearch(user_items, self.metric, self.shrink)

    def _recommend(
        self,
        user_ids: npt.NDArray[np.int64],
        history: csr_matrix,
        n: int,
        exclude: Pattern | None,
        allow: Pattern | npt.NDArray[np.bool_] | None,
    ) -> TopK:
        n_users = self.user_items_.shape[0]
        known = (user_ids >= 0) & (user_ids < n_users)
        own = np.concatenate([[0], np.cumsum(known)]), user_ids[known]  # nobody is their own neighbour
        parts = []
        for first, last in _batches(len(user_ids)):
            nearest = self._search.topk(
                history[first:last].toarray(), min(self.k, n_users), pattern_rows(own, first, last)
            )
            scores = _as_csr(nearest, n_users) @ self.user_items_
            parts.append(_select(scores, n, exclude, allow, first, last))
        return _stack(parts)

    def _similar_users(self, user_ids: npt.NDArray[np.int64], n: int) -> TopK:
        return self._search.of_rows(user_ids, n)


class ItemKNN(_Neighbours):
    """Recommend what resembles the user's items: score(u, i) = Σ_{j ∈ N_k(i)} r_uj·sim(i, j).

    Parameters
    ----------
    k
        Number of neighbours kept of each item.
    metric
        "cosine" or "pearson", see `NeighbourSearch`.
    shrink
        Added to the denominator of the similarity: pulls down pairs of items that few users have.

    Attributes
    ----------
    similarity_ : (n_items, n_items) CSR, float64
        Row i holds the similarities of the k nearest neighbours of item i.

    Notes
    -----
    `fit` holds the transposed matrix dense as float32 (at most 1 GiB) and searches every item's neighbours;
    `recommend` is a sparse product. Items that resemble nothing in the history are not returned.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> history = csr_matrix([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]])
    >>> ItemKNN(k=1).fit(history).recommend(2, n=2).ids.tolist()
    [[-1, -1]]
    """

    similarity_: csr_matrix

    def __init__(self, k: int = 200, metric: Metric = "cosine", shrink: float = 50.0) -> None:
        super().__init__(k, metric, shrink)

    def _fit(self, user_items: csr_matrix) -> None:
        n_items = user_items.shape[1]
        self._search = NeighbourSearch(user_items.T.tocsr(), self.metric, self.shrink)
        self.similarity_ = _as_csr(self._search.of_rows(np.arange(n_items), min(self.k, n_items)), n_items)
        self._weights = self.similarity_.T.tocsr()

    def _recommend(
        self,
        user_ids: npt.NDArray[np.int64],
        history: csr_matrix,
        n: int,
        exclude: Pattern | None,
        allow: Pattern | npt.NDArray[np.bool_] | None,
    ) -> TopK:
        return _stack(
            [
                _select(history[first:last] @ self._weights, n, exclude, allow, first, last)
                for first, last in _batches(len(user_ids))
            ]
        )

    def _similar_items(self, item_ids: npt.NDArray[np.int64], n: int) -> TopK:
        return self._search.of_rows(item_ids, n)


def _batches(n_rows: int) -> Iterator[tuple[int, int]]:
    """At least one batch, so that no rows give an empty result of the right shape."""
    for first in range(0, max(n_rows, 1), BATCH_ROWS):
        yield first, min(first + BATCH_ROWS, n_rows)


def _select(
    scores: csr_matrix,
    n: int,
    exclude: Pattern | None,
    allow: Pattern | npt.NDArray[np.bool_] | None,
    first: int,
    last: int,
) -> TopK:
    return top_of_scores(
        scores,
        n,
        None if exclude is None else pattern_rows(exclude, first, last),
        pattern_rows(allow, first, last) if isinstance(allow, tuple) else allow,
    )


def _stack(parts: list[TopK]) -> TopK:
    return TopK(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _as_csr(nearest: TopK, n_columns: int) -> csr_matrix:
    """Put the neighbours into a sparse matrix with sorted indices, so that sums have one fixed order."""
    real = nearest.ids >= 0
    indptr = np.concatenate([[0], np.cumsum(nearest.counts)])
    matrix = csr_matrix(
        (nearest.scores[real].astype(np.float64), nearest.ids[real], indptr), (len(nearest.ids), n_columns)
    )
    matrix.sort_indices()
    return matrix
