"""How an index codes its rows: int8 codes, heads where they pay, progress of a long build."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aigc_fast import _core, index_head
from aigc_fast.arrays import threads
from aigc_fast.errors import require

if TYPE_CHECKING:
    import numpy.typing as npt

    from aigc_fast.segments import Ids

_FEWEST_ROWS = 256  # fewer are scored directly in no time


class RowCoder:
    """Codes for the searches by one metric; None where none are wanted, or rows are too few or too long for them."""

    def __init__(self, metric: str, num_threads: int | None, *, wanted: bool) -> None:
        self._wanted = wanted
        self._metric = metric
        self._num_threads = num_threads

    def build(self, rows: npt.NDArray[Any], ids: Ids | None, progress: bool = False) -> _core.ItemCodes | None:
        """Code the first rows of an index, with heads where a sample says that they pay."""
        codes = self._encode(rows, ids, progress)
        return None if codes is None else index_head.with_head(rows, codes, self._metric, threads(self._num_threads))

    def encode(self, rows: npt.NDArray[Any], ids: Ids | None, like: _core.ItemCodes | None) -> _core.ItemCodes | None:
        """Code rows, with heads along the same directions as those of other codes."""
        codes = self._encode(rows, ids, progress=False)
        if codes is None or like is None or like.head is None:
            return codes
        basis = like.head.arrays()["basis"]
        return index_head.encode_heads(rows, codes, self._metric, threads(self._num_threads), basis, like.survivors)

    def _encode(self, rows: npt.NDArray[Any], ids: Ids | None, progress: bool) -> _core.ItemCodes | None:
        if not self._wanted or rows.shape[0] < _FEWEST_ROWS or rows.shape[1] > _core.MAX_CODED_COLUMNS:
            return None
        arguments = (rows, ids, self._metric, threads(self._num_threads))
        if not progress:
            return _core.ItemCodes.encode(*arguments)
        with require("tqdm", "index").tqdm(total=rows.shape[0], unit="row", unit_scale=True) as bar:
            return _core.ItemCodes.encode(*arguments, lambda done: bar.update(done - bar.n))
