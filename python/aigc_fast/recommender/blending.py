"""Blend the lists of several recommenders into one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aigc_fast import TopK
from aigc_fast.recommender.arguments import as_count, as_scored
from aigc_fast.recommender.fusion import head, merge_sums


def blend(lists: Sequence[TopK], weights: Sequence[float], n: int) -> TopK:
    """Add up the scores that items have in several recommenders' lists for the same users.

    Scores of different recommenders have different scales, so each list is scaled first: its best item has 1, its
    worst one 1 / length, more than the nothing of an item that it lacks (Fox and Shaw, TREC-2, 1994, CombSUM on scaled
    scores). Where all its scores are equal, all items have 1.

    Parameters
    ----------
    lists
        One TopK a recommender with a row for each user, from ``recommend(user_ids, n=...)``: a few times longer than
        ``n``, of any lengths, and empty where a recommender knows nothing of a user. No row has an item twice.
    weights
        Of each recommender, at least 0 and not all 0.
    n
        Length of the new lists.

    Returns
    -------
    TopK
        (n_users, n) of float64 scores, score descending, then id ascending. O(total · log total) for ``total`` listed
        items.

    Raises
    ------
    ValueError
        Weights or lists that are not as above, or a listed item whose score is NaN or infinite.

    Examples
    --------
    >>> one = TopK(np.array([[9.0, 3.0, 1.0]]), np.array([[0, 1, 2]]), np.array([3]))
    >>> other = TopK(np.array([[0.5, 0.4]]), np.array([[2, 3]]), np.array([2]))
    >>> blend([one, other], [0.5, 0.5], n=2).ids.tolist()  # both have 2
    [[2, 0]]
    """
    shares = np.asarray(weights, np.float64)
    if shares.shape != (len(lists),) or not len(lists):
        raise ValueError(f"weights has shape {shares.shape}; one weight for each of the {len(lists)} lists is taken")
    if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.any()):
        raise ValueError(f"weights are {shares.tolist()}; finite numbers of at least 0, not all 0, are taken")
    n_users = len(lists[0].ids)
    rows, ids, scores = [], [], []
    for place, (found, share) in enumerate(zip(lists, shares, strict=True)):
        listed, given = as_scored(f"lists[{place}]", found, n_users)
        real = listed >= 0
        rows.append(np.broadcast_to(np.arange(n_users)[:, None], real.shape)[real])
        ids.append(listed[real])
        scores.append(share * _scaled(given.astype(np.float64), real)[real])
    joined = merge_sums(n_users, np.concatenate(rows), np.concatenate(ids), np.concatenate(scores))
    return head(joined, as_count("n", n))


def _scaled(scores: npt.NDArray[np.float64], real: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Scores of each list from 1 for its largest to 1 / length for its smallest; 1 where all are equal."""
    low = np.where(real, scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    high = np.where(real, scores, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    spread = np.where(high > low, high - low, 1)
    least = np.where(high > low, 1 / np.maximum(real.sum(axis=1, keepdims=True), 1), 1)
    with np.errstate(invalid="ignore"):  # missing slots and empty lists, which nobody reads
        return np.asarray(least + (1 - least) * (scores - low) / spread)
