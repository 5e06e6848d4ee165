"""The file of a CosineIndex: one safetensors file, checksummed, versioned, written so that a crash leaves the old one.

Tensors (n rows of d columns; b = ceil(n / 16) blocks): ``rows`` (n, d) in the index's dtype (bfloat16 as its bits in
uint16); ``ids`` (n,) int64, absent where they are 0 to n-1; and where the rows are coded ``codes`` (b * 16 * 4 *
ceil(d / 4),) uint8, ``scale``, ``residual``, ``reach`` (b,) float32, ``kinds`` (n,) uint8, ``mean`` (d,) float32 where
the code space is centred. Metadata: ``format``, ``format_version``, ``metric``, ``next_id``, ``rotated``, ``checksum``.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aigc_fast.errors import require

if TYPE_CHECKING:
    import numpy.typing as npt

_FORMAT = "aigc_fast.CosineIndex"
_VERSION = "1"
_DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "I8": np.int8, "U8": np.uint8, "U16": np.uint16,
    "I64": np.int64,
}  # fmt: skip
_LONGEST_HEADER = 1 << 20


def save(path: str | os.PathLike[str], arrays: dict[str, npt.NDArray[Any]], facts: dict[str, str]) -> None:
    """Write to a temporary file in the same folder, flush it to the disk, and rename it."""
    safetensors = require("safetensors.numpy", "index")
    target = Path(path)
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {"format": _FORMAT, "format_version": _VERSION, **facts, "checksum": _checksum(arrays)}
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        safetensors.save_file(arrays, temporary, metadata=metadata)
        _flush(temporary)
        Path(temporary).replace(target)
        _flush(target.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike[str], *, mmap: bool) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Read (arrays, facts); with ``mmap`` the arrays are views of the mapped file and the checksum is not computed."""
    data = np.memmap(path, np.uint8, mode="r") if Path(path).stat().st_size else np.empty(0, np.uint8)
    arrays, metadata = _parse(data, path)
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{path} is a safetensors file, but not of a CosineIndex")
    if metadata.get("format_version") != _VERSION:
        raise ValueError(
            f"{path} has format version {metadata.get('format_version')}; this version of aigc_fast reads {_VERSION}"
        )
    missing = {"rows"} - arrays.keys() | {"metric", "next_id", "checksum"} - metadata.keys()
    if missing:
        raise ValueError(f"{path} is damaged: it lacks {', '.join(sorted(missing))}")
    if not mmap:
        arrays = {name: array.copy() for name, array in arrays.items()}
        if _checksum(arrays) != metadata["checksum"]:
            raise ValueError(f"{path} is damaged: its checksum does not match")
    return arrays, metadata


def _parse(data: npt.NDArray[np.uint8], path: Any) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Read the safetensors form as views; every size is checked against the file's before it is used."""
    damaged = ValueError(f"{path} is truncated, damaged, or not a safetensors file")
    if data.size < 8:
        raise damaged
    header_size = int(data[:8].view("<u8")[0])
    if not 0 < header_size <= min(_LONGEST_HEADER, data.size - 8):
        raise damaged
    try:
        header = json.loads(data[8 : 8 + header_size].tobytes())
        metadata = header.pop("__metadata__", {})
        body, end, arrays = data[8 + header_size :], 0, {}
        for name, entry in header.items():
            dtype, shape, (start, stop) = np.dtype(_DTYPES[entry["dtype"]]), entry["shape"], entry["data_offsets"]
            if not 0 <= start <= stop <= body.size or stop - start != math.prod(shape) * dtype.itemsize:
                raise damaged
            arrays[name] = body[start:stop].view(dtype).reshape(shape)
            end = max(end, stop)
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise damaged from None
    if end != body.size:
        raise damaged
    return arrays, metadata


def _checksum(arrays: dict[str, npt.NDArray[Any]]) -> str:
    value = 0
    for name in sorted(arrays):
        array = arrays[name]
        value = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), value)
        value = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, value)
    return f"crc32:{value:08x}"


def _flush(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
