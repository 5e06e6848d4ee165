"""Exact similarity search over rows: the public functions of the kernels.

Results are canonical scores (docs/architecture.md): the same bits for every instruction set, number of threads and
batch size. Order: score descending, then id ascending. Rows of zeros score 0 with everything; items with NaN or an
infinity are never returned, and a query with one gets an empty row.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from aigc_fast import _core
from aigc_fast.arrays import (
    Matrix,
    as_k,
    as_matrix,
    as_torch,
    check_apart,
    check_limits,
    check_metric,
    item_filters,
    output,
    page_ends,
    same_columns,
    score_dtype,
    scores_like,
    threads,
    unaliased,
)
from aigc_fast.device import Device, choose

Metric: TypeAlias = Literal["cosine", "inner_product", "pearson"]


class TopK(NamedTuple):
    """The best items of each query.

    Attributes
    ----------
    scores
        Shape (queries, k), float32 (float64 where an input is float64), descending; ``-inf`` in missing slots.
    ids
        Shape (queries, k), int64; -1 in missing slots.
    counts
        Shape (queries,), int64: how many slots of each row are real.
    """

    scores: Any
    ids: Any
    counts: Any


class ThresholdHits(NamedTuple):
    """All items that reach the threshold, as CSR: query ``i`` has ``ids[indptr[i]:indptr[i + 1]]``, best first.

    Attributes
    ----------
    indptr
        Shape (queries + 1,), int64.
    ids
        Shape (hits,), int64.
    scores
        Shape (hits,), float32 (float64 where an input is float64).
    """

    indptr: Any
    ids: Any
    scores: Any


def cosine_topk(
    queries: Any,
    items: Any,
    k: int,
    *,
    threshold: Any = None,
    exclude: Any = None,
    allow: Any = None,
    after: tuple[Any, Any] | None = None,
    metric: Metric = "cosine",
    num_threads: int | None = None,
    device: Device = None,
    max_memory: int | None = None,
    out: TopK | None = None,
) -> TopK:
    """Find the ``k`` most similar items of each query, exactly.

    Parameters
    ----------
    queries, items
        Rows to compare, shapes (n_queries, d) and (n_items, d): NumPy arrays, torch tensors, CuPy arrays, objects with
        DLPack or the buffer protocol, nested lists; float64, float32, float16, bfloat16 or integers (as float64 where
        float32 does not hold them all), with any strides. They are never modified, and float arrays are never copied
        but from the host to a GPU.
    k
        How many items to return for each query; may exceed ``n_items`` (the rest of the slots is then missing).
    threshold
        Only items that score at least this (inclusive, compared in the dtype of the scores): a number, or one a query.
    exclude
        Items that a query must not get: a SciPy sparse matrix of shape (n_queries, n_items) whose pattern counts, or a
        pair ``(indptr, ids)``.
    allow
        The only items that may be returned: like ``exclude``, or for all queries alike a boolean mask of shape
        (n_items,) or a list of ids. None: all. An empty list: none.
    after
        ``(score, id)``, numbers or one pair of arrays with an entry a query: only what comes after it in the order.
        Passing the last score and id of a page gives the next page.
    metric
        "cosine", "inner_product", or "pearson" (the cosine of rows minus their mean).
    num_threads
        Of the CPU; None: ``get_num_threads()``.
    device
        None: where the arrays live. "cpu", "cuda" or "cuda:1" (arrays of the host are copied there), or "auto": a GPU
        where one can be used, else the CPU. On a GPU the work is enqueued on the current stream of the arrays'
        framework and nothing is waited for, unless arrays or filters come from the host or results go there.
    max_memory
        Bytes of workspace on the GPU; queries are searched in groups that fit. None: 2**30, or less where the GPU
        has no room for that.
    out
        A ``TopK`` of arrays to write into (shapes and dtypes as returned, C-contiguous, sharing no memory with each
        other or the rows); it is returned.

    Returns
    -------
    TopK
        ``scores``, ``ids`` and ``counts``, arrays like ``queries``: of torch, CuPy or NumPy, on the CPU or GPU.

    Raises
    ------
    ValueError, TypeError
        An argument has a wrong shape, range or type; the message names it.
    CudaUnavailable
        A GPU is asked for and cannot be used; the message says why.
    MemoryError
        ``max_memory`` or the GPU's own is too small; the message names the bytes.

    Notes
    -----
    O(n_queries · n_items · d) multiply-adds in float32 with a rigorous error bound, and float64 scores for the few
    items that the bound leaves. Memory beyond the inputs and the result does not grow with ``n_queries · n_items``.

    A search whose arrays all live on a GPU can be captured in a CUDA graph after it was called once, which loads the
    kernels; not with ``exclude``, ``allow``, ``after`` or an array of thresholds from the host. Thresholds that live on
    the GPU are not looked at: a NaN there lets nothing pass.

    Examples
    --------
    >>> import numpy as np
    >>> items = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [2, 0]], dtype=np.float32)
    >>> top = cosine_topk(items[:1], items, 3)
    >>> top.ids.tolist(), top.counts.tolist()
    ([[0, 4, 2]], [3])
    >>> cosine_topk(items[:1], items, 3, threshold=0.8).ids.tolist()
    [[0, 4, -1]]
    """
    check_limits(num_threads, max_memory)
    gpu = choose(device, {"queries": queries, "items": items})
    if gpu is not None:
        from aigc_fast.gpu import search

        filters = {"threshold": threshold, "exclude": exclude, "allow": allow, "after": after}
        return search.topk(gpu, queries, items, k, **filters, metric=metric, max_memory=max_memory, out=out)
    query_rows, item_rows = _pair(queries, items)
    query_count, item_count = query_rows.array.shape[0], item_rows.array.shape[0]
    check_metric(metric)
    k = as_k(k)
    dtype = score_dtype(query_rows.array, item_rows.array)
    shape = (query_count, k)
    if out is None:
        result = TopK(np.empty(shape, dtype), np.empty(shape, np.int64), np.empty(query_count, np.int64))
    else:
        scores, ids, counts = three_arrays(out)
        result = TopK(
            output(scores, "out scores", shape, dtype),
            output(ids, "out ids", shape, np.int64),
            output(counts, "out counts", (query_count,), np.int64),
        )
        outputs = {f"out {name}": array for name, array in result._asdict().items()}
        check_apart(outputs, {"queries": query_rows.array, "items": item_rows.array})
    _core.topk(
        query_rows.array,
        _core.ItemSet(item_rows.array),
        k,
        None if threshold is None else scores_like(threshold, "threshold", query_count, dtype),
        metric,
        *_filters(exclude, allow, after, query_count, item_count, dtype),
        threads(num_threads),
        *result,
    )
    if out is not None:
        return out
    return TopK(*map(as_torch, result)) if query_rows.is_torch else result


def cosine_threshold(
    queries: Any,
    items: Any,
    threshold: Any,
    *,
    exclude: Any = None,
    allow: Any = None,
    after: tuple[Any, Any] | None = None,
    metric: Metric = "cosine",
    num_threads: int | None = None,
    device: Device = None,
    max_memory: int | None = None,
) -> ThresholdHits:
    """Find every item whose similarity to a query reaches ``threshold`` (inclusive), exactly.

    Parameters and errors are those of :func:`cosine_topk`; ``threshold`` is a number or one a query.

    Returns
    -------
    ThresholdHits
        ``indptr``, ``ids`` and ``scores``, each row best first; arrays like ``queries``.

    Notes
    -----
    On a GPU the number of hits is read back once, since it decides how large the result is; so a CUDA graph cannot
    capture this search.

    Examples
    --------
    >>> import numpy as np
    >>> items = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    >>> hits = cosine_threshold(items, items, 0.7)
    >>> hits.indptr.tolist(), hits.ids.tolist()
    ([0, 2, 4, 7], [0, 2, 1, 2, 2, 0, 1])
    """
    check_limits(num_threads, max_memory)
    gpu = choose(device, {"queries": queries, "items": items})
    if gpu is not None:
        from aigc_fast.gpu import search

        filters = {"exclude": exclude, "allow": allow, "after": after}
        return search.threshold_hits(gpu, queries, items, threshold, **filters, metric=metric, max_memory=max_memory)
    query_rows, item_rows = _pair(queries, items)
    query_count, item_count = query_rows.array.shape[0], item_rows.array.shape[0]
    check_metric(metric)
    dtype = score_dtype(query_rows.array, item_rows.array)
    indptr, ids, scores = _core.threshold(
        query_rows.array,
        _core.ItemSet(item_rows.array),
        scores_like(threshold, "threshold", query_count, dtype),
        metric,
        *_filters(exclude, allow, after, query_count, item_count, dtype),
        threads(num_threads),
    )
    result = ThresholdHits(indptr, ids, scores.astype(dtype, copy=False))
    return ThresholdHits(*map(as_torch, result)) if query_rows.is_torch else result


def cosine_similarity(
    a: Any,
    b: Any = None,
    *,
    metric: Metric = "cosine",
    num_threads: int | None = None,
    device: Device = None,
    max_memory: int | None = None,
) -> Any:
    """Compute the similarity of every row of ``a`` with every row of ``b``.

    Parameters
    ----------
    a, b
        Rows, shapes (n, d) and (m, d), as in :func:`cosine_topk`; ``b=None`` compares ``a`` with itself.
    metric
        "cosine", "inner_product" or "pearson".
    num_threads, device
        As for :func:`cosine_topk`.
    max_memory
        Bytes on the GPU beside the inputs; a result that goes to the host is made as many rows at a time as fit.

    Returns
    -------
    array of shape (n, m)
        Canonical scores, float32 (float64 where an input is float64); NaN for rows with NaN or an infinity.

    Raises
    ------
    ValueError, TypeError, CudaUnavailable, MemoryError
        As of :func:`cosine_topk`.

    Notes
    -----
    O(n · m · d) float64 multiply-adds. To keep only the best, :func:`cosine_topk` is much faster.

    Examples
    --------
    >>> cosine_similarity([[3.0, 4.0], [0.0, 0.0]]).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    check_limits(num_threads, max_memory)
    gpu = choose(device, {"a": a, "b": b})
    if gpu is not None:
        from aigc_fast.gpu import search

        return search.similarity(gpu, a, b, metric=metric, max_memory=max_memory)
    a_rows = as_matrix(a, "a")
    b_rows = a_rows if b is None else as_matrix(b, "b")
    same_columns(a_rows.array, b_rows.array, "a", "b")
    check_metric(metric)
    scores = np.empty((a_rows.array.shape[0], b_rows.array.shape[0]), score_dtype(a_rows.array, b_rows.array))
    _core.similarity(a_rows.array, b_rows.array, metric, threads(num_threads), scores)
    return as_torch(scores) if a_rows.is_torch else scores


def normalize(
    x: Any,
    *,
    out: Any = None,
    return_norms: bool = False,
    num_threads: int | None = None,
    device: Device = None,
    max_memory: int | None = None,
) -> Any:
    """Divide each row by its Euclidean norm.

    Parameters
    ----------
    x
        Rows, shape (n, d), as in :func:`cosine_topk`.
    out
        Array of shape (n, d) to write into, C-contiguous, of the result's dtype; may be ``x`` itself.
    return_norms
        Also return the norms.
    num_threads, device
        As for :func:`cosine_topk`.
    max_memory
        Bytes on the GPU for rows of the host, which go there as many at a time as fit. None: 2**30.

    Returns
    -------
    rows : array of shape (n, d)
        float32 (float64 for float64 input). Rows of zeros stay zero; rows with NaN or an infinity become NaN.
    norms : array of shape (n,)
        Only with ``return_norms``.

    Raises
    ------
    ValueError, TypeError, CudaUnavailable, MemoryError
        As of :func:`cosine_topk`.

    Examples
    --------
    >>> normalize([[3.0, 4.0]]).tolist()
    [[0.6, 0.8]]
    """
    check_limits(num_threads, max_memory)
    gpu = choose(device, {"x": x})
    if gpu is not None:
        from aigc_fast.gpu import search

        return search.normalize(gpu, x, out=out, return_norms=return_norms, max_memory=max_memory)
    rows = as_matrix(x, "x")
    dtype = score_dtype(rows.array, rows.array)
    result = np.empty(rows.array.shape, dtype) if out is None else output(out, "out", rows.array.shape, dtype)
    source = unaliased(rows.array, result)
    norms = np.empty(source.shape[0], dtype) if return_norms else None
    _core.normalize(source, threads(num_threads), result, norms)
    unit = out if out is not None else as_torch(result) if rows.is_torch else result
    if norms is None:
        return unit
    return unit, as_torch(norms) if rows.is_torch else norms


def three_arrays(out: Any) -> tuple[Any, Any, Any]:
    """Check the form of ``out``."""
    if not (isinstance(out, tuple) and len(out) == 3):
        raise TypeError(f"out must be a TopK of three arrays (scores, ids, counts), got {type(out).__name__}")
    return out


def _pair(queries: Any, items: Any) -> tuple[Matrix, Matrix]:
    query_rows, item_rows = as_matrix(queries, "queries"), as_matrix(items, "items")
    same_columns(query_rows.array, item_rows.array, "queries", "items")
    return query_rows, item_rows


def _filters(
    exclude: Any, allow: Any, after: Any, query_count: int, item_count: int, dtype: type[np.float32 | np.float64]
) -> tuple[Any, Any, Any, Any]:
    """Return (exclude lists, allow lists, shared allowed ids, page ends) as the extension takes them."""
    ends = None if after is None else page_ends(after, query_count, dtype)
    return *item_filters(exclude, allow, query_count, item_count), ends
