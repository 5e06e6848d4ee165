"""What a CosineIndex is made of: segments of rows, and snapshots of them; nothing here ever changes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from aigc_fast import _core

if TYPE_CHECKING:
    import numpy.typing as npt

    Ids = npt.NDArray[np.int64]

NEVER_REMOVED = np.uint32(0xFFFFFFFF)


class Lookup:
    """Finds rows by their ids; sorted on first use, and shared by all states of a segment."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids

    @cached_property
    def _sorted(self) -> tuple[Ids, Ids]:
        order = np.argsort(self.ids, kind="stable")
        return self.ids[order], order

    def find(self, ids: Ids) -> Ids:
        """Return the row of each id, -1 where there is none; the last one where an update left an older row."""
        if not self.ids.size:
            return np.full(ids.shape, -1)
        by_id, order = self._sorted
        at = np.searchsorted(by_id, ids, side="right") - 1
        return np.where((at >= 0) & (by_id[at] == ids), order[at], -1)


@dataclass(frozen=True)
class Segment:
    """Rows that never change, their ids (None: row numbers), codes (None: too few to be worth it) and removals."""

    rows: npt.NDArray[Any]
    lookup: Lookup | None
    codes: _core.ItemCodes | None
    borrowed: bool = False  # the caller's array
    removed_at: npt.NDArray[np.uint32] | None = None  # entries only ever turn from NEVER_REMOVED into a version
    removed: int = 0

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    @property
    def ids(self) -> Ids | None:
        """Ids of the rows, None where they are row numbers."""
        return None if self.lookup is None else self.lookup.ids

    @property
    def survivors(self) -> float | None:
        """The share of pairs that heads let through when they were made; None without heads."""
        return None if self.codes is None or self.codes.head is None else self.codes.survivors

    @property
    def all_ids(self) -> Ids:
        """Ids of the rows, also where they are row numbers."""
        return np.arange(len(self), dtype=np.int64) if self.ids is None else self.ids

    def find(self, ids: Ids) -> Ids:
        """Return the row of each id, -1 where there is none."""
        if self.lookup is None:
            return np.where((ids >= 0) & (ids < len(self)), ids, -1)
        return self.lookup.find(ids)

    def alive(self, version: int) -> npt.NDArray[np.bool_]:
        """Return a mask of the rows that a reader of this version sees."""
        if self.removed_at is None:
            return np.ones(len(self), np.bool_)
        return self.removed_at[: len(self)] > version

    def rows_of(self, ids: Ids) -> Ids:
        """Return the rows of those ids that it has, ascending."""
        rows = self.find(ids)
        return np.unique(rows[rows >= 0])

    def rows_of_lists(self, indptr: Ids, ids: Ids) -> tuple[Ids, Ids]:
        """Return lists of ids as lists of rows; ids that it does not have fall out."""
        query_of = np.repeat(np.arange(indptr.shape[0] - 1), np.diff(indptr))
        rows = self.find(ids)
        kept = rows >= 0
        query_of, rows = query_of[kept], rows[kept]
        order = np.lexsort((rows, query_of))
        counts = np.bincount(query_of, minlength=indptr.shape[0] - 1)
        return np.concatenate([[0], np.cumsum(counts)]), rows[order]

    def item_set(self, version: int) -> _core.ItemSet:
        """Return what a search takes: the rows as a reader of this version sees them."""
        return _core.ItemSet(self.rows, self.ids, self.codes, self.removed_at, version, self.removed)


@dataclass(frozen=True)
class Snapshot:
    """What the readers of one version see: all segments, the last one the tail; ``count`` rows that are not removed."""

    segments: tuple[Segment, ...]
    version: int
    count: int

    @cached_property
    def item_sets(self) -> tuple[_core.ItemSet, ...]:
        """What a search takes, in the order of ``searched``."""
        return tuple(segment.item_set(self.version) for segment in self.segments if len(segment))

    @property
    def searched(self) -> tuple[Segment, ...]:
        """The segments that have rows."""
        return tuple(segment for segment in self.segments if len(segment))

    def locate(self, ids: Ids) -> tuple[Ids, Ids]:
        """Return the segment (-1: none) and row of each id that readers see."""
        segment_of, row_of = np.full(ids.shape, -1), np.full(ids.shape, -1)
        for number, segment in enumerate(self.segments):
            rows = segment.find(ids)
            if segment.removed_at is not None:
                rows = np.where((rows >= 0) & (segment.removed_at[rows] > self.version), rows, -1)
            segment_of[rows >= 0], row_of[rows >= 0] = number, rows[rows >= 0]
        return segment_of, row_of
