"""The file of a CosineIndex, see :mod:`aigc_fast.array_file`.

Tensors (n rows of d columns; b = ceil(n / 16) blocks): ``rows`` (n, d) in the index's dtype (bfloat16 as its bits in
uint16); ``ids`` (n,) int64, absent where they are 0 to n-1; and where the rows are coded ``codes`` (b * 16 * 4 *
ceil(d / 4),) uint8, ``scale``, ``residual``, ``reach`` (b,) float32, ``kinds`` (n,) uint8 (``RowKind`` in
cpp/index/item_codes.hpp), ``mean`` (d,) float32 where the code space is centred. Where they have heads of m columns
(index_head.py): ``head_basis`` (d, m) float32, ``head_codes`` (b * 16 * m,) uint8, ``head_scale``, ``head_residual``,
``head_reach``, ``head_mean`` (m,) likewise, and ``row_codes`` (n * d rounded up to 64,) uint8. Facts: ``metric``,
``next_id``, ``rotated``, ``head_rotated``, ``survivors``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aigc_fast import array_file, index_head
from aigc_fast.segments import Lookup, Segment

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from aigc_fast import _core
    from aigc_fast.segments import Ids

    Arrays = dict[str, npt.NDArray[Any]]
    Facts = dict[str, str]

_FORMAT = array_file.Format("aigc_fast.CosineIndex", "2", "index")


def save(path: str | os.PathLike[str], arrays: Arrays, facts: Facts) -> None:
    """Write the arrays and facts of an index, whole or not at all."""
    array_file.save(path, _FORMAT, arrays, facts)


def load(path: str | os.PathLike[str], *, mmap: bool) -> tuple[Arrays, Facts]:
    """Read (arrays, facts); with ``mmap`` the arrays are views of the mapped file, not checksummed."""
    return array_file.load(path, _FORMAT, arrays={"rows"}, facts={"metric", "next_id"}, mmap=mmap)


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
