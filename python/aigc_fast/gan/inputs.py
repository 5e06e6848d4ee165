"""Checks of what callers pass in: every array is checked here, and only here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float32]


def check_matrix(name: str, value: ArrayLike, *, columns: int | None = None) -> Matrix:
    """Return a copy of ``value`` as a C-contiguous float32 matrix, or say what is wrong with the argument ``name``.

    Raises
    ------
    TypeError
        Not numbers.
    ValueError
        Not two-dimensional, no columns, another number of columns than expected, or NaN, infinite or beyond
        float32.
    """
    taken = f"{name} must be a 2-d array of finite real numbers"
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{taken}, got a masked array; pass {name}.filled(value)")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{taken}, got {type(value).__name__}: {error}") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{taken}, got dtype {array.dtype}")
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{taken} with at least one column, got shape {array.shape}")
    if columns is not None and array.shape[1] != columns:
        raise ValueError(f"{name} must have {columns} columns, got shape {array.shape}")
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is reported below
        matrix = np.array(array, dtype=np.float32, order="C")
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        raise ValueError(f"{taken}, got NaN or infinity (as float32) in row {int(finite.argmin())}")
    return matrix


def check_directions(name: str, value: ArrayLike, *, columns: int | None = None) -> Matrix:
    """Return rows as :func:`check_matrix` does, scaled to unit length; a zero row has no direction and is refused."""
    rows = check_matrix(name, value, columns=columns)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    if not norms.all():
        raise ValueError(
            f"{name} must not contain zero rows (they have no direction), got one at row {int(norms.argmin())}"
        )
    return np.asarray(rows / norms, np.float32)


def check_pairs(
    vectors: ArrayLike,
    conditions: ArrayLike,
    *,
    where: str = "",
    columns: tuple[int | None, int | None] = (None, None),
) -> tuple[Matrix, Matrix]:
    """Return vectors (n, d), scaled to unit length, and their conditions (n, c), n > 0.

    ``where`` precedes the arguments' names in errors; ``columns`` are the d and c to insist on.
    """
    vector_rows = check_matrix(f"{where}vectors", vectors, columns=columns[0])
    condition_rows = check_matrix(f"{where}conditions", conditions, columns=columns[1])
    if len(vector_rows) != len(condition_rows) or not len(vector_rows):
        raise ValueError(
            f"{where}vectors and {where}conditions must have the same number of rows, at least one, "
            f"got {len(vector_rows)} and {len(condition_rows)}"
        )
    return check_directions(f"{where}vectors", vector_rows), condition_rows


def check_integer(name: str, value: object, *, minimum: int, below: int | None = None) -> int:
    """Return ``value`` as an int of at least ``minimum``."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    number = int(value)
    if number < minimum or (below is not None and number >= below):
        limit = f"at least {minimum}" if below is None else f"at least {minimum} and less than {below}"
        raise ValueError(f"{name} must be {limit}, got {value!r}")
    return number


def check_real(name: str, value: object, taken: str, accepts: Callable[[float], bool]) -> float:
    """Return ``value`` as a finite float that ``accepts`` takes; ``taken`` says which those are."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    if not (math.isfinite(value) and accepts(float(value))):
        raise ValueError(f"{name} must be finite and {taken}, got {value!r}")
    return float(value)


def check_streams(seed: int | Sequence[int] | NDArray[np.integer], rows: int) -> list[tuple[int, int]]:
    """Return the noise stream of each row: one seed counts the rows, a seed for each row stands alone."""
    seeds = np.asarray(seed)
    if seeds.dtype.kind not in "iu" or seeds.ndim > 1:
        raise TypeError(f"seed must be an integer or a 1-d array of integers, got {seed!r}")
    if seeds.ndim == 1 and len(seeds) != rows:
        raise ValueError(f"seed must be one integer or one for each of the {rows} conditions, got {len(seeds)}")
    if (seeds < 0).any():
        raise ValueError(f"seed must not be negative, got {seeds.min()}")
    if seeds.ndim == 0:
        return [(int(seeds), row) for row in range(rows)]
    return [(int(own), 0) for own in seeds]


def check_codes(codes: int | Sequence[int] | NDArray[np.integer], n_vectors: int, n_codes: int) -> NDArray[np.int64]:
    """Return the code of each of a condition's vectors: one for all of them, or one for each."""
    values = np.asarray(codes)
    if values.dtype.kind not in "iu" or values.ndim > 1:
        raise TypeError(f"codes must be an integer or a 1-d array of integers, got {codes!r}")
    if values.ndim == 1 and len(values) != n_vectors:
        raise ValueError(f"codes must be one code or one for each of the {n_vectors} vectors, got {len(values)}")
    if values.size and (values.min() < 0 or values.max() >= n_codes):
        raise ValueError(f"codes must be from 0 to n_codes - 1, {n_codes - 1}, got {values.min()} to {values.max()}")
    return np.broadcast_to(values, n_vectors).astype(np.int64)
