"""Read the rows (user, item, rating, timestamp) of a delimited text file with array operations.

A rating file has up to tens of millions of short lines, too many for a Python loop. The file is read in
blocks; in each block one comparison finds the delimiters, and the digits of a column are accumulated position
by position for all rows at once. Memory beyond the result is bounded by the block. Only a field that is no
plain number, and a block with quotes, takes a slow path.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

BLOCK_BYTES = 1 << 24
#: Longest label of a user or item that is taken; what is longer is no label but a damaged file.
MAX_LABEL_BYTES = 255
#: Digits of an integer that always fit int64, and of a decimal that float64 holds exactly.
MAX_INT_DIGITS, MAX_EXACT_DIGITS = 18, 15

_NEWLINE, _RETURN, _ZERO, _DOT, _MINUS = b"\n\r0.-"
#: Stands for the delimiter in lines rewritten to one byte per delimiter ("unit separator" of ASCII).
_UNIT = b"\x1f"

Bytes: TypeAlias = npt.NDArray[np.uint8]
Offsets: TypeAlias = npt.NDArray[np.int64]
#: Labels are int64 if all of them are canonical decimal numbers (no sign, no leading zero), else str.
Labels: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.str_]


class Layout(NamedTuple):
    """Where a file has its columns (positions; None: the file has no such column)."""

    delimiter: str
    n_fields: int
    user: int
    item: int
    rating: int | None
    timestamp: int | None
    header_lines: int = 0
    quotes: bool = False
    encoding: str = "utf-8"


class Rows(NamedTuple):
    """The columns of a file."""

    users: Labels
    items: Labels
    ratings: npt.NDArray[np.float32] | None
    timestamps: npt.NDArray[np.int64] | None


class _Block(NamedTuple):
    """Rows of one block: the bytes, and per row its line number and the ends of its fields."""

    path: Path
    data: Bytes
    lines: Offsets
    starts: tuple[Offsets, ...]  # one array per column
    ends: tuple[Offsets, ...]


def fail(path: Path, line: int, reason: str) -> NoReturn:
    """Raise the error of a broken row."""
    raise ValueError(f"{path}, line {line}: {reason}") from None


def read_rows(path: Path, layout: Layout) -> Rows:
    """Read all rows of ``path``.

    Empty lines are skipped; LF and CRLF both end a line.

    Raises
    ------
    ValueError
        A row has another number of fields than the layout, an empty label, or a rating or time that is
        not a finite number; the message gives file, line and reason.
    """
    users: list[Labels] = []
    items: list[Labels] = []
    ratings: list[npt.NDArray[np.float32]] = []
    times: list[npt.NDArray[np.int64]] = []
    for block in _blocks(path, layout):
        users.append(_labels(block, layout.user, "user", layout.encoding))
        items.append(_labels(block, layout.item, "item", layout.encoding))
        if layout.rating is not None:
            ratings.append(_ratings(block, layout.rating))
        if layout.timestamp is not None:
            times.append(_timestamps(block, layout.timestamp))
    return Rows(
        _joined_labels(users),
        _joined_labels(items),
        None if layout.rating is None else _joined(ratings, np.float32),
        None if layout.timestamp is None else _joined(times, np.int64),
    )


def line_of_row(path: Path, layout: Layout, row: int) -> int:
    """Line number of a row that `read_rows` returned (counts the lines anew: for error messages)."""
    row += layout.header_lines
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number <= layout.header_lines or line.strip(b"\r\n"):
                row -= 1
            if row < 0:
                return number
    raise IndexError(f"{path} has fewer rows")


def _joined(parts: Sequence[npt.NDArray[Any]], dtype: type) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _joined_labels(parts: Sequence[Labels]) -> Labels:
    """Labels of all blocks as one array: int64 only if every block has numbers alone."""
    if any(part.dtype != np.int64 for part in parts):
        parts = [part.astype(np.str_) for part in parts]  # canonical numbers: their text is what was read
    return _joined(parts, np.int64)


def _blocks(path: Path, layout: Layout) -> Iterator[_Block]:
    line = 1
    with path.open("rb") as file:
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        for _ in range(layout.header_lines):
            file.readline()
            line += 1
        rest = b""
        while data := file.read(BLOCK_BYTES):
            data = rest + data
            cut = data.rfind(b"\n") + 1
            data, rest = data[:cut], data[cut:]
            if len(rest) > BLOCK_BYTES:
                fail(path, line + data.count(b"\n"), f"more than {BLOCK_BYTES} bytes without a newline")
            if data:
                yield _split(path, data, line, layout)
                line += data.count(b"\n")
        if rest:
            yield _split(path, rest + b"\n", line, layout)


def _split(path: Path, text: bytes, first_line: int, layout: Layout) -> _Block:
    """Find the fields of every line of ``text``, which ends with a newline."""
    delimiter = layout.delimiter.encode()
    if (zero := text.find(b"\0")) >= 0:
        fail(path, first_line + text.count(b"\n", 0, zero), "a zero byte: not a text file in an 8-bit encoding")
    if layout.quotes and b'"' in text:
        text, delimiter = _unquote(path, text, first_line, layout), _UNIT
    elif len(delimiter) > 1:
        text, delimiter = text.replace(delimiter, _UNIT), _UNIT
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    ends = ends - ((ends > starts) & (data[ends - 1] == _RETURN))
    filled = ends > starts
    lines = first_line + np.flatnonzero(filled)
    starts, ends = starts[filled], ends[filled]
    cuts = np.flatnonzero(data == delimiter[0])
    counts = np.searchsorted(cuts, ends) - np.searchsorted(cuts, starts) + 1
    if (wrong := counts != layout.n_fields).any():
        row = int(np.argmax(wrong))
        fail(path, int(lines[row]), f"{counts[row]} field(s); this file's rows have {layout.n_fields}")
    inner = cuts.reshape(len(lines), layout.n_fields - 1)
    return _Block(path, data, lines, (starts, *(inner.T + 1)), (*inner.T, ends))


def _unquote(path: Path, text: bytes, first_line: int, layout: Layout) -> bytes:
    """Rewrite CSV lines with quotes as plain lines, fields separated by `_UNIT`."""
    rows = []
    for line, raw in enumerate(text.decode(layout.encoding, "surrogateescape").split("\n")[:-1], first_line):
        try:
            fields = next(csv.reader([raw], delimiter=layout.delimiter, strict=True), [])
        except csv.Error as error:
            fail(path, line, f"bad quotes ({error})")
        rows.append(_UNIT.decode().join(fields))
    return ("\n".join(rows) + "\n").encode(layout.encoding, "surrogateescape")


def _integers(block: _Block, column: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Values of a column, and which fields are canonical (digits alone, no leading zero)."""
    start, end = block.starts[column], block.ends[column]
    length = end - start
    valid = (length > 0) & (length <= MAX_INT_DIGITS)
    valid &= (length == 1) | (block.data[start] != _ZERO)
    values = np.zeros(len(length), np.int64)
    for position in range(min(int(length.max(initial=0)), MAX_INT_DIGITS)):
        inside = position < length
        digit = block.data[np.minimum(start + position, end)] - np.uint8(_ZERO)  # wraps: not a digit is > 9
        valid &= ~inside | (digit <= 9)
        values = np.where(inside, values * 10 + digit, values)
    return values, valid


def _decimals(block: _Block, column: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Values of a column, and which fields have the plain form -123.45 with few enough digits.

    Such a value is an integer below 2**53 divided by a power of ten below 1e16, both exact, so the one
    division rounds correctly, as float() would.
    """
    start, end = block.starts[column], block.ends[column]
    negative = block.data[start] == _MINUS
    start = start + negative
    length = end - start
    valid = length <= MAX_EXACT_DIGITS
    mantissa = np.zeros(len(length), np.int64)
    digits, decimals = np.zeros_like(mantissa), np.zeros_like(mantissa)
    dotted = np.zeros(len(length), np.bool_)
    for position in range(min(int(length.max(initial=0)), MAX_EXACT_DIGITS)):
        inside = position < length
        byte = block.data[np.minimum(start + position, end)]
        digit = byte - np.uint8(_ZERO)
        is_digit, is_dot = inside & (digit <= 9), inside & (byte == _DOT) & ~dotted
        valid &= ~inside | is_digit | is_dot
        mantissa = np.where(is_digit, mantissa * 10 + digit, mantissa)
        digits += is_digit
        decimals += is_digit & dotted
        dotted |= is_dot
    valid &= digits > 0
    values = mantissa / np.power(10.0, decimals)
    return np.where(negative, -values, values), valid


def _field(block: _Block, row: int, column: int) -> str:
    raw = block.data[block.starts[column][row] : block.ends[column][row]].tobytes()
    return raw.decode("utf-8", "backslashreplace")


def _number(block: _Block, row: int, column: int, what: str) -> float:
    """Parse a number in another notation (exponent, plus sign, many digits): the slow path."""
    text = _field(block, row, column)
    try:
        value = float(text) if "_" not in text else np.nan
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        fail(block.path, int(block.lines[row]), f"{what} {text!r} is not a finite number")
    return value


def _ratings(block: _Block, column: int) -> npt.NDArray[np.float32]:
    values, valid = _decimals(block, column)
    for row in np.flatnonzero(~valid):
        values[row] = _number(block, int(row), column, "rating")
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    for row in np.flatnonzero(~np.isfinite(rounded)):
        fail(block.path, int(block.lines[row]), f"rating {_field(block, int(row), column)!r} exceeds float32")
    return rounded


def _timestamps(block: _Block, column: int) -> npt.NDArray[np.int64]:
    values, valid = _integers(block, column)
    for row in np.flatnonzero(~valid):
        number = _number(block, int(row), column, "timestamp")
        text = _field(block, int(row), column)
        whole = int(text) if text.removeprefix("-").isdecimal() else int(number)  # all digits, where float64 has 15
        if not -(2**63) <= whole < 2**63:
            fail(block.path, int(block.lines[row]), f"timestamp {number:g} exceeds int64")
        values[row] = whole
    return values


def _labels(block: _Block, column: int, what: str, encoding: str) -> Labels:
    values, valid = _integers(block, column)
    if valid.all():
        return values
    start, end = block.starts[column], block.ends[column]
    length = end - start
    if (length == 0).any():
        fail(block.path, int(block.lines[np.argmin(length)]), f"empty {what} id")
    if (width := int(length.max())) > MAX_LABEL_BYTES:
        row = int(np.argmax(length))
        fail(
            block.path,
            int(block.lines[row]),
            f"{what} id of {width} bytes; at most {MAX_LABEL_BYTES} are taken",
        )
    text = np.zeros((len(length), width), np.uint8)
    for position in range(width):
        inside = position < length
        text[inside, position] = block.data[start[inside] + position]
    labels = text.view(f"S{width}").ravel()
    try:
        return np.char.decode(labels, encoding)
    except UnicodeDecodeError as error:
        row = int(np.argmax(labels == error.object))
        fail(block.path, int(block.lines[row]), f"{what} id is not {encoding}: {error.reason}")
