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
from aigc_fast.recommender.histories import merge
from aigc_fast.recommender.splits import entries_where

#: Fewest users, items and ratings that can be split, trained on and evaluated at all.
LEAST = (10, 20, 200)


class Parts(NamedTuple):
    """Parts of the ratings. Each rating is in ``test``, ``cold``, ``answers``, ``validation`` or ``fit``."""

    train: csr_matrix  # all but test: what the final model and the baselines learn from
    test: csr_matrix  # measures, and decides nothing
    fit: csr_matrix  # what the model that parameters are chosen with learns from
    validation: csr_matrix  # chooses the parameters
    cold: csr_matrix  # train ratings of items that are hidden from that model
    answers: csr_matrix  # train ratings of newcomers that it does not see until they answer with them
    newcomers: npt.NDArray[np.int64]  # the users with answers


def split(ratings: Ratings, settings: DemoSettings) -> Parts:
    """Split at random: test by the protocol of CFGAN, and train once more for everything that needs a choice.

    Raises
    ------
    ValueError
        Too few users, items or ratings.
    """
    size = (ratings.n_users, ratings.n_items, ratings.n_ratings)
    if any(got < least for got, least in zip(size, LEAST, strict=True)):
        raise ValueError(
            "ratings has {} users, {} items and {} ratings; at least {}, {} and {} are taken".format(*size, *LEAST)
        )
    train, test = random_split(ratings.user_items, settings.test_fraction, settings.seed)
    warm, cold = cold_item_split(train, settings.cold_fraction, settings.seed)
    known, answers, newcomers = _newcomers(warm, settings)
    new = np.isin(_rows(known), newcomers)
    fit, validation = random_split(entries_where(known, ~new), settings.validation_fraction, settings.seed)
    fit = merge(fit, entries_where(known, new)).history
    return Parts(train, test, fit, validation, cold, answers, newcomers)


def _newcomers(warm: csr_matrix, settings: DemoSettings) -> tuple[csr_matrix, csr_matrix, npt.NDArray[np.int64]]:
    """Draw users who start with a few of their ratings; return what is known, what is left to tell, and who."""
    rng = np.random.default_rng(settings.seed)
    enough = np.flatnonzero(np.diff(warm.indptr) >= 2 * settings.newcomer_ratings)
    newcomers = np.sort(rng.permutation(enough)[: round(settings.newcomer_fraction * len(enough))])
    row = _rows(warm)
    place = np.empty(warm.nnz, np.int64)  # of each rating in its user's history, in random order
    place[np.lexsort((rng.random(warm.nnz), row))] = np.arange(warm.nnz) - np.repeat(
        warm.indptr[:-1], np.diff(warm.indptr)
    )
    told_later = np.isin(row, newcomers) & (place >= settings.newcomer_ratings)
    return entries_where(warm, ~told_later), entries_where(warm, told_later), newcomers


def _rows(matrix: csr_matrix) -> npt.NDArray[np.int64]:
    """Row of each entry."""
    return np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))


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
        "newcomers": len(parts.newcomers),
    }
