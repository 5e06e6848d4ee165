"""Arrays and facts in one safetensors file: checksummed, versioned, written so that a crash leaves the old one.

The metadata holds ``format`` (what the file is of), ``format_version``, the facts, ``checksum`` (CRC-32 over all
arrays) and ``header_checksum`` (over the rest of the metadata, and the arrays' names, dtypes and shapes). Nothing in
such a file is code, and every size in it is checked before it is used.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import stat
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from aigc_fast.errors import require

if TYPE_CHECKING:
    import numpy.typing as npt

_DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "I8": np.int8, "U8": np.uint8, "U16": np.uint16,
    "I32": np.int32, "I64": np.int64,
}  # fmt: skip
_LONGEST_HEADER = 1 << 20


class Format(NamedTuple):
    """What a kind of file is called, which version of it is read and written, and the extra that it needs."""

    name: str
    version: str
    extra: str


def save(
    path: str | os.PathLike[str], form: Format, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, str]
) -> None:
    """Write to a temporary file in the same folder, flush it to the disk, and rename it."""
    safetensors = require("safetensors.numpy", form.extra)
    target = Path(path).resolve()  # a link goes on naming the file
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = {"format": form.name, "format_version": form.version, **facts, "checksum": _checksum(arrays)}
    metadata["header_checksum"] = _header_checksum(metadata, arrays)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    temporary.touch(exist_ok=False)
    try:
        mode = (target if target.exists() else temporary).stat().st_mode  # as before, or as any new file has it
        safetensors.save_file(arrays, temporary, metadata=metadata)
        temporary.chmod(stat.S_IMODE(mode))
        _flush(temporary)
        temporary.replace(target)
        _flush(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load(
    path: str | os.PathLike[str], form: Format, *, arrays: set[str], facts: set[str], mmap: bool = False
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Read (arrays, facts).

    Parameters
    ----------
    path, form
        The file, and what it has to be.
    arrays, facts
        Names that must be there.
    mmap
        The arrays are views of the mapped file, and only the header's checksum is computed.

    Raises
    ------
    ValueError
        The file is truncated, damaged, or of another form or version.
    """
    data = np.memmap(path, np.uint8, mode="r") if Path(path).stat().st_size else np.empty(0, np.uint8)
    found, metadata = _parse(data, path)
    if metadata.get("format") != form.name:
        raise ValueError(f"{path} is a safetensors file, but not of a {form.name.removeprefix('aigc_fast.')}")
    if metadata.get("format_version") != form.version:
        raise ValueError(
            f"{path} has format version {metadata.get('format_version')}; "
            f"this version of aigc_fast reads {form.version}"
        )
    missing = arrays - found.keys() | (facts | {"checksum", "header_checksum"}) - metadata.keys()
    if missing:
        raise ValueError(f"{path} is damaged: it lacks {', '.join(sorted(missing))}")
    if _header_checksum(metadata, found) != metadata["header_checksum"]:
        raise ValueError(f"{path} is damaged: the checksum of its header does not match")
    if not mmap:
        found = {name: array.copy() for name, array in found.items()}
        if _checksum(found) != metadata["checksum"]:
            raise ValueError(f"{path} is damaged: its checksum does not match")
    return found, metadata


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
        metadata = dict(header.pop("__metadata__", {}))
        body, end, arrays = data[8 + header_size :], 0, {}
        for name, entry in header.items():
            dtype, shape, (start, stop) = np.dtype(_DTYPES[entry["dtype"]]), entry["shape"], entry["data_offsets"]
            if not 0 <= start <= stop <= body.size or stop - start != math.prod(shape) * dtype.itemsize:
                raise damaged
            arrays[name] = body[start:stop].view(dtype).reshape(shape)
            end = max(end, stop)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise damaged from None
    if end != body.size:
        raise damaged
    return arrays, metadata


def _header_checksum(metadata: dict[str, str], arrays: dict[str, npt.NDArray[Any]]) -> str:
    kinds = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
    facts = {name: fact for name, fact in metadata.items() if name != "header_checksum"}
    return f"crc32:{zlib.crc32(json.dumps([facts, kinds], sort_keys=True).encode()):08x}"


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
