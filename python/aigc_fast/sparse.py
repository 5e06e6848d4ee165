"""Exact cosine and Pearson neighbours of sparse rows: SciPy matrices in, a SciPy matrix out.

The canonical sparse score (docs/architecture.md) is a float64 sum over the common columns in ascending order, divided
by the product of the norms plus ``shrink`` and rounded once: the same bits for every number of threads and every way of
computing it.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np

from aigc_fast import _core
from aigc_fast.arrays import as_count, as_k, score_dtype, scores_like, threads
from aigc_fast.errors import require

_LARGEST = 2.0**400


def sparse_cosine_topk(
    a: Any,
    b: Any = None,
    k: int | None = None,
    *,
    threshold: Any = None,
    metric: Literal["cosine", "pearson"] = "cosine",
    shrink: float = 0.0,
    min_overlap: int = 1,
    exclude_self: bool = False,
    num_threads: int | None = None,
) -> Any:
    """Find the ``k`` most similar rows of ``b`` for each row of ``a``, exactly, without the matrix of all similarities.

    score(x, y) = x·y / (‖x‖‖y‖ + shrink), for Pearson with x and y minus the mean of their stored values. Rows that
    share no column are never neighbours; among the others every score counts, also zeros and negative ones.

    Parameters
    ----------
    a : (n, d) SciPy sparse matrix
        float32, float64, or other real numbers (then float64, or float32 for integers of at most 16 bits). Any format;
        CSR is not copied. Duplicate entries are added up and indices sorted in a copy; explicit zeros are entries.
    b : (m, d) SciPy sparse matrix, optional
        None: ``a`` with itself.
    k
        Neighbours of each row; may exceed ``m``. None: all that reach ``threshold``.
    threshold
        Only neighbours that score at least this (inclusive, compared in the dtype of the scores): a number, or one a
        row.
    metric
        "cosine" or "pearson".
    shrink
        Added to the denominator: pulls down pairs of short rows.
    min_overlap
        Columns that a pair must have in common.
    exclude_self
        Leave row i of ``b`` out for row i of ``a``; takes as many rows in both.
    num_threads
        None: ``get_num_threads()``.

    Returns
    -------
    scipy.sparse.csr_matrix of shape (n, m)
        Scores, float32 (float64 where an input is float64). The neighbours of a row are in the order score descending,
        then id ascending, so indices are not sorted by column.

    Raises
    ------
    MissingExtraError
        SciPy is not installed.
    ValueError, TypeError
        An argument has a wrong shape, range or type; the message names it. NaN, infinities, and float64 values with a
        magnitude outside [2**-400, 2**400] (whose squares leave float64) are refused.

    Notes
    -----
    At most one addition for every two entries that share a column, O(Σ_c n_c·m_c), or one pass over ``b`` for each
    64 rows of ``a`` (16 if not integers), whichever is estimated to be cheaper. Integers (also multiples of a power of
    two, such as half stars) are added exactly as such, others in float64. Without ``b``, pairs are scored once for both
    rows. Memory: at most about twice the size of ``b``, what 64 rows of ``a`` are as a dense matrix for each thread, up
    to 256 MiB of results of pairs scored once, and the result.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> ratings = csr_matrix([[4, 3, 0], [4, 3, 0], [0, 0, 5], [0, 5, 0]])
    >>> nearest = sparse_cosine_topk(ratings, k=2, exclude_self=True)
    >>> nearest.toarray().round(2).tolist()
    [[0.0, 1.0, 0.0, 0.6], [1.0, 0.0, 0.0, 0.6], [0.0, 0.0, 0.0, 0.0], [0.6, 0.6, 0.0, 0.0]]
    """
    sparse = require("scipy.sparse", "recommender")
    a_rows = _as_csr(a, "a", sparse)
    b_rows = a_rows if b is None else _as_csr(b, "b", sparse)
    (n, columns), (m, b_columns) = a_rows.shape, b_rows.shape
    if columns != b_columns:
        raise ValueError(f"a and b must have the same number of columns, got shapes {a_rows.shape} and {b_rows.shape}")
    if k is None and threshold is None:
        raise ValueError("k and threshold must not both be None")
    if metric not in ("cosine", "pearson"):
        raise ValueError(f"metric must be 'cosine' or 'pearson', got {metric!r}")
    if not isinstance(shrink, Real):
        raise TypeError(f"shrink must be a number, got {type(shrink).__name__}")
    if not 0 <= shrink < np.inf:
        raise ValueError(f"shrink must be a finite number of at least 0, got {shrink}")
    if exclude_self and n != m:
        raise ValueError(f"exclude_self takes as many rows in b as in a, got {m} and {n}")
    dtype = score_dtype(a_rows.data, b_rows.data)
    queries = _kernel_rows(a_rows)
    items = queries if b_rows is a_rows else _kernel_rows(b_rows)
    indptr, ids, scores = _core.sparse_topk(
        queries,
        items,
        m if k is None else as_k(k),
        None if threshold is None else scores_like(threshold, "threshold", n, dtype),
        metric,
        float(shrink),
        min(as_count(min_overlap, "min_overlap", 1), columns + 1),
        bool(exclude_self),
        threads(num_threads),
    )
    return sparse.csr_matrix((scores.astype(dtype, copy=False), ids, indptr), shape=(n, m))


def _as_csr(x: Any, name: str, sparse: Any) -> Any:
    """Return CSR with sorted, unique indices and values that the kernels take; the input is never modified."""
    if not sparse.issparse(x):
        raise TypeError(f"{name} must be a SciPy sparse matrix, got {type(x).__name__}")
    if x.ndim != 2:
        raise ValueError(f"{name} must be two-dimensional (rows, columns), got shape {x.shape}")
    rows = sparse.csr_matrix(x)  # shares the arrays of a CSR input
    try:
        rows.check_format(full_check=True)
    except ValueError as error:
        raise ValueError(f"{name} must be a valid CSR matrix: {error}") from None
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    if rows.dtype not in (np.float32, np.float64):
        if rows.dtype.kind not in "biuf" or rows.dtype.itemsize > 8:
            raise TypeError(f"{name} must hold float64, float32 or integers, got dtype {rows.dtype}")
        rows = rows.astype(np.float32 if rows.dtype.itemsize <= 2 else np.float64)
    if not np.isfinite(rows.data).all():
        raise ValueError(f"{name} must hold finite values, got NaN or an infinity")
    if rows.dtype == np.float64:
        magnitudes = np.abs(rows.data[rows.data != 0])
        if magnitudes.size and not (magnitudes.min() >= 1 / _LARGEST and magnitudes.max() <= _LARGEST):
            raise ValueError(f"{name} must hold magnitudes from 2**-400 to 2**400, or 0")
    return rows


def _kernel_rows(rows: Any) -> Any:
    indptr, indices, data = map(np.ascontiguousarray, (rows.indptr, rows.indices, rows.data))
    return _core.SparseRows(indptr, indices, data, rows.shape[1])
