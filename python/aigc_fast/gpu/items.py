"""What a search goes through: here one matrix; ``gpu/index.py`` has the segments of an index."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_fast import _cuda
from aigc_fast.gpu.arrays import Matrix
from aigc_fast.gpu.memory import Memory, upload


class Items:
    """Rows whose ids are their numbers."""

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        self.segments = [_cuda.Segment(matrix.rows)]
        self.rows, self.dim, self.is_float64 = matrix.rows.rows, matrix.rows.dim, matrix.is_float64
        self.id_count: int | None = self.rows  # None: ids may be any

    def allow(self, ids: npt.NDArray[np.int64], memory: Memory) -> list[Any]:
        """Let queries get these ids alone; returns what has to live until the search is enqueued."""
        flags = np.zeros(self.rows, np.uint8)
        flags[ids] = 1
        kept = upload(memory, flags)
        self.segments = [_cuda.Segment(self._matrix.rows, allowed=memory.pointer(kept))]
        return [kept]
