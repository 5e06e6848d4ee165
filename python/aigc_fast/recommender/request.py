"""What a recommender is asked for, after the checks: the one argument of `Recommender._recommend`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK
from aigc_fast.recommender.arguments import Pattern, pattern_rows


class Request(NamedTuple):
    """Lists to make, one for each user.

    Attributes
    ----------
    user_ids : (n_lists,) int64
        Those outside the training rows are new users.
    history : (n_lists, n_items) CSR, float32
        What each user has.
    n
        Length of the lists.
    exclude
        Items to leave out of each list; None: none.
    allow
        The only items of each list, or a mask (n_items,) for all lists; None: all items.
    """

    user_ids: npt.NDArray[np.int64]
    history: csr_matrix
    n: int
    exclude: Pattern | None = None
    allow: Pattern | npt.NDArray[np.bool_] | None = None

    def in_blocks(self, size: int, lists: Callable[[slice, Request], TopK]) -> TopK:
        """Make ``size`` lists at a time, by a function of their rows and the request for these; join them."""
        n_lists = len(self.user_ids)
        parts = []
        for first in range(0, max(n_lists, 1), size):  # one block at least, for the shape of an empty result
            rows = slice(first, min(first + size, n_lists))
            parts.append(lists(rows, self._of(rows)))
        return TopK(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _of(self, rows: slice) -> Request:
        exclude = None if self.exclude is None else pattern_rows(self.exclude, rows.start, rows.stop)
        allow = pattern_rows(self.allow, rows.start, rows.stop) if isinstance(self.allow, tuple) else self.allow
        return Request(self.user_ids[rows], self.history[rows], self.n, exclude, allow)
