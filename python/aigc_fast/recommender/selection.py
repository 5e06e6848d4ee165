"""Select the best items of rows of scores with the kernels, so that every list obeys one order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK, cosine_topk
from aigc_fast.recommender.arguments import Pattern, pattern_rows
from aigc_fast.recommender.request import Request

#: Rows of scores, missing ones NaN or without an entry.
Scores: TypeAlias = csr_matrix | npt.NDArray[np.floating[Any]]

#: Rows that are scored at a time: bounds the block of scores.
BATCH_ROWS = 512

_ONE = np.ones((1, 1), np.float32)


def top_of_scores(
    scores: Scores,
    n: int,
    exclude: Pattern | None = None,
    allow: Pattern | npt.NDArray[np.bool_] | None = None,
) -> TopK:
    """Best ``n`` entries of each row of ``scores``, by score descending, then column ascending.

    A row of scores is a table of one-dimensional items and the query is 1, so their inner product is the
    score itself; NaN, and columns without an entry, are never returned. Scores are rounded to float32
    before the selection, so the order is that of the scores returned.
    """
    n_rows, n_items = scores.shape
    result = TopK(np.empty((n_rows, n), np.float32), np.empty((n_rows, n), np.int64), np.empty(n_rows, np.int64))
    line = np.empty((n_items, 1), np.float32)
    for row in range(n_rows):
        if isinstance(scores, np.ndarray):
            line[:, 0] = scores[row]
        else:
            entries = slice(scores.indptr[row], scores.indptr[row + 1])
            line.fill(np.nan)
            line[scores.indices[entries], 0] = scores.data[entries]
        this = slice(row, row + 1)
        cosine_topk(
            _ONE,
            line,
            n,
            metric="inner_product",
            exclude=None if exclude is None else pattern_rows(exclude, row, row + 1),
            allow=pattern_rows(allow, row, row + 1) if isinstance(allow, tuple) else allow,
            out=TopK(result.scores[this], result.ids[this], result.counts[this]),
        )
    return result


def top_in_batches(score: Callable[[slice], Scores], request: Request) -> TopK:
    """Make the lists of a request by scores, computed for a slice of its rows at a time."""
    return request.in_blocks(
        BATCH_ROWS, lambda rows, block: top_of_scores(score(rows), block.n, block.exclude, block.allow)
    )
