"""The file of a CosineIndex, see :mod:`aigc_fast.array_file`.

Tensors (n rows of d columns; b = ceil(n / 16) blocks): ``rows`` (n, d) in the index's dtype (bfloat16 as its bits in
uint16); ``ids`` (n,) int64, absent where they are 0 to n-1; and where the rows are coded ``codes`` (b * 16 * 4 *
ceil(d / 4),) uint8, ``scale``, ``residual``, ``reach`` (b,) float32, ``kinds`` (n,) uint8 (``RowKind`` in
cpp/index/item_codes.hpp), ``mean`` (d,) float32 where the code space is centred. Where they have heads of m columns
(index_head.py): ``head_basis`` (d, m) float32, ``head_codes`` (b * 16 * m,) uint8, ``head_scale``, ``head_residual``,
``head_reach``, ``head_mean`` (m,) likewise, and for ``codes`` ``row_codes`` (b * 16 * 64 * ceil(d / 64),) uint8.
Facts: ``metric``, ``next_id``, ``rotated``, ``head_rotated``, ``survivors``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from aigc_fast import _core, array_file, index_head
from aigc_fast.arrays import check_metric, distinct_ids
from aigc_fast.segments import Lookup, Segment

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from aigc_fast.segments import Ids

    Arrays = dict[str, npt.NDArray[Any]]
    Facts = dict[str, str]

_ROW_DTYPES = ("float64", "float32", "float16", "int8", "uint16")
_FORMAT = array_file.Format("aigc_fast.CosineIndex", "2", "index")


def save(path: str | os.PathLike[str], arrays: Arrays, facts: Facts) -> None:
    """Write the arrays and facts of an index, whole or not at all."""
    array_file.save(path, _FORMAT, arrays, facts)


def load(path: str | os.PathLike[str], *, mmap: bool) -> tuple[Arrays, Facts]:
    """Read (arrays, facts), which fit together; with ``mmap`` the arrays are views of the file, not checksummed."""
    arrays, facts = array_file.load(path, _FORMAT, arrays={"rows"}, facts={"metric", "next_id"}, mmap=mmap)
    try:
        _check_rows(arrays, facts)
        if arrays.keys() - {"rows", "ids"}:
            _check_codes(arrays, facts)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    return arrays, facts


def _check_rows(arrays: Arrays, facts: Facts) -> None:
    check_metric(facts["metric"])
    rows, ids = arrays["rows"], arrays.get("ids")
    if rows.ndim != 2 or rows.dtype.name not in _ROW_DTYPES:
        raise ValueError(f"rows must be two-dimensional of one of {_ROW_DTYPES}, got {rows.shape} of {rows.dtype}")
    last = len(rows) - 1
    if ids is not None:
        _check_array(arrays, "ids", np.int64, len(rows))
        last = int(distinct_ids(ids, "ids", len(rows)).max(initial=-1))
    if not _is_whole(facts["next_id"]) or int(facts["next_id"]) <= last:
        raise ValueError(f"next_id must be a whole number above the largest id {last}, got {facts['next_id']!r}")


def _check_codes(arrays: Arrays, facts: Facts) -> None:
    """Check what codes say of themselves: the extension trusts their sizes and kinds."""
    count, dim = arrays["rows"].shape
    if dim > _core.MAX_CODED_COLUMNS:
        raise ValueError(f"codes are of at most {_core.MAX_CODED_COLUMNS} columns, got {dim}")
    padded = -(-count // 16) * 16
    _check_array(arrays, "kinds", np.uint8, count)
    if "row_codes" in arrays:
        _check_array(arrays, "row_codes", np.uint8, padded * (-(-dim // 64) * 64))
        _check_space(arrays, facts, "", dim)
        basis = arrays.get("head_basis")
        columns = basis.shape[1] if basis is not None and basis.ndim == 2 else 0
        if columns == 0 or columns % _core.BASIS_COLUMNS:
            raise ValueError(f"head_basis must have a multiple of {_core.BASIS_COLUMNS} columns, got {columns}")
        _check_array(arrays, "head_basis", np.float32, dim, columns)
        _check_finite(arrays, "head_basis")
        _check_array(arrays, "head_codes", np.uint8, padded * columns)
        _check_space(arrays, facts, "head_", columns)
        _check_share(facts)
    else:
        _check_array(arrays, "codes", np.uint8, padded * (-(-dim // 4) * 4))
        _check_space(arrays, facts, "", dim)


def _check_space(arrays: Arrays, facts: Facts, prefix: str, columns: int) -> None:
    for name in ("scale", "residual", "reach"):
        _check_array(arrays, prefix + name, np.float32, -(-len(arrays["rows"]) // 16))
        if np.isnan(arrays[prefix + name]).any():
            raise ValueError(f"{prefix}{name} must not hold NaN")
    if f"{prefix}mean" in arrays:
        _check_array(arrays, f"{prefix}mean", np.float32, columns)
        _check_finite(arrays, f"{prefix}mean")
    if facts.get(f"{prefix}rotated") not in ("0", "1"):
        raise ValueError(f"{prefix}rotated must be '0' or '1', got {facts.get(f'{prefix}rotated')!r}")


def _check_share(facts: Facts) -> None:
    try:
        share = float(facts["survivors"])
    except (KeyError, TypeError, ValueError):
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"survivors must be a share from 0 to 1, got {facts.get('survivors')!r}")


def _check_array(arrays: Arrays, name: str, dtype: npt.DTypeLike, *shape: int) -> None:
    array = arrays.get(name)
    if array is None:
        raise ValueError(f"it lacks {name}")
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{name} must be {np.dtype(dtype)} of shape {shape}, got {array.dtype} of {array.shape}")


def _check_finite(arrays: Arrays, name: str) -> None:
    if not np.isfinite(arrays[name]).all():
        raise ValueError(f"{name} must be finite")


def _is_whole(fact: object) -> bool:
    return isinstance(fact, str) and fact.isascii() and fact.isdigit() and len(fact) <= 19


def state_of(segment: Segment, metric: str, next_id: int) -> tuple[Arrays, Facts]:
    """Return an index of one segment as arrays and facts."""
    arrays, facts = {"rows": segment.rows}, {"metric": metric, "next_id": str(next_id)}
    if segment.ids is not None:
        arrays["ids"] = segment.ids
    if segment.codes is not None:
        arrays.update(index_head.arrays_of(segment.codes))
        facts["rotated"] = str(int(segment.codes.rotated))
        if segment.codes.head is not None:
            facts["head_rotated"] = str(int(segment.codes.head.rotated))
            facts["survivors"] = str(segment.codes.survivors)
    return arrays, facts


def segment_of(
    arrays: Arrays, facts: Facts, encode: Callable[[npt.NDArray[Any], Ids | None], _core.ItemCodes | None]
) -> Segment:
    """Return the segment that state_of took apart; without codes among the arrays, ``encode`` makes them."""
    rows, ids = arrays["rows"], arrays.get("ids")
    codes = index_head.codes_from(arrays, facts, rows.shape) if "kinds" in arrays else encode(rows, ids)
    return Segment(rows, None if ids is None else Lookup(ids), codes)
