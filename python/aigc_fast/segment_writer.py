"""Changes of a CosineIndex: each takes a snapshot and prepares the next one, which the index then publishes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aigc_fast.segments import NEVER_REMOVED, Lookup, Segment, Snapshot

if TYPE_CHECKING:
    import numpy.typing as npt

    from aigc_fast.row_coder import RowCoder
    from aigc_fast.segments import Ids

_TAIL_ROWS = 4096  # a tail this long becomes a segment


class SegmentWriter:
    """Prepares changes, one at a time.

    The tail grows in arrays with room beyond what any snapshot shows. A change that fails on the way (Ctrl-C, no
    memory) is never published: what it wrote lies in that room, and the next one takes its marks of removed rows back.

    Parameters
    ----------
    like
        Rows whose dtype and columns all others have.
    coder
        Makes the codes of new segments.
    """

    def __init__(self, like: npt.NDArray[Any], coder: RowCoder) -> None:
        self._columns, self._dtype = like.shape[1], like.dtype
        self._coder = coder
        self._marked_version = 0
        self._marked: list[tuple[npt.NDArray[np.uint32], Ids]] = []  # (marks, rows) of that version

    def without(self, snapshot: Snapshot, ids: Ids) -> Snapshot:
        """Remove ids; readers of earlier versions still see their rows."""
        segment_of, row_of = snapshot.locate(ids)
        if (segment_of < 0).any():
            raise KeyError(f"id {ids[segment_of < 0][0]} is not in the index")
        self._take_back(snapshot)
        version = snapshot.version + 1
        self._marked_version, self._marked = version, []
        segments = list(snapshot.segments)
        for number in np.unique(segment_of):
            segment, rows = segments[number], row_of[segment_of == number]
            marks = segment.removed_at
            if marks is None:
                is_tail = number == len(segments) - 1
                marks = np.full(len(_room(segment.rows) if is_tail else segment), NEVER_REMOVED)
            self._marked.append((marks, rows))
            marks[rows] = version
            segments[number] = replace(segment, removed_at=marks, removed=segment.removed + rows.shape[0])
        count = snapshot.count - ids.shape[0]
        return self._compacted(Snapshot(tuple(segments), version, count))

    def _take_back(self, snapshot: Snapshot) -> None:
        """Remove the marks of a version that was not published: the next one has its number."""
        if self._marked_version > snapshot.version:
            for marks, rows in self._marked:
                marks[rows] = NEVER_REMOVED
            self._marked = []

    def _compacted(self, snapshot: Snapshot) -> Snapshot:
        """Copy what is left of segments that have lost half of their rows."""
        segments = [
            self.merged([segment], snapshot)
            if len(segment) >= _TAIL_ROWS and 2 * segment.removed > len(segment)
            else segment
            for segment in snapshot.segments[:-1]
        ]
        return replace(snapshot, segments=(*segments, snapshot.segments[-1]))

    def appended(self, snapshot: Snapshot, rows: npt.NDArray[Any], ids: Ids) -> Snapshot:
        """Add rows at the end of the tail; a long one is sealed, and segments of similar size are merged."""
        self._take_back(snapshot)
        *sealed, tail = snapshot.segments
        length, wanted = len(tail), len(tail) + rows.shape[0]
        if wanted > len(_room(tail.rows)):
            tail = self._with_room(tail, max(256, 2 * wanted))
        all_rows, all_ids = _room(tail.rows), _room(tail.all_ids)
        all_rows[length:wanted] = rows  # beyond what any snapshot shows
        all_ids[length:wanted] = ids
        tail = replace(tail, rows=all_rows[:wanted], lookup=Lookup(all_ids[:wanted]))
        if wanted >= _TAIL_ROWS:
            sealed.append(self.merged([tail], snapshot))
            tail = self.tail(0)
            while len(sealed) > 2 and len(sealed[-2]) < 2 * len(sealed[-1]):  # the first may be the caller's array
                sealed[-2:] = [self.merged(sealed[-2:], snapshot)]
        return Snapshot((*sealed, tail), snapshot.version, snapshot.count + rows.shape[0])

    def tail(self, room: int) -> Segment:
        """Return an empty tail with room for so many rows."""
        rows, ids = np.empty((room, self._columns), self._dtype), np.empty(room, np.int64)
        return Segment(rows[:0], Lookup(ids[:0]), None)

    def _with_room(self, tail: Segment, room: int) -> Segment:
        length, empty = len(tail), self.tail(room)
        all_rows, all_ids = _room(empty.rows), _room(empty.all_ids)
        all_rows[:length], all_ids[:length] = tail.rows, tail.all_ids
        marks = tail.removed_at
        if marks is not None:
            marks = np.concatenate([marks[:length], np.full(room - length, NEVER_REMOVED)])
        return replace(tail, rows=all_rows[:length], lookup=Lookup(all_ids[:length]), removed_at=marks)

    def merged(self, segments: list[Segment], snapshot: Snapshot) -> Segment:
        """Copy the rows that a snapshot shows of some segments, coded anew like its first."""
        segments = segments or [snapshot.segments[0]]  # an empty one, of the index's dtype and columns
        alive = [segment.alive(snapshot.version) for segment in segments]
        rows = np.concatenate([segment.rows[keep] for segment, keep in zip(segments, alive, strict=True)])
        ids = np.concatenate([segment.all_ids[keep] for segment, keep in zip(segments, alive, strict=True)])
        return Segment(rows, Lookup(ids), self._coder.encode(rows, ids, snapshot.segments[0].codes))


def _room(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the whole of which an array of a tail shows the beginning."""
    assert array.base is not None
    return array.base
