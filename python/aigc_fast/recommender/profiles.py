"""User profiles: what a user liked, as a vector in the space of the items."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import normalize
from aigc_fast.recommender.arguments import CSR, as_csr, as_dense, as_real, as_same_pattern

RatingWeight = Literal["raw", "centred", "binary"]


def user_profiles(
    user_items: CSR,
    item_vectors: npt.ArrayLike,
    *,
    timestamps: CSR | None = None,
    half_life: float | None = None,
    rating_weight: RatingWeight = "raw",
) -> npt.NDArray[np.float32]:
    """Sum of the vectors of a user's items, weighted by rating and recency, normalised.

    profile(u) = p_u / ‖p_u‖ with p_u = Σ_i a(r_ui) · 2^{−(t_u − t_ui)/half_life} · v_i, where t_u is the time
    of the user's latest interaction (any other moment gives the same profile: it scales all weights alike).

    Parameters
    ----------
    user_items : (n_users, n_items) CSR
        Ratings r_ui.
    item_vectors : (n_items, d)
        Vectors v_i, usually unit rows.
    timestamps : (n_users, n_items) CSR, optional
        Times t_ui, same pattern; needed for ``half_life``.
    half_life
        Time, in the unit of ``timestamps``, after which an interaction counts half. None: all count alike.
    rating_weight
        "raw": a(r) = r; "binary": a(r) = 1; "centred": a(r) = r minus the user's mean rating, so that what
        was rated low pushes the profile away (relevance feedback after Rocchio: Pazzani and Billsus, in The
        Adaptive Web, 2007), and a(r) = 1 for a user whose ratings are all equal.

    Returns
    -------
    (n_users, d) float32
        Unit rows; zero for a user without history (or whose weighted items cancel out). O(nnz · d).

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong type, shape or range, or ``half_life`` without ``timestamps``.

    Examples
    --------
    >>> history = csr_matrix([[4, 3, 0], [0, 0, 0]])
    >>> user_profiles(history, np.eye(3)).tolist()
    [[0.800000011920929, 0.6000000238418579, 0.0], [0.0, 0.0, 0.0]]
    """
    ratings = as_csr("user_items", user_items)
    vectors = as_dense("item_vectors", item_vectors, ratings.shape[1])
    times = None if timestamps is None else as_same_pattern("timestamps", timestamps, ratings, "user_items")
    return weighted_profiles(interaction_weights(ratings, rating_weight, times, half_life), vectors)


def as_rating_weight(value: Any) -> RatingWeight:
    """Return the name of a weight, or say that it is none."""
    if value not in get_args(RatingWeight):
        raise ValueError(f"rating_weight is {value!r}; 'raw', 'centred' or 'binary' is taken")
    kind: RatingWeight = value
    return kind


def as_half_life(value: object) -> float:
    """Return a half-life, or say that it is none."""
    return as_real("half_life", value, "a positive number", lambda time: time > 0)


def interaction_weights(
    user_items: csr_matrix, rating_weight: RatingWeight, timestamps: csr_matrix | None, half_life: float | None
) -> csr_matrix:
    """Weight of each interaction in its user's profile, as `user_profiles` defines it; same pattern."""
    weights = _rating_weights(user_items, as_rating_weight(rating_weight))
    if half_life is not None:
        if timestamps is None:
            raise ValueError("half_life takes timestamps; none came")
        weights = weights * np.exp2(-_ages(timestamps) / as_half_life(half_life))
    return csr_matrix((weights, user_items.indices, user_items.indptr), shape=user_items.shape)


def weighted_profiles(weights: csr_matrix, item_vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Profiles (n_users, d) of `user_profiles`, from the weights of the interactions."""
    used = np.zeros(len(item_vectors), np.bool_)  # one user's items are few: only theirs are widened
    used[weights.indices] = True
    place = (np.cumsum(used) - 1)[weights.indices]
    shape = (weights.shape[0], int(used.sum()))
    sums = csr_matrix((weights.data, place, weights.indptr), shape) @ item_vectors[used].astype(np.float64)
    return np.asarray(normalize(np.ascontiguousarray(sums)), np.float32)


def _rating_weights(ratings: csr_matrix, kind: RatingWeight) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = ratings.data.astype(np.float64)
    if kind == "raw":
        return values
    if kind == "binary":
        return np.ones_like(values)
    counts = np.diff(ratings.indptr)
    user = np.repeat(np.arange(len(counts)), counts)
    mean = np.bincount(user, values, len(counts)) / np.maximum(counts, 1)
    highest, lowest = np.full(len(counts), -np.inf), np.full(len(counts), np.inf)
    np.maximum.at(highest, user, values)
    np.minimum.at(lowest, user, values)
    return np.where((highest == lowest)[user], 1.0, values - mean[user])


def _ages(times: csr_matrix) -> npt.NDArray[np.float64]:
    """Time from each interaction to the user's latest."""
    counts = np.diff(times.indptr)
    user = np.repeat(np.arange(len(counts)), counts)
    moments: npt.NDArray[np.float64] = times.data.astype(np.float64)
    latest = np.full(len(counts), -np.inf)
    np.maximum.at(latest, user, moments)
    return latest[user] - moments
