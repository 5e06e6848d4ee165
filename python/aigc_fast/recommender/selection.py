"""Select the best items of sparse score rows with the kernels, so that every list obeys one order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK, cosine_topk
from aigc_fast.recommender.arguments import Pattern, pattern_rows

_ONE = np.ones((1, 1), np.float32)


def top_of_scores(
    scores: csr_matrix,
    n: int,
    exclude: Pattern | None = None,
    allow: Pattern | npt.NDArray[np.bool_] | None = None,
) -> TopK:
    """Best ``n`` entries of each row of ``scores``, by score descending, then column ascending.

    A row of scores is a table of one-dimensional items and the query is 1, so their inner product is the
    score itself; columns without an entry are NaN, which the kernel never returns. Scores are rounded to float32
    before the selection, so the order is that of the scores returned.
    """
    n_rows, n_items = scores.shape
    result = TopK(np.empty((n_rows, n), np.float32), np.empty((n_rows, n), np.int64), np.empty(n_rows, np.int64))
    line = np.empty((n_items, 1), np.float32)
    for row in range(n_rows):
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
