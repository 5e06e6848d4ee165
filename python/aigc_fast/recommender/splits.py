"""Split interactions into train and test."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast.recommender.arguments import CSR, as_count, as_csr, as_fraction, as_same_pattern
from aigc_fast.recommender.histories import entry_keys


class Split(NamedTuple):
    """Two matrices of the full shape whose entries together are those that were split, values kept."""

    train: csr_matrix
    test: csr_matrix


def random_split(user_items: CSR, test_fraction: float = 0.2, seed: int = 0) -> Split:
    """Draw a share of all interactions, whoever they belong to, as test.

    The protocol of CFGAN (Chae et al., CIKM 2018): 80 % of all ratings train, 20 % test. A user
    may end up without test items, or (rarely) without train items.

    Parameters
    ----------
    user_items : (n_users, n_items) CSR
    test_fraction
        Share of the interactions, rounded to a whole number of them; in (0, 1).
    seed
        Same seed, same split.

    Returns
    -------
    Split
        O(nnz) time and memory.

    Raises
    ------
    ValueError, TypeError
        A fraction outside (0, 1), a negative seed, or no matrix of finite numbers.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> train, test = random_split(csr_matrix(np.ones((10, 10))), test_fraction=0.2)
    >>> train.nnz, test.nnz, (train + test).nnz
    (80, 20, 100)
    """
    matrix = as_csr("user_items", user_items)
    n_test = round(as_fraction("test_fraction", test_fraction) * matrix.nnz)
    in_test = np.zeros(matrix.nnz, np.bool_)
    in_test[np.random.default_rng(as_count("seed", seed)).permutation(matrix.nnz)[:n_test]] = True
    return Split(entries_where(matrix, ~in_test), entries_where(matrix, in_test))


def temporal_split(user_items: CSR, timestamps: CSR, test_fraction: float = 0.2) -> Split:
    """Take the latest interactions of each user as test.

    Of a user's m interactions, ordered by time and then by item id, the last floor(test_fraction · m) are
    test; so every user who has interactions keeps at least one to train on.

    Parameters
    ----------
    user_items, timestamps : (n_users, n_items) CSR
        Same pattern.
    test_fraction
        Share of each user's interactions, in (0, 1).

    Returns
    -------
    Split
        O(nnz · log nnz) time.

    Raises
    ------
    ValueError, TypeError
        A fraction outside (0, 1), or times of another pattern.
    """
    matrix = as_csr("user_items", user_items)
    times = as_same_pattern("timestamps", timestamps, matrix, "user_items")
    fraction = as_fraction("test_fraction", test_fraction)
    counts = np.diff(matrix.indptr)
    row = np.repeat(np.arange(matrix.shape[0]), counts)
    order = np.lexsort((matrix.indices, times.data, row))
    rank = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], counts)  # place within the user's history
    n_train = counts - np.floor(fraction * counts).astype(np.int64)
    in_test = np.empty(matrix.nnz, np.bool_)
    in_test[order] = rank >= np.repeat(n_train, counts)
    return Split(entries_where(matrix, ~in_test), entries_where(matrix, in_test))


def cold_item_split(user_items: CSR, test_fraction: float = 0.2, seed: int = 0) -> Split:
    """Draw a share of the items that have interactions; everything about them is test.

    In train those items have no history at all, so only their content can bring them into a list.

    Parameters
    ----------
    user_items : (n_users, n_items) CSR
    test_fraction
        Share of the items, rounded to a whole number of them; in (0, 1).
    seed
        Same seed, same split.

    Returns
    -------
    Split

    Raises
    ------
    ValueError, TypeError
        As of `random_split`.
    """
    matrix = as_csr("user_items", user_items)
    warm = np.unique(matrix.indices)
    n_cold = round(as_fraction("test_fraction", test_fraction) * len(warm))
    cold = np.zeros(matrix.shape[1], np.bool_)
    cold[np.random.default_rng(as_count("seed", seed)).permutation(warm)[:n_cold]] = True
    in_test = cold[matrix.indices]
    return Split(entries_where(matrix, ~in_test), entries_where(matrix, in_test))


def restrict(matrix: CSR, pattern: CSR) -> csr_matrix:
    """Entries of ``matrix`` where ``pattern`` has an entry, e.g. the timestamps of a train matrix.

    Parameters
    ----------
    matrix, pattern : (n_users, n_items) CSR
        ``matrix`` has an entry wherever ``pattern`` has one.

    Returns
    -------
    csr_matrix
        The pattern of ``pattern``, the values and dtype of ``matrix``. O(nnz · log nnz).

    Raises
    ------
    ValueError, TypeError
        Shapes differ, or ``matrix`` lacks an entry.
    """
    of = as_csr("matrix", matrix)
    at = as_csr("pattern", pattern, of.shape)
    known, wanted = entry_keys(of), entry_keys(at)
    place = np.searchsorted(known, wanted)
    if place.size and (place.max() >= of.nnz or (known[place] != wanted).any()):
        raise ValueError("matrix lacks an entry that pattern has")
    return csr_matrix((of.data[place], at.indices.copy(), at.indptr.copy()), shape=of.shape)


def entries_where(matrix: csr_matrix, chosen: npt.NDArray[np.bool_]) -> csr_matrix:
    """Return the matrix with some of its entries."""
    before = np.concatenate([[0], np.cumsum(chosen)])
    return csr_matrix((matrix.data[chosen], matrix.indices[chosen], before[matrix.indptr]), shape=matrix.shape)
