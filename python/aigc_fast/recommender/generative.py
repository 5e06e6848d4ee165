"""Recommend by generation: profile and noise → generated vectors → exact search → one list.

For a user with profile p the generator draws ``n_vectors`` vectors g of content that the user would like, and the
items are ranked by

    score(u, i) = w_i · fuse_g cos(g, v_i),    w_i = ((1 + c_i) / (1 + max c)) ** popularity

with v_i the item's vector and c_i the number of users who have it. ``fuse`` is the maximum (what any of the vectors
found: the best lists of all of them are searched exactly and merged) or the mean (what they agree on: as the mean of
inner products is the inner product with the mean, one exact search does it). With ``popularity=0`` the weights are 1,
and a score is a cosine or a mean of cosines.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK, cosine_topk, normalize
from aigc_fast.recommender.arguments import (
    CSR,
    Allow,
    Pattern,
    as_allow,
    as_count,
    as_csr,
    as_dense,
    as_ids,
    as_same_pattern,
    pattern_rows,
)
from aigc_fast.recommender.base import Recommender
from aigc_fast.recommender.fusion import head, merge_topk, repeat_rows
from aigc_fast.recommender.generation import VectorGenerator
from aigc_fast.recommender.histories import merge, union, widen, with_latest_time
from aigc_fast.recommender.pairs import Pairs, interaction_weights, leave_one_out_pairs, weighted_profiles
from aigc_fast.recommender.profiles import RatingWeight
from aigc_fast.recommender.vectors import collaborative_vectors

if TYPE_CHECKING:
    from typing import Self  # Python 3.11; annotations are not evaluated

Float32 = npt.NDArray[np.float32]
Fusion = Literal["mean", "max"]

#: Generated vectors that are searched in one call: bounds the blocks of vectors, of exclusions and of nominees.
BLOCK_QUERIES = 32_768
#: Width of the item vectors that `fit` makes where none are given.
DEFAULT_DIM = 64
#: Pairs held out for the quality curves and the early stop: no more than this, and none if it were fewer.
MOST_VALIDATION_PAIRS, LEAST_VALIDATION_PAIRS = 1000, 100


class GenerativeRecommender(Recommender):
    """Recommend the items nearest to vectors that a generator draws for the user's profile.

    Parameters
    ----------
    gan
        The generator, an untrained `aigc_fast.gan.ContentGAN` as a rule. None: one with its defaults.
    n_vectors
        Vectors generated for each user.
    fusion
        "mean" or "max", see the top of this module.
    popularity
        Exponent of the popularity weight, at least 0. 0: pure cosine.
    rating_weight, half_life
        Weights of the interactions in a profile, see `user_profiles`. ``half_life`` takes ``timestamps`` in
        `fit`; histories given to `recommend` have no times and count alike.
    validation_fraction
        Share of the training pairs (1000 at most) that the generator does not train on; its quality curves and
        its early stop look at them. Fewer than 100 are not held out. 0: none.
    max_pairs
        Pairs trained on at most, drawn at random: they are held in memory, 8·d bytes each.
    seed
        Seeds the choice of pairs and the noise. All users get the same noise, so a list depends on
        the user's profile alone, and not on who else is asked for.

    Attributes
    ----------
    item_vectors_ : (n_items, d) float32
        Unit rows, zero for items of which nothing is known.
    popularity_ : (n_items,) float64
        c_i of the formula: users with a value above 0. Items that `add_items` brought count like the median item at
        least: new is not unpopular.
    profiles_ : (n_users, d) float32
        Profiles of the training users, unit rows.
    mean_profile_ : (d,) float32
        Profile of the average user. It stands in for users without history.
    gan_ : VectorGenerator
        The trained generator.

    Notes
    -----
    A list costs ``n_vectors`` passes through the generator, and as many exact searches for "max", one for "mean". A
    user needs nothing but a history (``recommend(user_ids, user_items=…)``) and an item nothing but a vector
    (`add_items`): both may be new.

    Examples
    --------
    >>> from scipy.sparse import random_array
    >>> from aigc_fast.gan import ContentGAN
    >>> history = random_array((30, 20), density=0.3, format="csr", rng=0)
    >>> model = GenerativeRecommender(ContentGAN(epochs=1)).fit(history)
    >>> model.recommend([3, 5], n=4).ids.shape
    (2, 4)
    """

    item_vectors_: Float32
    popularity_: npt.NDArray[np.float64]
    profiles_: Float32
    mean_profile_: Float32
    gan_: VectorGenerator
    _times: csr_matrix | None

    def __init__(
        self,
        gan: VectorGenerator | None = None,
        *,
        n_vectors: int = 32,
        fusion: Fusion = "mean",
        popularity: float = 0.0,
        rating_weight: RatingWeight = "raw",
        half_life: float | None = None,
        validation_fraction: float = 0.02,
        max_pairs: int = 1_000_000,
        seed: int = 0,
    ) -> None:
        self.gan = gan
        self._set_ranking(n_vectors, fusion, popularity)
        self.rating_weight: RatingWeight = rating_weight
        if half_life is not None and not (np.isfinite(half_life) and half_life > 0):
            raise ValueError(f"half_life is {half_life}; a positive number is taken")
        self.half_life = half_life
        if not 0 <= validation_fraction < 1:
            raise ValueError(f"validation_fraction is {validation_fraction}; a number in [0, 1) is taken")
        self.validation_fraction = validation_fraction
        self.max_pairs = as_count("max_pairs", max_pairs, minimum=1)
        self.seed = as_count("seed", seed)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(n_vectors={self.n_vectors}, fusion={self.fusion!r}, popularity={self.popularity:g})"
        )

    def fit(
        self,
        user_items: CSR,
        *,
        item_vectors: npt.ArrayLike | None = None,
        timestamps: CSR | None = None,
        checkpoint_dir: str | Path | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> Self:
        """Train the generator on the items of the users, each given the user's profile without that item.

        Parameters
        ----------
        user_items : (n_users, n_items) CSR
            Interactions; values are ratings or weights.
        item_vectors : (n_items, d), optional
            Vectors of the items; lengths do not matter. None: `collaborative_vectors` of ``user_items``.
        timestamps : (n_users, n_items) CSR, optional
            Times of the interactions, same pattern; ``half_life`` needs them.
        checkpoint_dir, resume, progress
            Handed to the generator's ``fit``.

        Raises
        ------
        MissingExtraError
            No generator was given, and PyTorch is not installed.
        ValueError, TypeError
            An argument of the wrong type, shape or range; or no interaction makes a training pair.
        """
        self._fit(
            as_csr("user_items", user_items, dtype=np.float32),
            item_vectors=item_vectors,
            timestamps=timestamps,
            checkpoint_dir=checkpoint_dir,
            resume=resume,
            progress=progress,
        )
        return self

    def partial_fit(self, user_items: CSR, *, epochs: int = 1, replay: int = 16) -> Self:
        """Take new interactions in: profiles and popularity are brought up to date, the generator is fine-tuned.

        Parameters
        ----------
        user_items : (n_users, n_items) CSR
            The new interactions. One that is known already gets the new value.
        epochs
            Passes of the generator over the new pairs, and the old ones beside them. 0: it stays as it is.
        replay
            Old pairs drawn beside each new one, so that what the new ones do not show is not forgotten.

        Notes
        -----
        With ``half_life``, new interactions count as made at the user's latest time.
        """
        known = self._fitted()
        new = as_csr("user_items", user_items, known.shape, np.float32)
        passes, kept = as_count("epochs", epochs), as_count("replay", replay)
        history, entries = merge(known, new)
        if self._times is not None:
            self._times = with_latest_time(self._times, new)
        self._set_history(history)
        if passes:
            old = np.setdiff1d(np.arange(history.nnz), entries, assume_unique=True)
            size = min(kept * len(entries), len(old))
            beside = np.random.default_rng(self.seed).choice(old, size, replace=False)
            pairs = self._pairs(np.concatenate([entries, beside]))
            if len(pairs.vectors):
                self.gan_.partial_fit(*pairs, epochs=passes)
        return self

    def with_ranking(
        self, *, n_vectors: int | None = None, fusion: Fusion | None = None, popularity: float | None = None
    ) -> Self:
        """Return a recommender with the same trained generator and another ranking, without training again.

        Parameters
        ----------
        n_vectors, fusion, popularity
            As in the constructor; None keeps the value.
        """
        self._fitted()
        other = copy.copy(self)
        other._set_ranking(
            self.n_vectors if n_vectors is None else n_vectors,
            self.fusion if fusion is None else fusion,
            self.popularity if popularity is None else popularity,
        )
        other._set_history(self.user_items_)
        return other

    def add_items(self, item_vectors: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Add items that training never saw, such as new ones with nothing but content.

        Parameters
        ----------
        item_vectors : (m, d)
            In the space of the vectors given to `fit`. For vectors of `item_vectors` (content beside
            interactions) that is the content part, with zeros in the place of the interactions.

        Returns
        -------
        (m,) int64
            The ids of the new items, which go on after the last.
        """
        known = self._fitted()
        added = normalize(as_dense("item_vectors", item_vectors)).astype(np.float32)
        if added.shape[1] != self.item_vectors_.shape[1]:
            raise ValueError(
                f"item_vectors has {added.shape[1]} columns; {self.item_vectors_.shape[1]} as in fit are taken"
            )
        n_items = known.shape[1]
        self.item_vectors_ = np.concatenate([self.item_vectors_, added])
        self._n_new_items += len(added)
        if self._times is not None:
            self._times = widen(self._times, len(self.item_vectors_))
        self._set_history(widen(known, len(self.item_vectors_)))
        return np.arange(n_items, len(self.item_vectors_), dtype=np.int64)

    def recommend(
        self,
        user_ids: npt.ArrayLike,
        n: int = 10,
        *,
        user_items: CSR | None = None,
        exclude_seen: bool = True,
        allow: Allow | None = None,
        exclude: CSR | None = None,
        threshold: float | None = None,
    ) -> TopK:
        """Best items for each user.

        Parameters
        ----------
        user_ids, n, user_items, exclude_seen, allow
            As in `Recommender.recommend`. A row without entries gets the list of the average user.
        exclude : (n_lists, n_items) CSR, optional
            Items to leave out beside those of the history (its pattern), for instance those shown before.
        threshold
            Only items whose score reaches this (inclusive). None: all.

        Returns
        -------
        TopK
            scores float32 and ids int64, both (n_lists, n), and counts int64 (n_lists,).
        """
        n_users, n_items = self._fitted().shape
        ids = as_ids("user_ids", user_ids, n_users if user_items is None else None)
        if user_items is None:
            history, profiles = self.user_items_[ids], self.profiles_[ids]
        else:
            history = as_csr("user_items", user_items, (len(ids), n_items), np.float32)
            profiles = self._profiles_of(history)
        left_out = (history.indptr, history.indices) if exclude_seen else None
        if exclude is not None:
            further = as_csr("exclude", exclude, (len(ids), n_items))
            pattern = (further.indptr, further.indices)
            left_out = pattern if left_out is None else union(left_out, pattern, n_items)
        allowed = as_allow(allow, len(ids), n_items)
        return self._recommend(
            ids, history, as_count("n", n), left_out, allowed, profiles=profiles, threshold=threshold
        )

    @property
    def n_users(self) -> int:
        """Number of training users."""
        return int(self._fitted().shape[0])

    @property
    def n_items(self) -> int:
        """Number of items, those of `add_items` included."""
        return int(self._fitted().shape[1])

    def generate(self, user_ids: npt.ArrayLike, n_vectors: int | None = None) -> Float32:
        """Vectors of content generated for training users: those that `recommend` searches with.

        Returns
        -------
        (n_lists, n_vectors, d) float32
            Unit rows.
        """
        ids = as_ids("user_ids", user_ids, self._fitted().shape[0])
        count = self.n_vectors if n_vectors is None else as_count("n_vectors", n_vectors, minimum=1)
        return self._generate(self.profiles_[ids], count)

    def _fit(
        self,
        user_items: csr_matrix,
        *,
        item_vectors: npt.ArrayLike | None = None,
        timestamps: CSR | None = None,
        checkpoint_dir: str | Path | None = None,
        resume: bool = False,
        progress: bool = False,
    ) -> None:
        if item_vectors is None:
            item_vectors = collaborative_vectors(user_items, min(DEFAULT_DIM, min(user_items.shape) - 1))
        vectors = as_dense("item_vectors", item_vectors, user_items.shape[1])
        self.item_vectors_ = normalize(vectors).astype(np.float32)
        self._times = None
        if timestamps is not None:
            self._times = as_same_pattern("timestamps", timestamps, user_items, "user_items")
        self._n_new_items = 0
        self._set_history(user_items)
        try:
            pairs, held_out = self._training_pairs()
            self.gan_ = _default_gan(self.seed) if self.gan is None else self.gan
            self.gan_.fit(*pairs, validation=held_out, checkpoint_dir=checkpoint_dir, resume=resume, progress=progress)
        except Exception:  # an interrupted training leaves its last epoch, which serves; a failed one nothing
            del self.user_items_
            raise

    def _recommend(
        self,
        user_ids: npt.NDArray[np.int64],
        history: csr_matrix,
        n: int,
        exclude: Pattern | None,
        allow: Pattern | npt.NDArray[np.bool_] | None,
        *,
        profiles: Float32 | None = None,
        threshold: float | None = None,
    ) -> TopK:
        rows = self._profiles_of(history) if profiles is None else profiles
        block = max(1, BLOCK_QUERIES // self.n_vectors)
        parts = []
        for first in range(0, max(len(rows), 1), block):  # one block at least, for the shape of an empty result
            last = min(first + block, len(rows))
            left_out = None if exclude is None else pattern_rows(exclude, first, last)
            allowed = pattern_rows(allow, first, last) if isinstance(allow, tuple) else allow
            parts.append(self._search(rows[first:last], n, left_out, allowed, threshold))
        return TopK(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _search(
        self,
        profiles: Float32,
        n: int,
        exclude: Pattern | None,
        allow: Pattern | npt.NDArray[np.bool_] | None,
        threshold: float | None,
    ) -> TopK:
        """Generate, search exactly, fuse."""
        generated = self._generate(profiles, self.n_vectors)
        if self.fusion == "mean":
            centres = generated.mean(axis=1, dtype=np.float64).astype(np.float32)
            return cosine_topk(
                centres, self._rows, n, metric="inner_product", threshold=threshold, exclude=exclude, allow=allow
            )
        found = cosine_topk(
            generated.reshape(-1, generated.shape[2]),
            self._rows,
            n,
            metric="inner_product" if self.popularity else "cosine",
            threshold=threshold,
            exclude=None if exclude is None else repeat_rows(exclude, self.n_vectors),
            allow=repeat_rows(allow, self.n_vectors) if isinstance(allow, tuple) else allow,
        )
        return head(merge_topk(found, len(profiles)), n)

    def _generate(self, profiles: Float32, count: int) -> Float32:
        known = profiles.any(axis=1, keepdims=True)
        conditions = np.where(known, profiles, self.mean_profile_)
        generated = self.gan_.generate(conditions, count, seed=np.full(len(profiles), self.seed))
        return np.asarray(generated, np.float32)

    def _similar_items(self, item_ids: npt.NDArray[np.int64], n: int) -> TopK:
        return _nearest_others(self.item_vectors_, item_ids, n)

    def _similar_users(self, user_ids: npt.NDArray[np.int64], n: int) -> TopK:
        return _nearest_others(self.profiles_, user_ids, n)

    def _set_ranking(self, n_vectors: int, fusion: Fusion, popularity: float) -> None:
        self.n_vectors = as_count("n_vectors", n_vectors, minimum=1)
        if fusion not in ("mean", "max"):
            raise ValueError(f"fusion is {fusion!r}; 'mean' or 'max' is taken")
        self.fusion: Fusion = fusion
        if not (np.isfinite(popularity) and popularity >= 0):
            raise ValueError(f"popularity is {popularity}; a finite number of at least 0 is taken")
        self.popularity = float(popularity)

    def _set_history(self, user_items: csr_matrix) -> None:
        """Bring up to date all that follows from the history and the item vectors."""
        self.user_items_ = user_items
        self._weights = interaction_weights(user_items, self.rating_weight, self._times, self.half_life)
        self.profiles_ = weighted_profiles(self._weights, self.item_vectors_)
        self.mean_profile_ = normalize(self.profiles_.sum(axis=0, keepdims=True))[0]
        liked = user_items.indices[user_items.data > 0]
        counts = np.bincount(liked, minlength=user_items.shape[1]).astype(np.float64)
        n_old = len(counts) - self._n_new_items
        counts[n_old:] = np.maximum(counts[n_old:], np.median(counts[:n_old]))
        self.popularity_ = counts
        if self.popularity:
            weights = ((1 + counts) / (1 + counts.max())) ** self.popularity
            self._rows = (self.item_vectors_ * weights[:, None]).astype(np.float32)
        else:
            self._rows = self.item_vectors_

    def _profiles_of(self, history: csr_matrix) -> Float32:
        return weighted_profiles(interaction_weights(history, self.rating_weight, None, None), self.item_vectors_)

    def _pairs(self, entries: npt.NDArray[np.int64]) -> Pairs:
        return leave_one_out_pairs(self._weights, self.item_vectors_, entries)

    def _training_pairs(self) -> tuple[Pairs, Pairs | None]:
        """Pairs to train on, and those held out."""
        entries = np.random.default_rng(self.seed).permutation(self._weights.nnz)[: self.max_pairs]
        n_held_out = min(int(self.validation_fraction * len(entries)), MOST_VALIDATION_PAIRS)
        if n_held_out < LEAST_VALIDATION_PAIRS:
            n_held_out = 0
        held_out = self._pairs(entries[:n_held_out]) if n_held_out else None
        pairs = self._pairs(entries[n_held_out:])
        if not len(pairs.vectors):
            raise ValueError("user_items: no user has two items with a vector; nothing to train the generator on")
        return pairs, held_out


def _default_gan(seed: int) -> VectorGenerator:
    from aigc_fast.gan import ContentGAN  # PyTorch, which only this default needs

    return ContentGAN(seed=seed)


def _nearest_others(rows: Float32, ids: npt.NDArray[np.int64], n: int) -> TopK:
    return cosine_topk(rows[ids], rows, n, exclude=(np.arange(len(ids) + 1), ids))
