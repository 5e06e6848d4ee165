"""From generated vectors to one list a user: exact searches, their lists joined, diversity.

Items are ranked by

    score(u, i) = w_i · fuse_g cos(g, v_i),    w_i = ((1 + c_i) / (1 + max c)) ** popularity

with g the vectors generated for the user, v_i the item's vector and c_i the number of users who have it. ``fuse`` is
the maximum (what any of the vectors found: the best lists of all of them are searched exactly and merged) or the mean
(what they agree on: as the mean of inner products is the inner product with the mean, one exact search does it). With
``popularity=0`` the weights are 1, and a score is a cosine or a mean of cosines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK, cosine_topk
from aigc_fast.recommender.arguments import as_amount, as_count, as_real
from aigc_fast.recommender.fusion import head, merge_topk, repeat_rows
from aigc_fast.recommender.request import Request
from aigc_fast.recommender.reranking import rerank

Float32 = npt.NDArray[np.float32]
Fusion = Literal["mean", "max"]

#: Generated vectors that are searched in one call: bounds the blocks of vectors, of exclusions and of nominees.
BLOCK_QUERIES = 32_768
#: Candidates for each item of a list that diversity chooses from.
CANDIDATES_PER_ITEM = 5


@dataclass(frozen=True)
class Ranking:
    """How generated vectors become a list; `GenerativeRecommender` documents the fields."""

    n_vectors: int
    fusion: Fusion
    popularity: float
    diversity: float

    @classmethod
    def checked(cls, n_vectors: Any, fusion: Any, popularity: Any, diversity: Any) -> Ranking:
        """Return the settings, or say which one is wrong."""
        if fusion not in ("mean", "max"):
            raise ValueError(f"fusion is {fusion!r}; 'mean' or 'max' is taken")
        return cls(
            as_count("n_vectors", n_vectors, minimum=1),
            fusion,
            as_amount("popularity", popularity),
            as_real("diversity", diversity, "a number from 0 to 1", lambda share: 0 <= share <= 1),
        )

    def weighted(self, item_vectors: Float32, counts: npt.NDArray[np.float64]) -> Float32:
        """Return item vectors times the weights w of the formula."""
        if not self.popularity:
            return item_vectors
        weights = ((1 + counts) / (1 + counts.max())) ** self.popularity
        return np.asarray(item_vectors * weights[:, None], np.float32)

    def lists(
        self,
        generate: Callable[[slice], Float32],
        items: Float32,
        request: Request,
        threshold: float | None,
    ) -> TopK:
        """Return the lists of the request from the weighted items (n_items, d), block by block.

        ``generate`` returns the vectors (m, n_vectors, d) of a slice of the users.
        """
        return request.in_blocks(
            max(1, BLOCK_QUERIES // self.n_vectors),
            lambda rows, block: self._best(generate(rows), items, block, threshold),
        )

    def _best(self, generated: Float32, items: Float32, request: Request, threshold: float | None) -> TopK:
        n = request.n
        if not self.diversity or not n:
            return self._searched(generated, items, request, threshold)
        candidates = self._searched(generated, items, request._replace(n=CANDIDATES_PER_ITEM * n), threshold)
        return rerank(candidates, items, n, trade_off=1 - self.diversity)

    def _searched(self, generated: Float32, items: Float32, request: Request, threshold: float | None) -> TopK:
        n, exclude, allow = request.n, request.exclude, request.allow
        if self.fusion == "mean":
            centres = generated.mean(axis=1, dtype=np.float64).astype(np.float32)
            return cosine_topk(
                centres, items, n, metric="inner_product", threshold=threshold, exclude=exclude, allow=allow
            )
        times = generated.shape[1]
        found = cosine_topk(
            generated.reshape(-1, generated.shape[2]),
            items,
            n,
            metric="inner_product" if self.popularity else "cosine",
            threshold=threshold,
            exclude=None if exclude is None else repeat_rows(exclude, times),
            allow=repeat_rows(allow, times) if isinstance(allow, tuple) else allow,
        )
        return head(merge_topk(found, len(generated)), n)


def adopters(user_items: csr_matrix, n_new_items: int) -> npt.NDArray[np.float64]:
    """Return the number of users with a value above 0 for each item; the last, new ones have the median at least."""
    counts = np.bincount(user_items.indices[user_items.data > 0], minlength=user_items.shape[1]).astype(np.float64)
    n_old = len(counts) - n_new_items
    counts[n_old:] = np.maximum(counts[n_old:], np.median(counts[:n_old]))
    return counts
