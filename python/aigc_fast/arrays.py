"""Callers' arrays as what the kernels take: every check of an array argument has its home here."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    IdLists = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

# dtypes that the kernels read as they are; uint16 stands for the bits of bfloat16 and never comes from a caller.
_DIRECT = frozenset(np.dtype(t) for t in (np.float32, np.float64, np.float16, np.int8))
_MOST_THREADS = 4096
_MOST_RESULTS = 2**31 - 1  # of one query
_EXACT_IN_FLOAT32 = frozenset(np.dtype(t) for t in (np.bool_, np.uint8, np.int16, np.uint16))


class Matrix(NamedTuple):
    """A two-dimensional argument, ready for the kernels."""

    array: npt.NDArray[Any]
    is_torch: bool  # results go back as torch tensors


def as_matrix(x: object, name: str) -> Matrix:
    """View or convert a rows-by-columns argument; never modifies it.

    Raises
    ------
    TypeError
        Not an array of numbers, or one on another device.
    ValueError
        Not two-dimensional.
    """
    if type(x) is np.ndarray and x.dtype in _DIRECT and x.ndim == 2:
        return Matrix(x, False)
    if is_torch_tensor(x):
        array, is_torch = _from_torch(x, name), True
    else:
        array, is_torch = _from_any(x, name), False
    array = _kernel_dtype(array, name, x)
    if array.ndim != 2:
        hint = "; pass one row as x.reshape(1, -1)" if array.ndim == 1 else ""
        raise ValueError(f"{name} must be two-dimensional (rows, columns), got shape {array.shape}{hint}")
    return Matrix(array, is_torch)


def is_torch_tensor(x: object) -> bool:
    """Tell by name, so that torch is never imported for callers who do not use it."""
    return any(t.__module__ == "torch" and t.__name__ == "Tensor" for t in type(x).__mro__)


def _from_torch(tensor: Any, name: str) -> npt.NDArray[Any]:
    if tensor.device.type != "cpu":
        raise TypeError(f"{name} is a torch tensor on {tensor.device}; it is needed on the CPU: pass {name}.cpu()")
    if str(tensor.layout) != "torch.strided":
        raise TypeError(f"{name} is a torch tensor of layout {tensor.layout}; pass {name}.to_dense()")
    tensor = tensor.detach()
    if str(tensor.dtype) == "torch.bfloat16":
        import torch

        return bfloat16_bits(tensor.view(torch.int16).numpy().view(np.uint16))
    try:
        return tensor.resolve_conj().resolve_neg().numpy()  # type: ignore[no-any-return]
    except TypeError:
        raise TypeError(f"{name} is a torch tensor of dtype {tensor.dtype}; pass {name}.float()") from None


class _BFloat16Bits(np.ndarray[Any, np.dtype[np.uint16]]):
    """Marks a uint16 array as bfloat16 bits, until ``_kernel_dtype`` has seen it."""


def bfloat16_bits(array: npt.NDArray[np.uint16]) -> npt.NDArray[Any]:
    """Mark an array as bits of bfloat16, which ``as_matrix`` then takes for what they are."""
    return array.view(_BFloat16Bits)


def _from_any(x: Any, name: str) -> npt.NDArray[Any]:
    takes = "a NumPy array, a torch tensor, an object with DLPack or the buffer protocol, or nested lists of numbers"
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; pass {name}.filled(value): the kernels do not see its mask")
    if isinstance(x, np.ndarray):
        return x if isinstance(x, _BFloat16Bits) else np.asarray(x)  # of a subclass the memory, not the behaviour
    if hasattr(x, "tocsr"):
        raise TypeError(f"{name} is a sparse matrix ({type(x).__name__}); pass dense rows: {name}.toarray()")
    _refuse_gpu(x, name)
    if hasattr(x, "__dlpack__") and not hasattr(x, "__array__"):
        try:
            return np.from_dlpack(x)
        except (BufferError, RuntimeError) as error:
            raise TypeError(f"{name}: NumPy cannot read this {type(x).__name__} by DLPack ({error})") from None
    try:
        return np.asarray(x)
    except ValueError as error:
        raise TypeError(f"{name} must be {takes}, got {type(x).__name__} ({error})") from None


def _refuse_gpu(x: object, name: str) -> None:
    if hasattr(x, "__cuda_array_interface__"):
        raise TypeError(f"{name} is a {type(x).__name__} on a GPU; it is needed on the CPU: copy it there")


def _kernel_dtype(array: npt.NDArray[Any], name: str, given: object) -> npt.NDArray[Any]:
    dtype = array.dtype
    if isinstance(array, _BFloat16Bits):
        return array.view(np.ndarray)
    if not dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
        dtype = array.dtype
    if dtype in _DIRECT:
        return array
    if dtype.name == "bfloat16":  # the ml_dtypes package's type
        return array.view(np.uint16)
    if dtype in _EXACT_IN_FLOAT32:
        return array.astype(np.float32)
    if dtype.kind in "iu":
        return array.astype(np.float64)
    hint = "; pass np.stack(column) for a column of lists" if dtype.kind == "O" else ""
    got = f"dtype {dtype}" if hasattr(given, "dtype") else f"{type(given).__name__} (dtype {dtype})"
    raise TypeError(f"{name} must hold float64, float32, float16, bfloat16 or integers, got {got}{hint}")


def as_count(value: object, name: str, minimum: int) -> int:
    """Check an integer argument of at least ``minimum``."""
    try:
        if isinstance(value, bool):
            raise TypeError
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None
    if count < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {count}")
    return count


def per_query(values: object, name: str, query_count: int, dtype: type[np.float64 | np.int64]) -> npt.NDArray[Any]:
    """One number for all queries, or an array of one a query, as an array of one a query."""
    given: Any = values
    wide = given.double() if is_torch_tensor(given) and given.is_floating_point() else given
    kinds, what = ("iu", "integers") if dtype is np.int64 else ("iuf", "real numbers")
    array = plain_array(wide, name, what)
    if array.dtype.kind not in kinds:
        raise TypeError(f"{name} must be {what}, got {type(values).__name__} of dtype {array.dtype}")
    if array.ndim > 1 or (array.ndim == 1 and array.shape[0] != query_count):
        raise ValueError(f"{name} must be one number or have shape ({query_count},), got shape {array.shape}")
    if dtype is np.int64 and array.dtype == np.uint64 and (array > np.iinfo(np.int64).max).any():
        raise ValueError(f"{name} must fit int64, got {array.max()}")
    result = np.empty(query_count, dtype)
    result[:] = array
    if dtype is np.float64 and np.isnan(result).any():
        raise ValueError(f"{name} must not be NaN")
    return result


def id_lists(lists: object, name: str, query_count: int, item_count: int | None) -> IdLists:
    """Per-query id lists, from a SciPy sparse matrix (its pattern) or an ``(indptr, ids)`` pair, sorted by row.

    ``item_count=None`` takes any ids that are not negative.
    """
    if hasattr(lists, "tocsr"):
        matrix: Any = lists
        if len(matrix.shape) != 2 or matrix.shape[0] != query_count or item_count not in (None, matrix.shape[1]):
            columns = "any number" if item_count is None else item_count
            raise ValueError(f"{name} must have shape ({query_count}, {columns}), got {matrix.shape}")
        csr = matrix.tocsr()
        indptr, ids = csr.indptr, csr.indices
    elif isinstance(lists, tuple) and len(lists) == 2:
        indptr, ids = lists
    else:
        raise TypeError(f"{name} must be a SciPy sparse matrix or an (indptr, ids) pair, got {type(lists).__name__}")
    indptr = integers(indptr, f"{name} indptr")
    ids = ids_below(ids, name, item_count)
    if indptr.shape[0] != query_count + 1:
        raise ValueError(f"{name} indptr must have {query_count + 1} entries, got {indptr.shape[0]}")
    if indptr[0] != 0 or indptr[-1] != ids.shape[0] or (np.diff(indptr) < 0).any():
        raise ValueError(f"{name} indptr must ascend from 0 to the number of ids ({ids.shape[0]})")
    if ids.shape[0] > 1:
        not_ascending = ids[1:] <= ids[:-1]
        row_starts = indptr[1:-1]
        not_ascending[row_starts[(row_starts > 0) & (row_starts < ids.shape[0])] - 1] = False
        if not_ascending.any():
            return _sorted_lists(indptr, ids)
    return indptr, ids


def _sorted_lists(indptr: npt.NDArray[np.int64], ids: npt.NDArray[np.int64]) -> IdLists:
    """Sort each list and drop repeated ids."""
    lists = np.repeat(np.arange(indptr.shape[0] - 1), np.diff(indptr))
    order = np.lexsort((ids, lists))
    lists, ids = lists[order], ids[order]
    first = np.ones(ids.shape[0], np.bool_)
    first[1:] = (lists[1:] != lists[:-1]) | (ids[1:] != ids[:-1])
    counts = np.bincount(lists[first], minlength=indptr.shape[0] - 1)
    return np.concatenate([[0], np.cumsum(counts)]), ids[first]


def shared_ids(allowed: object, name: str, item_count: int | None) -> npt.NDArray[np.int64]:
    """Ids that all queries may get, from a boolean mask over the items or a list of ids; ascending, distinct."""
    takes = "ids or a boolean mask for all queries, a SciPy sparse matrix or an (indptr, ids) pair"
    array = plain_array(allowed, name, takes)
    if array.dtype == np.bool_:
        if item_count is None:
            raise TypeError(f"{name} must be ids, not a mask: items may be added and removed")
        if array.shape != (item_count,):
            raise ValueError(f"{name} mask must have shape ({item_count},), got {array.shape}")
        return np.flatnonzero(array).astype(np.int64, copy=False)
    return np.unique(ids_below(array, name, item_count))


def ids_below(values: object, name: str, count: int | None) -> npt.NDArray[np.int64]:
    """Check a one-dimensional argument of ids from 0 to ``count - 1``; None: of any that are not negative."""
    ids = integers(values, name)
    last = np.iinfo(np.int64).max if count is None else count - 1
    if ids.shape[0] and (ids.min() < 0 or ids.max() > last):
        wrong = ids[(ids < 0) | (ids > last)][0]
        takes = "from 0" if count is None else f"from 0 to {last}" if count else "of an empty set"
        raise ValueError(f"{name} must hold ids {takes}, got {wrong}")
    return ids


def plain_array(values: object, name: str, takes: str) -> npt.NDArray[Any]:
    """Return numbers as an array that hides nothing: not a mask, and not a set or a generator in one element."""
    if is_torch_tensor(values):
        return _from_torch(values, name)
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; pass {name}.compressed() or {name}.filled(value)")
    _refuse_gpu(values, name)
    try:
        array = np.asarray(values)
    except ValueError:  # nested lists of unequal lengths
        raise TypeError(f"{name} must be {takes}, got {type(values).__name__} of unequal lengths") from None
    if array.ndim == 0 and array.dtype.kind in "OUS":
        raise TypeError(f"{name} must be {takes}, got {type(values).__name__}")
    return array


def integers(values: object, name: str) -> npt.NDArray[np.int64]:
    """Check a one-dimensional argument of integers."""
    array = plain_array(values, name, "one-dimensional and hold integers")
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}")
    if array.shape[0] == 0:
        return np.empty(0, np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got dtype {array.dtype}")
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must fit int64, got {array.max()}")
    return np.ascontiguousarray(array, dtype=np.int64)


def distinct_ids(values: object, name: str, count: int) -> npt.NDArray[np.int64]:
    """Check the names of ``count`` rows."""
    ids = integers(values, name)
    if ids.shape[0] != count:
        raise ValueError(f"{name} must have one entry for each of the {count} rows, got {ids.shape[0]}")
    if ids.size and ids.min() < 0:
        raise ValueError(f"{name} must not be negative (-1 marks missing results), got {ids.min()}")
    distinct, counts = np.unique(ids, return_counts=True)
    if distinct.shape[0] != count:
        raise ValueError(f"{name} must be distinct, but {distinct[counts > 1][0]} occurs {counts.max()} times")
    return ids


def output(array: Any, name: str, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Check a caller's array to write results into."""
    view = _from_torch(array, name) if is_torch_tensor(array) else array
    if not isinstance(view, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array or a torch CPU tensor, got {type(array).__name__}")
    if view.shape != tuple(shape) or view.dtype != dtype:
        raise ValueError(
            f"{name} must have shape {tuple(shape)} and dtype {np.dtype(dtype)}, got {view.shape} and {view.dtype}"
        )
    if not (view.flags.c_contiguous and view.flags.aligned and view.flags.writeable):
        raise ValueError(f"{name} must be C-contiguous, aligned and writable")
    return view


def check_apart(outputs: Mapping[str, npt.NDArray[Any]], inputs: Mapping[str, npt.NDArray[Any]]) -> None:
    """Check that no output shares memory with an input or another output: results are written while inputs are read."""
    arrays = dict(inputs)
    for name, array in outputs.items():
        for other, taken in arrays.items():
            if np.may_share_memory(array, taken):
                raise ValueError(f"{name} must not share memory with {other}")
        arrays[name] = array


def overwrites(output: npt.NDArray[Any], source: npt.NDArray[Any]) -> bool:
    """Tell whether the output shares memory with the source, other than element by element in place."""
    in_place = source.ctypes.data == output.ctypes.data and source.strides == output.strides
    return not in_place and np.may_share_memory(source, output)


def unaliased(source: npt.NDArray[Any], output: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the source, or a copy where writing the output row by row would overwrite rows not yet read."""
    return source.copy() if overwrites(output, source) else source


def as_k(k: object) -> int:
    """Check a number of results."""
    count = as_count(k, "k", 0)
    if count > _MOST_RESULTS:
        raise ValueError(f"k must be at most {_MOST_RESULTS}, got {count}")
    return count


def same_columns(a: npt.NDArray[Any], b: npt.NDArray[Any], a_name: str, b_name: str) -> None:
    """Check that rows can be compared."""
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{a_name} and {b_name} must have the same number of columns, got shapes {a.shape} and {b.shape}"
        )


def score_dtype(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> type[np.float32 | np.float64]:
    """Return float64 where one side is float64, else float32."""
    return np.float64 if np.float64 in (a.dtype, b.dtype) else np.float32


def scores_like(
    values: object, name: str, query_count: int, dtype: type[np.float32 | np.float64]
) -> npt.NDArray[np.float64]:
    """Caller's scores, rounded like the library's own, so that comparisons are between like and like."""
    with np.errstate(over="ignore"):
        return per_query(values, name, query_count, np.float64).astype(dtype).astype(np.float64)


def page_ends(
    after: object, query_count: int, dtype: type[np.float32 | np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Check a pair ``(score, id)`` that ends a page."""
    if not (isinstance(after, tuple) and len(after) == 2):
        raise TypeError(f"after must be a pair (score, id), got {type(after).__name__}")
    scores = scores_like(after[0], "after score", query_count, dtype)
    ids = per_query(after[1], "after id", query_count, np.int64)
    # A page that ends with a missing result (score -inf, id -1) was the last one.
    ids[(ids < 0) & np.isneginf(scores)] = np.iinfo(np.int64).max
    return scores, ids


def is_id_lists(allow: object) -> bool:
    """Tell per-query lists from ids or a mask for all queries."""
    return hasattr(allow, "tocsr") or (isinstance(allow, tuple) and len(allow) == 2 and np.ndim(allow[0]) == 1)


def item_filters(
    exclude: object, allow: object, query_count: int, item_count: int | None
) -> tuple[IdLists | None, IdLists | None, npt.NDArray[np.int64] | None]:
    """Check filters; return the excluded lists, the allowed lists, and the ids allowed to all queries."""
    excluded = None if exclude is None else id_lists(exclude, "exclude", query_count, item_count)
    if allow is None:
        return excluded, None, None
    if is_id_lists(allow):
        return excluded, id_lists(allow, "allow", query_count, item_count), None
    return excluded, None, shared_ids(allow, "allow", item_count)


def check_metric(metric: object) -> None:
    """Check the name of a metric, in the words of the extension."""
    if not isinstance(metric, str) or metric not in ("cosine", "inner_product", "pearson"):
        raise ValueError(f"metric must be 'cosine', 'inner_product' or 'pearson', got {metric!r}")


def threads(num_threads: int | None) -> int:
    """Check a number of threads; 0 stands for the library's default."""
    if num_threads is None:
        return 0
    count = as_count(num_threads, "num_threads", 1)
    if count > _MOST_THREADS:
        raise ValueError(f"num_threads must be at most {_MOST_THREADS}, got {count}")
    return count


def check_limits(num_threads: int | None, max_memory: int | None) -> None:
    """Check what limits a call on the CPU and on a GPU, whichever of them computes."""
    threads(num_threads)
    if max_memory is not None:
        as_count(max_memory, "max_memory", 1)


def as_torch(array: npt.NDArray[Any]) -> Any:
    """Return a result to a caller who brought torch tensors."""
    import torch

    return torch.from_numpy(array)
