"""Metrics of recommendation lists against held-out interactions, computed for all users at once.

Definitions, for a user with the list i_1 … i_n (only the first n slots count; a missing slot is a miss) and
the test items T, any of which is relevant whatever its value; rel_r is 1 if i_r is in T, else 0:

- P@n = Σ_r rel_r / n and R@n = Σ_r rel_r / |T|;
- NDCG@n = DCG / IDCG with DCG = Σ_r rel_r / log2(r + 1) and IDCG the DCG of min(n, |T|) hits in a row:
  Järvelin and Kekäläinen, ACM TOIS 20(4), 2002, with binary gains and the ideal list cut at n;
- MRR@n = 1 / rank of the first hit within n, 0 without one (Voorhees, TREC-8, 1999);
- MAP@n = Σ_{r ≤ n} rel_r · P@r / |T| (average precision of trec_eval, cut at n).

These five are averaged over the users who have test items. Beyond accuracy, over all lists given:

- Coverage@n: share of the items that appear in some list (catalogue coverage: Ge et al., RecSys 2010);
- Gini@n: Gini coefficient of the number of lists that each item of the catalogue appears in, 0 where all appear equally
  often, near 1 where a few items fill all lists (concentration: Fleder and Hosanagar, Management Science 55(5), 2009);
- Diversity@n: 1 − mean cosine over all pairs of items of a list, averaged over the lists of two items or more
  (Smyth and McClave, ICCBR 2001; the complement of the intra-list similarity of Ziegler et al., WWW 2005);
- Novelty@n: mean of −log2 p(i) over the items of a list, averaged over the lists that have any; p(i) is the
  share of the users who have item i in train (mean self-information: Zhou et al., PNAS 107(10), 2010). An
  item that nobody has counts as if one user had it, the rarest that data can show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_fast import TopK, normalize
from aigc_fast.recommender.arguments import CSR, as_count, as_csr, as_dense, as_listed

#: Numbers in the vectors (lists · n · d) of one block of the diversity computation.
_DIVERSITY_VALUES = 1 << 22


def evaluate(
    topk: TopK,
    test: CSR,
    cutoffs: Sequence[int] = (5, 20),
    *,
    train: CSR | None = None,
    item_vectors: npt.ArrayLike | None = None,
) -> dict[str, float]:
    """All metrics of a set of lists; the definitions are at the top of this module.

    Parameters
    ----------
    topk
        What `Recommender.recommend` returned; row u is the list of row u of ``test``.
    test : (n_lists, n_items) CSR
        Its pattern says what is relevant.
    cutoffs
        The n of the metrics, none longer than the lists.
    train : (n_users, n_items) CSR, optional
        Gives novelty its p(i); its rows may be other users than those of ``test``.
    item_vectors : (n_items, d), optional
        Gives diversity its cosines.

    Returns
    -------
    dict
        "P@5", "R@5", "NDCG@5", "MRR@5", "MAP@5", "Coverage@5", "Gini@5" and so on for each cutoff; "Diversity@5"
        only with ``item_vectors``, "Novelty@5" only with ``train``. An average over nobody is NaN.

    Raises
    ------
    ValueError
        Shapes that do not belong together, an id out of range or twice in a list, a cutoff beyond the lists.

    Notes
    -----
    O(n_lists · n · log nnz) time, and for diversity O(n_lists · n · d).

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> lists = TopK(np.array([[0.9, 0.5]]), np.array([[2, 0]]), np.array([2]))
    >>> metrics = evaluate(lists, csr_matrix([[1, 1, 0]]), cutoffs=[2])
    >>> {name: round(value, 3) for name, value in metrics.items()}
    {'P@2': 0.5, 'R@2': 0.5, 'NDCG@2': 0.387, 'MRR@2': 0.5, 'MAP@2': 0.25, 'Coverage@2': 0.667, 'Gini@2': 0.333}
    """
    relevant = as_csr("test", test)
    n_items = relevant.shape[1]
    ids = as_listed("topk.ids", topk.ids, *relevant.shape)
    information = None if train is None else _self_information(train, n_items)
    unit = None if item_vectors is None else normalize(as_dense("item_vectors", item_vectors, n_items))
    metrics: dict[str, float] = {}
    for cutoff in cutoffs:
        n = _checked_cutoff("cutoffs", cutoff, ids)
        for name, values in accuracy_by_user(topk, relevant, n).items():
            metrics[f"{name}@{n}"] = known_mean(values)
        listed = ids[:, :n]
        exposure = np.bincount(listed[listed >= 0], minlength=n_items)
        metrics[f"Coverage@{n}"] = int(np.count_nonzero(exposure)) / n_items if n_items else float("nan")
        metrics[f"Gini@{n}"] = gini(exposure)
        if unit is not None:
            metrics[f"Diversity@{n}"] = known_mean(_diversity(listed, unit))
        if information is not None:
            metrics[f"Novelty@{n}"] = known_mean(_novelty(listed, information))
    return metrics


def accuracy_by_user(topk: TopK, test: CSR, n: int) -> dict[str, npt.NDArray[np.float64]]:
    """P, R, NDCG, MRR and MAP at ``n`` of every list, NaN where the user has no test items.

    For intervals and paired tests (`bootstrap_interval`, `paired_test`); `evaluate` averages these.

    Parameters
    ----------
    topk, test
        As in `evaluate`.
    n
        Slots that count, no more than the lists have.

    Returns
    -------
    dict
        "P", "R", "NDCG", "MRR" and "MAP" → (n_lists,) float64. O(n_lists · n · log nnz).

    Raises
    ------
    ValueError, TypeError
        As of `evaluate`.
    """
    relevant = as_csr("test", test)
    ids = as_listed("topk.ids", topk.ids, *relevant.shape)
    ids = ids[:, : _checked_cutoff("n", n, ids)]
    hit = _is_relevant(ids, relevant)
    counts = np.diff(relevant.indptr).astype(np.float64)
    counts[counts == 0] = np.nan
    hits = hit.sum(axis=1) + 0 * counts  # NaN for users without test items
    gain = 1 / np.log2(np.arange(2, n + 2))
    ideal = np.cumsum(gain)[np.minimum(np.nan_to_num(counts, nan=1), n).astype(np.int64) - 1]
    first = np.argmax(hit, axis=1) + 1
    precision = np.cumsum(hit, axis=1) / np.arange(1, n + 1)
    return {
        "P": hits / n,
        "R": hits / counts,
        "NDCG": (hit * gain).sum(axis=1) / ideal + 0 * counts,
        "MRR": np.where(hit.any(axis=1), 1 / first, 0) + 0 * counts,
        "MAP": (hit * precision).sum(axis=1) / counts,
    }


def diversity_by_user(topk: TopK, item_vectors: npt.ArrayLike, n: int) -> npt.NDArray[np.float64]:
    """Diversity at ``n`` of every list, NaN where it has fewer than two items; `evaluate` averages it.

    Parameters
    ----------
    topk, item_vectors, n
        As in `evaluate`.

    Returns
    -------
    (n_lists,) float64
        O(n_lists · n · d).

    Raises
    ------
    ValueError, TypeError
        As of `evaluate`.

    Examples
    --------
    >>> lists = TopK(np.ones((2, 2)), np.array([[0, 1], [1, -1]]), np.array([2, 1]))
    >>> diversity_by_user(lists, [[1, 0], [0, 1]], n=2).tolist()
    [1.0, nan]
    """
    unit = normalize(as_dense("item_vectors", item_vectors))
    ids = as_listed("topk.ids", topk.ids, len(topk.ids), len(unit))
    return _diversity(ids[:, : _checked_cutoff("n", n, ids)], unit)


def rating_errors(predicted: npt.ArrayLike, actual: npt.ArrayLike) -> dict[str, float]:
    """Root mean square error and mean absolute error of predicted ratings; NaN where there are none.

    Parameters
    ----------
    predicted, actual : (n_pairs,)
        What `Recommender.predict` returned, and what the users gave.

    Returns
    -------
    dict
        "RMSE" and "MAE".

    Raises
    ------
    ValueError
        Shapes that differ, or a number that is NaN or infinite.

    Examples
    --------
    >>> rating_errors([3.0, 4.0, 4.5, 2.0], [3.0, 5.0, 4.5, 1.0])
    {'RMSE': 0.7071067811865476, 'MAE': 0.5}
    """
    one, other = np.asarray(predicted, np.float64), np.asarray(actual, np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(f"predicted has shape {one.shape} and actual {other.shape}; one number a pair is taken")
    for name, values in (("predicted", one), ("actual", other)):
        if not np.isfinite(values).all():  # left out, they would make the errors look smaller
            raise ValueError(f"{name} holds NaN or infinite values")
    error = one - other
    return {"RMSE": float(np.sqrt(known_mean(error**2))), "MAE": known_mean(np.abs(error))}


def gini(counts: npt.ArrayLike) -> float:
    """Gini coefficient of non-negative numbers: 0 if all are equal, (n − 1) / n if one of n has everything.

    G = Σ_j (2j − n − 1) x_(j) / (n Σ x) over the ascending x_(1) … x_(n); NaN where all are 0 or there are none.

    Examples
    --------
    >>> gini([2, 2, 2]), gini([0, 0, 0, 8])
    (0.0, 0.75)
    """
    ordered = np.sort(np.asarray(counts, np.float64).ravel())
    total = len(ordered) * ordered.sum()
    if not total:
        return float("nan")
    return float((2 * np.arange(1, len(ordered) + 1) - len(ordered) - 1) @ ordered / total)


def _checked_cutoff(name: str, value: int, ids: npt.NDArray[np.integer[Any]]) -> int:
    n = as_count(name, value, minimum=1)
    if n > ids.shape[1]:
        raise ValueError(f"{name} is {n}; the lists of topk have {ids.shape[1]} slots")
    return n


def _is_relevant(ids: npt.NDArray[np.integer[Any]], relevant: Any) -> npt.NDArray[np.bool_]:
    """Whether each listed item is an entry of its row: one binary search in the sorted (row, item) keys."""
    n_rows, n_items = relevant.shape
    row = np.arange(n_rows, dtype=np.int64)
    keys = np.repeat(row, np.diff(relevant.indptr)) * n_items + relevant.indices
    wanted = np.where(ids < 0, -1, row[:, None] * n_items + ids)
    keys = np.append(keys, np.iinfo(np.int64).max)  # so that every place exists
    found: npt.NDArray[np.bool_] = keys[np.searchsorted(keys, wanted)] == wanted
    return found


def known_mean(values: npt.NDArray[np.float64]) -> float:
    """Mean of what is not NaN; NaN, without NumPy's warning, where that is nothing."""
    real = values[~np.isnan(values)]
    return float(real.mean()) if real.size else float("nan")


def _diversity(ids: npt.NDArray[np.integer[Any]], unit: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """1 − mean pairwise cosine of each list, by ‖Σv‖² = Σ‖v‖² + 2·Σ_{pairs} v·w; NaN below two items."""
    diversity = np.full(len(ids), np.nan)
    size = max(1, _DIVERSITY_VALUES // max(1, ids.shape[1] * unit.shape[1]))
    for first in range(0, len(ids), size):
        block = ids[first : first + size]
        real = block >= 0
        vectors = np.where(real[..., None], unit[block], 0).astype(np.float64)
        count = real.sum(axis=1).astype(np.float64)
        count[count < 2] = np.nan
        pairs_twice = (vectors.sum(axis=1) ** 2).sum(axis=1) - (vectors**2).sum(axis=(1, 2))
        diversity[first : first + len(block)] = 1 - pairs_twice / (count * (count - 1))
    return diversity


def _self_information(train: CSR, n_items: int) -> npt.NDArray[np.float64]:
    matrix = as_csr("train", train, (None, n_items))
    users = np.bincount(matrix.indices, minlength=n_items)
    information: npt.NDArray[np.float64] = np.log2(max(matrix.shape[0], 1)) - np.log2(np.maximum(users, 1))
    return information


def _novelty(ids: npt.NDArray[np.integer[Any]], information: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    real = ids >= 0
    count = real.sum(axis=1).astype(np.float64)
    count[count == 0] = np.nan
    mean: npt.NDArray[np.float64] = np.where(real, information[ids], 0).sum(axis=1) / count
    return mean
