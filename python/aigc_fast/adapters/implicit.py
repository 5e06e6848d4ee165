"""``recommend`` and ``similar_items`` in the shape of implicit's factorization models, by exact search."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_fast.arrays import id_lists, ids_below
from aigc_fast.similarity import cosine_topk

Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]


class AigcFactors:
    """Answer for a fitted model that has ``user_factors`` and ``item_factors``.

    Parameters
    ----------
    model
        For instance ``implicit.als.AlternatingLeastSquares``, fitted on the CPU. Its factors are searched in place.
    num_threads
        0 or None: all.

    Notes
    -----
    Where implicit fills up short lists with filtered items and a score of −3.4e38, these have id −1 and score −inf.
    Where it counts negative ids of users and items from the end, as NumPy does, they are errors here.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(user_factors=np.eye(2, dtype=np.float32), item_factors=np.ones((3, 2), np.float32))
    >>> ids, scores = AigcFactors(model).recommend(0, None, N=2, filter_already_liked_items=False)
    >>> ids.tolist(), scores.tolist()
    ([0, 1], [1.0, 1.0])
    """

    def __init__(self, model: Any, num_threads: int = 0) -> None:
        self.user_factors = np.asarray(model.user_factors)
        self.item_factors = np.asarray(model.item_factors)
        if self.user_factors.ndim != 2 or self.item_factors.ndim != 2:
            raise ValueError("model has no matrices of factors; one that is fitted on the CPU is taken")
        self.num_threads = num_threads or None

    def recommend(
        self,
        userid: int | npt.ArrayLike,
        user_items: Any,
        N: int = 10,
        filter_already_liked_items: bool = True,
        filter_items: npt.ArrayLike | None = None,
        items: npt.ArrayLike | None = None,
    ) -> Found:
        """Best items by the inner product of factors.

        Parameters
        ----------
        userid : int or (m,) ints
        user_items : (m, n_items) CSR
            What each of these users has; only used with ``filter_already_liked_items``.
        N, filter_already_liked_items, filter_items, items
            As in implicit: length, whether to leave out what the user has, ids to leave out, the only ids to return.

        Returns
        -------
        ids, scores
            (m, N), or (N,) for one user.

        Raises
        ------
        ValueError, TypeError
            Ids that are no integers or out of range, ``user_items`` of another shape; the message names the argument.
        """
        if filter_already_liked_items and user_items is None:
            raise ValueError("user_items is None; filter_already_liked_items takes what the users have")
        if filter_items is not None and items is not None:
            raise ValueError("filter_items and items must not both be given")
        n_items = len(self.item_factors)
        users = ids_below(np.atleast_1d(userid), "userid", len(self.user_factors))
        liked = id_lists(user_items, "user_items", len(users), n_items) if filter_already_liked_items else None
        allow = None if items is None else ids_below(items, "items", n_items)
        if filter_items is not None:
            allow = np.setdiff1d(np.arange(n_items), ids_below(filter_items, "filter_items", n_items))
        top = cosine_topk(
            self.user_factors[users],
            self.item_factors,
            N,
            exclude=liked,
            allow=allow,
            metric="inner_product",
            num_threads=self.num_threads,
        )
        return (top.ids[0], top.scores[0]) if np.isscalar(userid) else (top.ids, top.scores)

    def similar_items(self, itemid: int | npt.ArrayLike, N: int = 10) -> Found:
        """Items by the cosine of factors, as implicit with the item itself among them; ids and errors as above."""
        ids = ids_below(np.atleast_1d(itemid), "itemid", len(self.item_factors))
        top = cosine_topk(self.item_factors[ids], self.item_factors, N, num_threads=self.num_threads)
        return (top.ids[0], top.scores[0]) if np.isscalar(itemid) else (top.ids, top.scores)
