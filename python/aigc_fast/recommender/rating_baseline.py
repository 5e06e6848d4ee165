"""What a rating is before anything is known of the taste: mean, user and item."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

#: Ratings of 0 that an item and a user have beside their own: pulls deviations of few ratings towards 0.
ITEM_DAMPING, USER_DAMPING = 25.0, 10.0


class RatingBaseline(NamedTuple):
    """b_ui = mean + users[u] + items[i], float64."""

    mean: float
    users: npt.NDArray[np.float64]
    items: npt.NDArray[np.float64]

    def of_pairs(self, user_ids: npt.NDArray[np.integer], item_ids: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Baselines of pairs."""
        pairs: npt.NDArray[np.float64] = self.mean + self.users[user_ids] + self.items[item_ids]
        return pairs


def rating_baseline(ratings: csr_matrix) -> RatingBaseline:
    """Estimate the deviations of items, then those of users from what is left.

    items[i] = Σ_u (r_ui − mean) / (25 + n_i) and users[u] = Σ_i (r_ui − mean − items[i]) / (10 + n_u): Koren, "Factor
    in the neighbors", ACM TKDD 4(1), 2010, section 2.1, with its constants for the Netflix data. O(nnz).
    """
    values = ratings.data.astype(np.float64)
    n_users, n_items = ratings.shape
    counts = np.diff(ratings.indptr)
    user = np.repeat(np.arange(n_users), counts)
    mean = float(values.mean()) if values.size else 0.0
    by_item = np.bincount(ratings.indices, values - mean, n_items)
    items = by_item / (ITEM_DAMPING + np.bincount(ratings.indices, minlength=n_items))
    by_user = np.bincount(user, values - mean - items[ratings.indices], n_users)
    return RatingBaseline(mean, by_user / (USER_DAMPING + counts), items)
