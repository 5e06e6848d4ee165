"""The one home of the argument checks that recommenders, splits, profiles and metrics share."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, issparse

from aigc_fast import TopK
from aigc_fast.arrays import plain_array
from aigc_fast.data.ratings import CSR as CSR  # exported from here, where its checks are

#: The pattern of a CSR matrix: where the ids of each row begin, and the ids.
Pattern: TypeAlias = tuple[npt.NDArray[np.integer[Any]], npt.NDArray[np.integer[Any]]]
#: What `Recommender.recommend` takes as ``allow``: CSR or pattern by user, or mask or ids for all.
Allow: TypeAlias = CSR | Pattern | npt.ArrayLike


def as_csr(
    name: str,
    value: Any,
    shape: tuple[int | None, int | None] = (None, None),
    dtype: type[np.generic] | None = None,
) -> csr_matrix:
    """Return ``value`` as CSR with sorted, unique indices and finite values; the input is never modified.

    Explicit zeros stay entries, and duplicates are added up. ``shape`` gives the sizes that are fixed (None: any).
    ``dtype`` is the type to convert to, which makes a copy; None: the type of the input, and where nothing is to be
    put in order, its arrays.

    Raises
    ------
    TypeError
        Not a SciPy sparse matrix of real numbers.
    ValueError
        Another shape, indices out of range, or a value that is NaN or infinite (in ``dtype``).
    """
    if not issparse(value):
        raise TypeError(f"{name} is a {type(value).__name__}; a SciPy sparse matrix (CSR) is taken")
    if value.ndim != 2 or any(want not in (None, got) for want, got in zip(shape, value.shape, strict=True)):
        wanted = " × ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} has shape {value.shape}; {wanted} is taken")
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {value.dtype}; real numbers are taken")
    if dtype is not None:  # before duplicates are added up, which a small type of integers may not hold
        with np.errstate(over="ignore"):  # what exceeds the range becomes infinite, and is refused below
            value = value.astype(dtype)
    matrix = csr_matrix(value)  # shares the arrays of CSR
    try:
        matrix.check_format(full_check=True)  # SciPy's products trust the indices
    except ValueError as error:
        raise ValueError(f"{name} is no valid CSR matrix: {error}") from None
    if not matrix.has_canonical_format:
        if dtype is None:
            matrix = matrix.copy()
        matrix.sum_duplicates()
    if not np.isfinite(matrix.data).all():
        raise ValueError(f"{name} holds values that are NaN or infinite as {matrix.dtype}")
    return matrix


def as_same_pattern(name: str, value: object, of: csr_matrix, of_name: str) -> csr_matrix:
    """Return ``value`` as CSR that has an entry exactly where ``of`` has one."""
    matrix = as_csr(name, value, of.shape)
    if not (np.array_equal(matrix.indptr, of.indptr) and np.array_equal(matrix.indices, of.indices)):
        raise ValueError(f"{name} must have an entry exactly where {of_name} has one")
    return matrix


def as_count(name: str, value: object, minimum: int = 0) -> int:
    """Return ``value`` as int, at least ``minimum``."""
    try:
        if isinstance(value, bool):
            raise TypeError
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} is a {type(value).__name__}; an int is taken") from None
    if count < minimum:
        raise ValueError(f"{name} is {count}; at least {minimum} is taken")
    return count


def as_real(name: str, value: object, taken: str, accepts: Callable[[float], bool]) -> float:
    """Return ``value`` as a finite float that ``accepts`` takes; ``taken`` says which those are."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} is a {type(value).__name__}; {taken} is taken")
    number = float(value)
    if not (math.isfinite(number) and accepts(number)):
        raise ValueError(f"{name} is {value}; {taken} is taken")
    return number


def as_fraction(name: str, value: object) -> float:
    """Return ``value`` as float strictly between 0 and 1."""
    return as_real(name, value, "a number between 0 and 1 (exclusive)", lambda fraction: 0 < fraction < 1)


def as_amount(name: str, value: object) -> float:
    """Return ``value`` as finite float of at least 0."""
    return as_real(name, value, "a finite number of at least 0", lambda amount: amount >= 0)


def as_ids(name: str, value: npt.ArrayLike, size: int | None) -> npt.NDArray[np.int64]:
    """Return ``value`` (ids or one id) as a 1-d int64 array, each in [0, size) unless ``size`` is None.

    Raises
    ------
    TypeError
        Not integers.
    ValueError
        More than one dimension, or an id out of range.
    """
    ids = np.atleast_1d(plain_array(value, name, "ids or one id"))
    if ids.size == 0 and ids.dtype == np.float64:  # what an empty list becomes
        ids = ids.astype(np.int64)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {ids.dtype}; integers are taken")
    if ids.ndim != 1:
        raise ValueError(f"{name} has {ids.ndim} dimensions; one id or a 1-d array is taken")
    if size is not None and ids.size and (ids.min() < 0 or ids.max() >= size):
        bad = ids[(ids < 0) | (ids >= size)][0]
        raise ValueError(f"{name} holds {bad}; ids from 0 to {size - 1} are taken")
    return ids.astype(np.int64)


def as_dense(name: str, value: npt.ArrayLike, rows: int | None = None) -> npt.NDArray[np.floating[Any]]:
    """Return ``value`` as a finite 2-d float32 or float64 array (other numbers become float32)."""
    array = plain_array(value, name, "2-d and hold numbers")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}; numbers are taken")
    if array.ndim != 2 or rows not in (None, array.shape[0]):
        wanted = "any number of" if rows is None else rows
        raise ValueError(f"{name} has shape {array.shape}; 2-d with {wanted} rows is taken")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite values")
    return array


def as_listed(
    name: str, value: npt.ArrayLike, n_lists: int, n_items: int | None = None
) -> npt.NDArray[np.integer[Any]]:
    """Return the ids (n_lists, n) of lists, -1 where a slot is missing; no list has an item twice.

    ``n_items=None`` takes any ids from -1 on.
    """
    ids = plain_array(value, name, "lists of ids")
    if ids.dtype.kind != "i" or ids.ndim != 2 or len(ids) != n_lists:
        raise ValueError(f"{name} is {ids.dtype} of shape {ids.shape}; ints, {n_lists} rows, are taken")
    last = np.iinfo(np.int64).max if n_items is None else n_items - 1
    if ids.size and (ids.min() < -1 or ids.max() > last):
        raise ValueError(f"{name} holds ids from {ids.min()} to {ids.max()}; -1 to {last} are taken")
    ranked = np.sort(ids, axis=1)
    twice = (ranked[:, 1:] == ranked[:, :-1]) & (ranked[:, 1:] >= 0)
    if twice.any():
        raise ValueError(f"{name}: row {np.argmax(twice.any(axis=1))} lists an item twice")
    return ids


def as_scored(
    name: str, value: object, n_lists: int | None = None, n_items: int | None = None
) -> tuple[npt.NDArray[np.integer[Any]], npt.NDArray[np.floating[Any]]]:
    """Return ids, as of `as_listed`, and scores of lists; the score of every listed item is finite."""
    if not isinstance(value, TopK):
        raise TypeError(f"{name} is a {type(value).__name__}; a TopK is taken")
    ids = as_listed(f"{name}.ids", value.ids, len(value.ids) if n_lists is None else n_lists, n_items)
    scores = plain_array(value.scores, f"{name}.scores", "real numbers")
    if scores.dtype.kind != "f" or scores.shape != ids.shape:
        raise ValueError(f"{name}.scores is {scores.dtype} of shape {scores.shape}; floats, {ids.shape}, are taken")
    if not np.isfinite(scores[ids >= 0]).all():
        raise ValueError(f"{name}.scores has NaN or an infinity where {name}.ids has an item")
    return ids, scores


def as_allow(allow: Allow | None, n_rows: int, n_items: int) -> Pattern | npt.NDArray[np.bool_] | None:
    """Return ``allow`` as a pattern with one row per user, or as a mask shared by all; None stays None."""
    if allow is None:
        return None
    if issparse(allow):
        matrix = as_csr("allow", allow, (n_rows, n_items))
        return matrix.indptr, matrix.indices
    if isinstance(allow, tuple) and len(allow) == 2 and all(np.ndim(part) == 1 for part in allow):
        indptr = as_ids("allow (indptr)", allow[0], None)
        ids = as_ids("allow (ids)", allow[1], n_items)
        if len(indptr) != n_rows + 1 or indptr[0] != 0 or indptr[-1] != len(ids) or (np.diff(indptr) < 0).any():
            raise ValueError(f"allow: indptr must rise from 0 to {len(ids)} in {n_rows + 1} entries")
        return indptr, ids
    mask = plain_array(allow, "allow", "a mask, ids, a CSR or (indptr, ids)")
    if mask.dtype == np.bool_:
        if mask.shape != (n_items,):
            raise ValueError(f"allow is a mask of shape {mask.shape}; {(n_items,)} is taken")
        return mask
    shared = np.zeros(n_items, np.bool_)
    shared[as_ids("allow", mask, n_items)] = True
    return shared


def pattern_rows(pattern: Pattern, first: int, last: int) -> Pattern:
    """Rows ``first`` to ``last`` (exclusive) of a pattern."""
    indptr, ids = pattern
    return indptr[first : last + 1] - indptr[first], ids[indptr[first] : indptr[last]]
