"""User-based and item-based nearest neighbours, searched exactly by the sparse kernels.

Two questions have two formulas. `recommend` ranks by a sum over the neighbours that is not normalised, for implicit and
explicit feedback: it ranks better than a predicted rating (Cremonesi, Koren and Turrin, RecSys 2010, "NNCosNgbr";
Ferrari Dacrema, Cremonesi and Jannach, RecSys 2019). `predict` estimates a rating: the baseline of user and item
(`rating_baseline`), moved by the weighted mean of what the neighbours are above theirs (Koren, ACM TKDD 4(1), 2010,
eq. 3):

    r̂(u, i) = b_ui + Σ_v sim(u, v) · (r_vi − b_vi) / Σ_v sim(u, v)    over the neighbours v of u who rated i

and likewise over the neighbours j of i that u rated. Without such neighbours it is the baseline.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK, sparse_cosine_topk
from aigc_fast.recommender.arguments import as_amount, as_count
from aigc_fast.recommender.base import Recommender
from aigc_fast.recommender.rating_baseline import rating_baseline
from aigc_fast.recommender.request import Request
from aigc_fast.recommender.selection import top_in_batches, top_of_scores

Metric = Literal["cosine", "pearson"]

#: Pairs whose ratings are predicted at a time: bounds the block of their neighbours.
BATCH_PAIRS = 8192
#: Only positive similarities make a neighbour; this is the smallest normal float32.
_POSITIVE = float(np.finfo(np.float32).tiny)


class _Neighbours(Recommender):
    """What both share: how similar two rows are, and the prediction of ratings."""

    def __init__(self, k: int, metric: Metric, shrink: float, min_overlap: int) -> None:
        self.k = as_count("k", k, minimum=1)
        if metric not in ("cosine", "pearson"):
            raise ValueError(f"metric is {metric!r}; 'cosine' or 'pearson' is taken")
        self.metric: Metric = metric
        self.shrink = as_amount("shrink", shrink)
        self.min_overlap = as_count("min_overlap", min_overlap, minimum=1)

    def _nearest(self, queries: csr_matrix, rows: csr_matrix, k: int, own: npt.NDArray[np.int64]) -> csr_matrix:
        """Return the ``k`` nearest rows of each query as (n_queries, n_rows), without row ``own[i]`` for query i."""
        found = sparse_cosine_topk(
            queries,
            rows,
            k + 1,
            threshold=_POSITIVE,
            metric=self.metric,
            shrink=self.shrink,
            min_overlap=self.min_overlap,
        )
        counts = np.diff(found.indptr)
        query = np.repeat(np.arange(len(counts)), counts)
        others = found.indices != own[query]
        before = np.cumsum(others) - others  # how many others come before, of all queries
        kept = others & (before - before[found.indptr[query]] < k)
        indptr = np.concatenate([[0], np.cumsum(kept)])[found.indptr]
        return csr_matrix((found.data[kept], found.indices[kept], indptr), shape=found.shape)

    def _derive(self, user_items: csr_matrix) -> None:
        self._baseline = rating_baseline(user_items)
        users = np.repeat(np.arange(user_items.shape[0]), np.diff(user_items.indptr))
        above = user_items.data - self._baseline.of_pairs(users, user_items.indices)
        self._above = csr_matrix((above, user_items.indices, user_items.indptr), shape=user_items.shape)

    def _predicted(
        self,
        weights: csr_matrix,
        above: csr_matrix,
        rows: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
        baseline: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.float64]:
        """Baseline of each pair plus the mean of a row of ``above``, weighted by a row of ``weights``."""
        rated = csr_matrix((np.ones(above.nnz), above.indices, above.indptr), shape=above.shape)
        ratings = baseline.copy()
        for first in range(0, len(ratings), BATCH_PAIRS):
            batch = slice(first, first + BATCH_PAIRS)
            weight, other = weights[rows[0][batch]], rows[1][batch]
            total = np.asarray(weight.multiply(rated[other]).sum(axis=1)).ravel()
            moved = np.asarray(weight.multiply(above[other]).sum(axis=1)).ravel()
            ratings[batch] += np.divide(moved, total, out=np.zeros_like(moved), where=total > 0)
        values = self.user_items_.data
        return np.clip(ratings, values.min(), values.max()) if values.size else ratings


class UserKNN(_Neighbours):
    """Recommend what the most similar users have: score(u, i) = Σ_{v ∈ N_k(u)} sim(u, v)·r_vi.

    Parameters
    ----------
    k
        Number of neighbours, all with a positive similarity.
    metric
        "cosine" or "pearson", see `sparse_cosine_topk`: Pearson takes each user's mean rating off, so it is for
        ratings; where all values are equal nobody resembles anybody.
    shrink
        Added to the denominator of the similarity: pulls down pairs of users with short histories.
    min_overlap
        Items that two users must have in common.

    Notes
    -----
    Memory-based: `fit` is O(nnz), and `recommend` and `predict` search the neighbours of the users asked for among all,
    at most one addition for every two entries that share an item. Each call also passes over the training matrix, so
    ask for many users at once. Items that no neighbour has, or whose sum is exactly 0 (ratings of 0, or of both signs),
    are not returned; a user without history gets an empty list.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> history = csr_matrix([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]])
    >>> UserKNN(k=1).fit(history).recommend(0, n=2).ids.tolist()
    [[2, -1]]
    """

    _learned: ClassVar[tuple[str, ...]] = ()

    def __init__(self, k: int = 80, metric: Metric = "cosine", shrink: float = 0.0, min_overlap: int = 1) -> None:
        super().__init__(k, metric, shrink, min_overlap)

    def _fit(self, user_items: csr_matrix) -> None:
        """Learn nothing: neighbours are searched when users are asked for."""

    def _recommend(self, request: Request) -> TopK:
        near = self._nearest(request.history, self.user_items_, self.k, request.user_ids).astype(np.float64)
        return top_in_batches(lambda rows: near[rows] @ self.user_items_, request)

    def _predict(self, user_ids: npt.NDArray[np.int64], item_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        users, row = np.unique(user_ids, return_inverse=True)
        weights = self._nearest(self.user_items_[users], self.user_items_, self.k, users)
        baseline = self._baseline.of_pairs(user_ids, item_ids)
        return self._predicted(weights, self._above.T.tocsr(), (row, item_ids), baseline)

    def _similar_users(self, user_ids: npt.NDArray[np.int64], n: int) -> TopK:
        return top_of_scores(self._nearest(self.user_items_[user_ids], self.user_items_, n, user_ids), n)


class ItemKNN(_Neighbours):
    """Recommend what resembles the user's items: score(u, i) = Σ_{j ∈ N_k(i)} r_uj·sim(i, j).

    Parameters
    ----------
    k
        Number of neighbours kept of each item, all with a positive similarity.
    metric
        "cosine" or "pearson", see `sparse_cosine_topk`: Pearson takes each item's mean rating off, so it is for
        ratings; where all values are equal nothing resembles anything.
    shrink
        Added to the denominator of the similarity: pulls down pairs of items that few users have.
    min_overlap
        Users that two items must have in common.

    Attributes
    ----------
    similarity_ : (n_items, n_items) CSR, float32
        Row i holds the similarities of the k nearest neighbours of item i.

    Notes
    -----
    Model-based: `fit` searches every item's neighbours, `recommend` is a sparse product. `partial_fit` searches all of
    them again, like `fit`: one item's new interactions move its similarity to any other, and where it leaves a list of
    k, what follows is not known. Items that resemble nothing in the history, or whose sum is exactly 0 (ratings of 0,
    or of both signs), are not returned.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> history = csr_matrix([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]])
    >>> ItemKNN(k=2, shrink=0.0).fit(history).recommend(0, n=2).ids.tolist()
    [[2, -1]]
    """

    _learned: ClassVar[tuple[str, ...]] = ("similarity_",)

    similarity_: csr_matrix

    def __init__(self, k: int = 200, metric: Metric = "cosine", shrink: float = 50.0, min_overlap: int = 1) -> None:
        super().__init__(k, metric, shrink, min_overlap)

    def _fit(self, user_items: csr_matrix) -> None:
        items = user_items.T.tocsr()
        self.similarity_ = self._nearest(items, items, self.k, np.arange(items.shape[0]))
        self.similarity_.sort_indices()  # so that sums have one fixed order

    def _derive(self, user_items: csr_matrix) -> None:
        super()._derive(user_items)
        self._weights = self.similarity_.T.tocsr().astype(np.float64)
        self._items = user_items.T.tocsr()

    def _recommend(self, request: Request) -> TopK:
        return top_in_batches(lambda rows: request.history[rows] @ self._weights, request)

    def _predict(self, user_ids: npt.NDArray[np.int64], item_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        baseline = self._baseline.of_pairs(user_ids, item_ids)
        return self._predicted(self.similarity_, self._above, (item_ids, user_ids), baseline)

    def _similar_items(self, item_ids: npt.NDArray[np.int64], n: int) -> TopK:
        return top_of_scores(self._nearest(self._items[item_ids], self._items, n, item_ids), n)
