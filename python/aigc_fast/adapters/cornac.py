"""Exact search in the place of Cornac's approximate indexes (``FaissANN``, ``ScaNNANN``, …)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_fast.errors import require
from aigc_fast.index import CosineIndex
from aigc_fast.similarity import Metric

_base = require("cornac.models.ann.recom_ann_base", "cornac")
_measures = require("cornac.models.recommender", "cornac")
_METRICS: dict[str, Metric] = {_measures.MEASURE_DOT: "inner_product", _measures.MEASURE_COSINE: "cosine"}


class AigcANN(_base.BaseANN):  # type: ignore[name-defined,misc]
    """Serve a fitted Cornac model by exact search over its item vectors.

    Parameters
    ----------
    model
        A Cornac recommender with item vectors whose measure is the dot product or the cosine, such as ``MF``, ``BPR``
        or ``WMF``.
    num_threads
        -1: all.
    name, verbose
        As in Cornac.

    Notes
    -----
    The distance that `knn_query` returns is minus the score, so that ``rank`` gives the scores of the model's vectors.
    """

    def __init__(self, model: Any, num_threads: int = -1, name: str = "AigcANN", verbose: bool = False) -> None:
        super().__init__(model=model, name=name, verbose=verbose)
        self.num_threads = None if num_threads < 1 else num_threads
        self.ignored_attrs.extend(["index"])

    def build_index(self) -> None:
        """Prepare the item vectors of the model for search."""
        super().build_index()
        if self.measure not in _METRICS:
            raise ValueError(f"model measures by {self.measure!r}; one of {', '.join(_METRICS)} is taken")
        self.index = CosineIndex(
            np.asarray(self.item_vectors, np.float32), metric=_METRICS[self.measure], num_threads=self.num_threads
        )

    def knn_query(self, query: npt.NDArray[Any], k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return the ids (m, k) of the best items and their distances, the smallest first; k = -1: all items."""
        count = len(self.item_vectors) if k < 0 else min(k, len(self.item_vectors))
        top = self.index.topk(np.asarray(query, np.float32), count)
        return top.ids, -top.scores

    def rank(
        self, user_idx: int, item_indices: npt.NDArray[Any] | None = None, k: int = -1, **kwargs: Any
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the items ranked for one user, the ``k`` best searched and the rest by id, and the scores by item.

        As in the base class, whose own version in Cornac 3.0.1 takes a name that NumPy 2 no longer has.
        """
        ids, distances = self.knn_query(self.user_vectors[[user_idx]], k)
        scores = np.full(self.total_items, -np.inf)
        scores[ids[0]] = -distances[0]
        ranked = np.concatenate([ids[0], np.setdiff1d(np.arange(self.total_items), ids[0])])
        if item_indices is None:
            return ranked[: self.num_items], scores[: self.num_items]
        return ranked[np.isin(ranked, item_indices)], scores[item_indices]
