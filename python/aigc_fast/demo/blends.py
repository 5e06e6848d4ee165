"""Blends of EASE with another recommender, re-ranked for diversity or not; validation data chooses how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK
from aigc_fast.demo.comparison import DECISIVE, LIST_LENGTH
from aigc_fast.recommender import accuracy_by_user, blend, rerank
from aigc_fast.recommender.evaluation.metrics import known_mean

LINEAR = "EASE"
CANDIDATES = 100  # length of the lists that are blended
WEIGHTS = tuple(step / 20 for step in range(21))  # of the other's list; EASE has the rest
TRADE_OFFS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # of `rerank`; 1 leaves the order alone


class Recipe(NamedTuple):
    """How to make lists of those of EASE and of another recommender."""

    other: str
    weight: float = 0.0
    trade_off: float = 1.0

    def lists(self, of: Mapping[str, TopK], item_vectors: npt.NDArray[np.float32]) -> TopK:
        """Return the lists; those of the recommenders have ``CANDIDATES`` items."""
        blended = blend([of[LINEAR], of[self.other]], [1 - self.weight, self.weight], CANDIDATES)
        return rerank(blended, item_vectors, LIST_LENGTH, trade_off=self.trade_off)


def choose_recipes(
    of: Mapping[str, TopK], others: Sequence[str], validation: csr_matrix, item_vectors: npt.NDArray[np.float32]
) -> dict[str, Recipe]:
    """Choose weights and trade-offs on validation data, for EASE alone and for its blend with each other recommender.

    The weight is the one with the best NDCG, the smallest of equals. Re-ranked lists are as diverse as they can be
    without an NDCG below that of EASE.

    Parameters
    ----------
    of
        Name → the lists that a recommender, fitted without the validation part, has for all users.
    others
        Names of those to blend with.
    validation : (n_users, n_items) CSR
        What is relevant.
    item_vectors : (n_items, d)
        What makes items similar.

    Returns
    -------
    dict
        What the lists are called → how they are made.
    """

    def quality(recipe: Recipe) -> float:
        return known_mean(accuracy_by_user(recipe.lists(of, item_vectors), validation, LIST_LENGTH)[DECISIVE])

    def diverse(recipe: Recipe) -> Recipe:
        candidates = [recipe._replace(trade_off=trade_off) for trade_off in TRADE_OFFS]
        return min((one for one in candidates if quality(one) >= least), key=lambda one: one.trade_off, default=recipe)

    alone = Recipe(LINEAR)
    least = quality(alone)
    chosen = {f"{LINEAR}, re-ranked": diverse(alone)}
    for other in others:
        best = max((Recipe(other, weight) for weight in WEIGHTS), key=quality)
        chosen |= {f"{LINEAR} + {other}": best, f"{LINEAR} + {other}, re-ranked": diverse(best)}
    return chosen
