"""Recommend by generation: profile and noise → generated vectors → exact search → one list.

For a user's profile the generator draws ``n_vectors`` vectors of content; `ranking` says how they become a list.
"""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK, normalize
from aigc_fast.recommender import generative_file
from aigc_fast.recommender.arguments import (
    CSR,
    Allow,
    as_count,
    as_csr,
    as_dense,
    as_ids,
    as_real,
    as_same_pattern,
)
from aigc_fast.recommender.base import Recommender
from aigc_fast.recommender.generation import VectorGenerator, as_generator, default_generator
from aigc_fast.recommender.histories import merge, union, widen, with_latest_time
from aigc_fast.recommender.pairs import leave_one_out_pairs, training_pairs
from aigc_fast.recommender.profiles import (
    RatingWeight,
    as_half_life,
    as_rating_weight,
    interaction_weights,
    weighted_profiles,
)
from aigc_fast.recommender.ranking import Fusion, Ranking, adopters
from aigc_fast.recommender.request import Request
from aigc_fast.recommender.vectors import collaborative_vectors, nearest_others

if TYPE_CHECKING:
    from typing import Self  # Python 3.11; annotations are not evaluated

Float32 = npt.NDArray[np.float32]

#: Width of the item vectors that `fit` makes where none are given.
DEFAULT_DIM = 64


class GenerativeRecommender(Recommender):
    """Recommend the items nearest to vectors that a generator draws for the user's profile.

    Parameters
    ----------
    gan
        The generator, an untrained `aigc_fast.gan.ContentGAN` as a rule. None: one with its defaults.
    n_vectors
        Vectors generated for each user.
    fusion
        "mean" or "max" of the cosines to them, see `aigc_fast.recommender.ranking`.
    popularity
        Exponent of the popularity weight, at least 0. 0: pure cosine.
    diversity
        In [0, 1]: re-rank five candidates an item by maximal marginal relevance, with this weight of diversity (1 - λ
        of `rerank`; scores then need not descend). 0: no.
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
    _n_new_items: int
    _learned = ("item_vectors_", "gan_", "_times", "_n_new_items")

    def __init__(
        self,
        gan: VectorGenerator | None = None,
        *,
        n_vectors: int = 32,
        fusion: Fusion = "mean",
        popularity: float = 0.0,
        diversity: float = 0.0,
        rating_weight: RatingWeight = "raw",
        half_life: float | None = None,
        validation_fraction: float = 0.02,
        max_pairs: int = 1_000_000,
        seed: int = 0,
    ) -> None:
        self.gan = None if gan is None else as_generator(gan)
        self._set_ranking(Ranking.checked(n_vectors, fusion, popularity, diversity))
        self.rating_weight = as_rating_weight(rating_weight)
        self.half_life = None if half_life is None else as_half_life(half_life)
        self.validation_fraction = as_real(
            "validation_fraction", validation_fraction, "a number in [0, 1)", lambda share: 0 <= share < 1
        )
        self.max_pairs = as_count("max_pairs", max_pairs, minimum=1)
        self.seed = as_count("seed", seed)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in asdict(self._ranking).items())
        return f"{type(self).__name__}({settings})"

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
            The new interactions, with ``half_life`` as of the user's latest time. A known one gets the new value.
        epochs
            Passes of the generator over the new pairs, and the old ones beside them. 0: it stays as it is.
        replay
            Old pairs drawn beside each new one, so that what the new ones do not show is not forgotten.
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
            pairs = leave_one_out_pairs(self._weights, self.item_vectors_, np.concatenate([entries, beside]))
            if len(pairs.vectors):
                self.gan_.partial_fit(*pairs, epochs=passes)
        return self

    def with_ranking(self, **changes: Any) -> Self:
        """Return a recommender with the same trained generator and another ranking, without training again.

        Parameters
        ----------
        **changes
            ``n_vectors``, ``fusion``, ``popularity`` and ``diversity`` as in the constructor; what is not named stays.
        """
        self._fitted()
        other = copy.copy(self)
        other._set_ranking(Ranking.checked(**(asdict(self._ranking) | changes)))
        other._rows = other._ranking.weighted(self.item_vectors_, self.popularity_)
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
        request = self._request(user_ids, n, user_items, exclude_seen, allow)
        if exclude is not None:
            further = as_csr("exclude", exclude, request.history.shape)
            pattern, seen = (further.indptr, further.indices), request.exclude
            request = request._replace(exclude=pattern if seen is None else union(seen, pattern, further.shape[1]))
        profiles = self.profiles_[request.user_ids] if user_items is None else self._profiles_of(request.history)
        return self._lists(request, profiles, threshold)

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
        **training: Any,
    ) -> None:
        if item_vectors is None:
            if min(user_items.shape) < 2:
                raise ValueError(
                    f"user_items has shape {user_items.shape}; two users and two items at least are taken where no "
                    f"item_vectors come"
                )
            item_vectors = collaborative_vectors(user_items, min(DEFAULT_DIM, min(user_items.shape) - 1))
        vectors = normalize(as_dense("item_vectors", item_vectors, user_items.shape[1])).astype(np.float32)
        times = None if timestamps is None else as_same_pattern("timestamps", timestamps, user_items, "user_items")
        self.item_vectors_, self._times, self._n_new_items = vectors, times, 0
        try:
            self._set_history(user_items)
            pairs, held_out = training_pairs(
                self._weights, self.item_vectors_, self.max_pairs, self.validation_fraction, self.seed
            )
            self.gan_ = default_generator(self.seed) if self.gan is None else self.gan
            self.gan_.fit(*pairs, validation=held_out, **training)
        except Exception:  # an interrupted training leaves its last epoch, which serves; a failed one nothing
            del self.user_items_
            raise

    def _recommend(self, request: Request) -> TopK:
        return self._lists(request, self._profiles_of(request.history), None)

    def _lists(self, request: Request, profiles: Float32, threshold: float | None) -> TopK:
        def generate(rows: slice) -> Float32:
            return self._generate(profiles[rows], self.n_vectors)

        return self._ranking.lists(generate, self._rows, request, threshold)

    def _generate(self, profiles: Float32, count: int) -> Float32:
        known = profiles.any(axis=1, keepdims=True)
        conditions = np.where(known, profiles, self.mean_profile_)
        generated = self.gan_.generate(conditions, count, seed=np.full(len(profiles), self.seed))
        return np.asarray(generated, np.float32)

    def _similar_items(self, item_ids: npt.NDArray[np.int64], n: int) -> TopK:
        return nearest_others(self.item_vectors_, item_ids, n)

    def _similar_users(self, user_ids: npt.NDArray[np.int64], n: int) -> TopK:
        return nearest_others(self.profiles_, user_ids, n)

    def _saved(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return generative_file.saved(self)

    @classmethod
    def _restored(cls, parameters: dict[str, Any], learned: dict[str, Any]) -> Self:
        return generative_file.restored(cls, parameters, learned)

    def _set_ranking(self, ranking: Ranking) -> None:
        self._ranking = ranking
        self.n_vectors, self.fusion = ranking.n_vectors, ranking.fusion
        self.popularity, self.diversity = ranking.popularity, ranking.diversity

    def _set_history(self, user_items: csr_matrix) -> None:
        """Bring up to date all that follows from the history and the item vectors."""
        self.user_items_ = user_items
        self._weights = interaction_weights(user_items, self.rating_weight, self._times, self.half_life)
        self.profiles_ = weighted_profiles(self._weights, self.item_vectors_)
        self.mean_profile_ = normalize(self.profiles_.sum(axis=0, keepdims=True))[0]
        self.popularity_ = adopters(user_items, self._n_new_items)
        self._rows = self._ranking.weighted(self.item_vectors_, self.popularity_)

    def _profiles_of(self, history: csr_matrix) -> Float32:
        return weighted_profiles(interaction_weights(history, self.rating_weight, None, None), self.item_vectors_)
