"""The most popular items, the same for everybody: the baseline that any recommender has to beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK, cosine_topk
from aigc_fast.recommender.base import Recommender
from aigc_fast.recommender.request import Request


class TopPop(Recommender):
    """Rank items by the number of users who interacted with them, whatever the values.

    Every item is ranked, those without interactions last (score 0).

    Attributes
    ----------
    popularity_ : (n_items,) float32
        Number of users per item (exact up to 2**24 users).

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> history = csr_matrix([[1, 0, 1], [0, 0, 1], [1, 1, 1], [1, 0, 0]])
    >>> TopPop().fit(history).recommend([1, 3], n=2).ids.tolist()
    [[0, 1], [2, 1]]
    """

    _learned: ClassVar[tuple[str, ...]] = ("popularity_",)

    popularity_: npt.NDArray[np.float32]

    def _fit(self, user_items: csr_matrix) -> None:
        counts = np.bincount(user_items.indices, minlength=user_items.shape[1])
        self.popularity_ = counts.astype(np.float32)

    def _recommend(self, request: Request) -> TopK:
        # One-dimensional items and the query 1: their inner product is the popularity.
        queries, items = np.ones((len(request.user_ids), 1), np.float32), self.popularity_[:, None]
        return cosine_topk(
            queries, items, request.n, metric="inner_product", exclude=request.exclude, allow=request.allow
        )
