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

from aigc_fast import array_file

if TYPE_CHECKING:
    import numpy.typing as npt

_FORMAT = array_file.Format("aigc_fast.CosineIndex", "1", "index")


def save(path: str | os.PathLike[str], arrays: dict[str, npt.NDArray[Any]], facts: dict[str, str]) -> None:
    """Write the arrays and facts of an index, whole or not at all."""
    array_file.save(path, _FORMAT, arrays, facts)


def load(path: str | os.PathLike[str], *, mmap: bool) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Read (arrays, facts); with ``mmap`` the arrays are views of the mapped file and the checksum is not computed."""
    return array_file.load(path, _FORMAT, arrays={"rows"}, facts={"metric", "next_id"}, mmap=mmap)
