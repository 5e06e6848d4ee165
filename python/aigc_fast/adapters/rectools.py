"""A ranker for RecTools: what `rectools.models.rank.ImplicitRanker` does, by exact search."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_fast.arrays import ids_below
from aigc_fast.errors import require
from aigc_fast.similarity import Metric, cosine_topk

_METRICS: dict[str, Metric] = {"cosine": "cosine", "dot": "inner_product"}


class AigcRanker:
    """Rank objects for subjects by dot product or cosine; satisfies the protocol ``rectools.models.rank.Ranker``.

    Parameters
    ----------
    distance : rectools.models.rank.Distance or str
        "dot" or "cosine".
    subjects_factors : (n_subjects, d)
    objects_factors : (n_objects, d)
    num_threads
        0 or None: all.

    Raises
    ------
    MissingExtraError
        RecTools is not installed.
    ValueError
        Another distance; Euclidean distance is not searched here.
    """

    def __init__(
        self, distance: Any, subjects_factors: npt.ArrayLike, objects_factors: npt.ArrayLike, num_threads: int = 0
    ) -> None:
        known = require("rectools.models.rank", "rectools").Distance
        name = known(distance).value
        if name not in _METRICS:
            raise ValueError(f"distance is {name!r}; 'dot' or 'cosine' is taken")
        self._metric = _METRICS[name]
        self.subjects_factors = np.asarray(subjects_factors, np.float32)
        self.objects_factors = np.asarray(objects_factors, np.float32)
        self.num_threads = num_threads or None

    def rank(
        self,
        subject_ids: Any,
        k: int | None = None,
        filter_pairs_csr: Any = None,
        sorted_object_whitelist: npt.NDArray[np.integer[Any]] | None = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Rank objects, best first.

        Parameters
        ----------
        subject_ids : (m,) ints
            Rows of ``subjects_factors``.
        k
            Objects a subject; None: all.
        filter_pairs_csr : (m, n_objects) CSR, optional
            Objects to leave out.
        sorted_object_whitelist : ints, optional
            The only objects to rank.

        Returns
        -------
        subjects, objects, scores
            One entry for each pair, grouped by subject in the order given.

        Raises
        ------
        ValueError, TypeError
            Ids that are no integers or out of range, filters of another shape.
        """
        ids = ids_below(subject_ids, "subject_ids", len(self.subjects_factors))
        top = cosine_topk(
            self.subjects_factors[ids],
            self.objects_factors,
            len(self.objects_factors) if k is None else min(k, len(self.objects_factors)),
            exclude=filter_pairs_csr,
            allow=sorted_object_whitelist,
            metric=self._metric,
            num_threads=self.num_threads,
        )
        real = top.ids >= 0
        return np.repeat(ids, top.counts), top.ids[real], top.scores[real]
