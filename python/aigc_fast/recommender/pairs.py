"""Training pairs of the generator: the vector of an item, and the profile of its user without that item."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import normalize

Float32 = npt.NDArray[np.float32]

#: A profile that is this small beside the interaction taken out of it is what rounding left of nothing.
_NOTHING_LEFT = 1e-6
#: Pairs made at a time: bounds their profiles in float64.
_BLOCK_PAIRS = 4096
#: Pairs held out for quality curves and the early stop: no more than this, and none if it were fewer.
MOST_HELD_OUT, LEAST_HELD_OUT = 1000, 100


class Pairs(NamedTuple):
    """Item vectors (n, d) and the conditions (n, d) that they came with; unit rows."""

    vectors: Float32
    conditions: Float32


def leave_one_out_pairs(weights: csr_matrix, item_vectors: Float32, entries: npt.NDArray[np.int64]) -> Pairs:
    """Pair each interaction's item vector with the profile of its user without that interaction.

    The profile is a weighted sum, so leaving an item out is one subtraction: O(d) a pair. Were the item left
    in, the generator could read the answer from its condition. No pairs come from interactions without a weight above 0
    (what the user did not like), with an item whose vector is zero, or that leave nothing of the profile (a
    user's only item).

    Parameters
    ----------
    weights
        (n_users, n_items), from :func:`aigc_fast.recommender.profiles.interaction_weights`.
    item_vectors
        (n_items, d), unit rows or zero.
    entries
        Positions in ``weights.data`` of the interactions to pair.
    """
    profiles = weights @ item_vectors.astype(np.float64)
    pairs = Pairs(*np.empty((2, len(entries), item_vectors.shape[1]), np.float32))
    n_pairs = 0
    for first in range(0, len(entries), _BLOCK_PAIRS):
        block = entries[first : first + _BLOCK_PAIRS]
        users = np.searchsorted(weights.indptr, block, side="right") - 1
        vectors = item_vectors[weights.indices[block]]
        own = weights.data[block, None]
        rest = profiles[users] - own * vectors
        real = np.linalg.norm(rest, axis=1) > _NOTHING_LEFT * own[:, 0]
        real &= vectors.any(axis=1) & (own[:, 0] > 0)
        last = n_pairs + int(np.count_nonzero(real))
        pairs.vectors[n_pairs:last], pairs.conditions[n_pairs:last] = vectors[real], normalize(rest[real])
        n_pairs = last
    return Pairs(pairs.vectors[:n_pairs], pairs.conditions[:n_pairs])


def training_pairs(
    weights: csr_matrix, item_vectors: Float32, most: int, validation_fraction: float, seed: int
) -> tuple[Pairs, Pairs | None]:
    """Draw interactions, and pair them as :func:`leave_one_out_pairs` does: those to train on, those held out.

    Parameters
    ----------
    weights, item_vectors
        As there.
    most
        Interactions drawn at most.
    validation_fraction
        Share of them held out, `MOST_HELD_OUT` at most; none where that is fewer than `LEAST_HELD_OUT`.
    seed
        Seeds the draw.

    Raises
    ------
    ValueError
        No interaction makes a pair to train on.
    """
    entries = np.random.default_rng(seed).permutation(weights.nnz)[:most]
    n_held_out = min(int(validation_fraction * len(entries)), MOST_HELD_OUT)
    if n_held_out < LEAST_HELD_OUT:
        n_held_out = 0
    held_out = leave_one_out_pairs(weights, item_vectors, entries[:n_held_out]) if n_held_out else None
    pairs = leave_one_out_pairs(weights, item_vectors, entries[n_held_out:])
    if not len(pairs.vectors):
        raise ValueError("user_items: no user has two items with a vector; nothing to train the generator on")
    return pairs, held_out
