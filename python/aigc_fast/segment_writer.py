"""Changes of a CosineIndex: each takes a snapshot and prepares the next one, which the index then publishes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aigc_fast.segments import NEVER_REMOVED, Lookup, Segment, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from aigc_fast import _core
    from aigc_fast.segments import Ids

_TAIL_ROWS = 4096  # a tail this long becomes a segment


class SegmentWriter:
    """The one writer at a time; it owns the buffers that the tail grows in, beyond what any snapshot shows.

    Parameters
    ----------
    like
        Rows whose dtype and columns all others have.
    encode
        Makes the codes of (rows, ids).
    """

    def __init__(
        self, like: npt.NDArray[Any], encode: Callable[[npt.NDArray[Any], Ids], _core.ItemCodes | None]
    ) -> None:
        self._tail_rows = np.empty((0, like.shape[1]), like.dtype)
        self._tail_ids = np.empty(0, np.int64)
        self._encode = encode

    def without(self, snapshot: Snapshot, ids: Ids) -> Snapshot:
        """Remove ids; readers of earlier versions still see their rows."""
        segment_of, row_of = snapshot.locate(ids)
        if (segment_of < 0).any():
            raise KeyError(f"id {ids[segment_of < 0][0]} is not in the index")
        version = snapshot.version + 1
        segments = list(snapshot.segments)
        for number in np.unique(segment_of):
            segment, rows = segments[number], row_of[segment_of == number]
            marks = segment.removed_at
            if marks is None:
                marks = np.full(max(len(segment), self._tail_capacity(segment)), NEVER_REMOVED)
            marks[rows] = version
            segments[number] = replace(segment, removed_at=marks, removed=segment.removed + rows.shape[0])
        count = snapshot.count - ids.shape[0]
        return self._compacted(Snapshot(tuple(segments), version, count))

    def _compacted(self, snapshot: Snapshot) -> Snapshot:
        """Copy what is left of segments that have lost half of their rows."""
        segments = [
            self.merged([segment], snapshot.version)
            if len(segment) >= _TAIL_ROWS and 2 * segment.removed > len(segment)
            else segment
            for segment in snapshot.segments[:-1]
        ]
        return replace(snapshot, segments=(*segments, snapshot.segments[-1]))

    def appended(self, snapshot: Snapshot, rows: npt.NDArray[Any], ids: Ids) -> Snapshot:
        """Add rows at the end of the tail; a long one is sealed, and segments of similar size are merged."""
        *sealed, tail = snapshot.segments
        length, wanted = len(tail), len(tail) + rows.shape[0]
        if wanted > self._tail_rows.shape[0]:
            capacity = max(256, 2 * wanted)
            self._tail_rows = _grown(tail.rows, capacity)
            self._tail_ids = _grown(self._tail_ids[:length], capacity)
            if tail.removed_at is not None:
                marks = np.full(capacity, NEVER_REMOVED)
                marks[:length] = tail.removed_at[:length]
                tail = replace(tail, removed_at=marks)
        self._tail_rows[length:wanted] = rows  # beyond what any snapshot shows
        self._tail_ids[length:wanted] = ids
        tail = replace(self.tail(wanted), removed_at=tail.removed_at, removed=tail.removed)
        if wanted >= _TAIL_ROWS:
            sealed.append(self.merged([tail], snapshot.version))
            self._tail_rows, self._tail_ids = self._tail_rows[:0].copy(), self._tail_ids[:0].copy()
            tail = self.tail(0)
            while len(sealed) > 2 and len(sealed[-2]) < 2 * len(sealed[-1]):  # the first may be the caller's array
                sealed[-2:] = [self.merged(sealed[-2:], snapshot.version)]
        return Snapshot((*sealed, tail), snapshot.version, snapshot.count + rows.shape[0])

    def tail(self, length: int) -> Segment:
        """Return the first rows of the buffer as a segment."""
        return Segment(self._tail_rows[:length], Lookup(self._tail_ids[:length]), None)

    def _tail_capacity(self, segment: Segment) -> int:
        return self._tail_rows.shape[0] if segment.rows.base is self._tail_rows else 0

    def merged(self, segments: list[Segment], version: int) -> Segment:
        """Copy the rows that are left, coded anew."""
        alive = [segment.alive(version) for segment in segments]
        rows = np.concatenate([segment.rows[keep] for segment, keep in zip(segments, alive, strict=True)])
        ids = np.concatenate([segment.all_ids[keep] for segment, keep in zip(segments, alive, strict=True)])
        return Segment(rows, Lookup(ids), self._encode(rows, ids))


def _grown(array: npt.NDArray[Any], capacity: int) -> npt.NDArray[Any]:
    grown = np.empty((capacity, *array.shape[1:]), array.dtype)
    grown[: array.shape[0]] = array
    return grown
