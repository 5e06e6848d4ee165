"""Who sees which ratings, and the vectors that items get."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import normalize
from aigc_fast.data import Ratings
from aigc_fast.demo.settings import DemoSettings
from aigc_fast.recommender import cold_item_split, collaborative_vectors, content_vectors, random_split

#: Fewest users, items and ratings that can be split, trained on and evaluated at all.
LEAST_USERS, LEAST_ITEMS, LEAST_RATINGS = 5, 20, 200


class Parts(NamedTuple):
    """Parts of the ratings. Each rating is in ``test``, ``cold``, ``validation`` or ``fit``."""

    train: csr_matrix  # all but test: what the final model and the baselines learn from
    test: csr_matrix  # the final evaluation, and nothing else
    fit: csr_matrix  # what the model that parameters are chosen with learns from
    validation: csr_matrix  # chooses the parameters, and answers for the users in the feedback loop
    cold: csr_matrix  # train ratings of items that are hidden from that model


def split(ratings: Ratings, settings: DemoSettings) -> Parts:
    """Split at random: test by the protocol of CFGAN, and train once more for the choice of parameters.

    Raises
    ------
    ValueError
        Too few users, items or ratings.
    """
    size = (ratings.n_users, ratings.n_items, ratings.n_ratings)
    if size < (LEAST_USERS, 0, 0) or ratings.n_items < LEAST_ITEMS or ratings.n_ratings < LEAST_RATINGS:
        raise ValueError(
            f"ratings has {size[0]} users, {size[1]} items and {size[2]} ratings; "
            f"at least {LEAST_USERS}, {LEAST_ITEMS} and {LEAST_RATINGS} are taken"
        )
    train, test = random_split(ratings.user_items, settings.test_fraction, settings.seed)
    warm, cold = cold_item_split(train, settings.cold_fraction, settings.seed)
    fit, validation = random_split(warm, settings.validation_fraction, settings.seed)
    return Parts(train, test, fit, validation, cold)


def demo_vectors(ratings: Ratings, interactions: csr_matrix, settings: DemoSettings) -> npt.NDArray[np.float32]:
    """Item vectors: who has the item, and beside it what the item is (genres, decade), where the file tells."""
    used = (len(np.unique(interactions.nonzero()[0])), len(np.unique(interactions.indices)))
    vectors = collaborative_vectors(binary(interactions), min(settings.dim, *(size - 1 for size in used)))
    if ratings.items is None:
        return vectors
    # Title words are left out: they widen the vectors, and with them the training time, five times.
    content = content_vectors(ratings.items, title_buckets=1, title_weight=0.0)
    joined = np.concatenate([vectors, settings.content_weight * content], axis=1)
    return np.asarray(normalize(joined), np.float32)


def binary(matrix: csr_matrix) -> csr_matrix:
    """Return the pattern with a 1 for each entry: every rating is positive."""
    return csr_matrix((np.ones(matrix.nnz, np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def counts(ratings: Ratings, parts: Parts) -> dict[str, int]:
    """Sizes of the data and of its parts, for the report."""
    return {
        "users": ratings.n_users,
        "items": ratings.n_items,
        "ratings": ratings.n_ratings,
        "train": parts.train.nnz,
        "test": parts.test.nnz,
        "fit": parts.fit.nnz,
        "validation": parts.validation.nnz,
        "hidden_items": len(np.unique(parts.cold.indices)),
    }
