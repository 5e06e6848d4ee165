"""Blend the lists of several recommenders into one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aigc_fast import TopK
from aigc_fast.recommender.arguments import as_count
from aigc_fast.recommender.fusion import head, merge_sums


def blend(lists: Sequence[TopK], weights: Sequence[float], n: int) -> TopK:
    """Add up the scores that items have in several recommenders' lists for the same users.

    Scores of different recommenders have different scales, so each list is scaled to 0 … 1 first: its first item has 1,
    its last one the smallest score above 0 (Fox and Shaw, TREC-2, 1994, CombSUM on scaled scores). An item that a
    list lacks gets nothing from it.

    Parameters
    ----------
    lists
        One TopK a recommender with a row for each user, a few times longer than ``n``, from
        ``recommend(user_ids, n=...)``.
    weights
        Of each recommender, at least 0 and not all 0.
    n
        Length of the new lists.

    Returns
    -------
    TopK
        (n_users, n), score descending, then id ascending. O(total · log total) for ``total`` listed items.

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
    if any(len(found.ids) != n_users for found in lists):
        raise ValueError(f"lists have {[len(found.ids) for found in lists]} rows; the same users in each are taken")
    rows, ids, scores = [], [], []
    for found, share in zip(lists, shares, strict=True):
        real = found.ids >= 0
        rows.append(np.broadcast_to(np.arange(n_users)[:, None], real.shape)[real])
        ids.append(found.ids[real])
        scores.append(share * _scaled(found, real)[real])
    joined = merge_sums(n_users, np.concatenate(rows), np.concatenate(ids), np.concatenate(scores))
    return head(joined, as_count("n", n))


def _scaled(found: TopK, real: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Scores of each list from 1 for its largest to 1 / length for its smallest; 1 where all are equal."""
    scores = found.scores.astype(np.float64)
    low = np.where(real, scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    high = np.where(real, scores, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    spread = np.where(high > low, high - low, 1)
    least = np.where(high > low, 1 / np.maximum(real.sum(axis=1, keepdims=True), 1), 1)
    with np.errstate(invalid="ignore"):  # missing slots and empty lists, which nobody reads
        return np.asarray(least + (1 - least) * (scores - low) / spread)
