"""A market of users with hidden tastes: what they adopt of the lists that they are shown.

Users and items have hidden unit vectors; item i is adopted by user u who looks at it with probability

    p(u, i) = σ(sharpness · (u·v_i + a_i − difficulty)),    a_i: the appeal of the item to everybody, normal

A list is looked at from the top: slot r (from 1) with probability r^(−attention) (the position bias of Joachims,
Swaminathan and Schnabel, WSDM 2017). An adopted item joins the history, is never adopted again, and is what a
recommender learns from at its next training.

`MarketEnv` has the shape of a gymnasium environment (``reset``, ``step``) without needing that package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.special import expit

from aigc_fast import TopK, normalize
from aigc_fast.recommender.arguments import as_amount, as_count, as_listed, as_real
from aigc_fast.recommender.histories import merge, pattern_of_lists


@dataclass(frozen=True)
class Market:
    """What `MarketEnv` is made of.

    Attributes
    ----------
    n_users, n_items, dim
        Sizes; ``dim`` is that of the hidden vectors.
    n_groups, spread
        Tastes and items gather around this many directions, with this standard deviation in each dimension.
    sharpness, difficulty, appeal
        Of the probability of adoption, see the top of this module; ``appeal`` is the standard deviation of a.
    attention
        Exponent of the position bias; 0: every slot is looked at.
    history
        Items that each user is shown at random before the first round; what they adopt starts the histories.
    """

    n_users: int = 200
    n_items: int = 400
    dim: int = 16
    n_groups: int = 8
    spread: float = 0.15
    sharpness: float = 6.0
    difficulty: float = 0.5
    appeal: float = 0.2
    attention: float = 0.7
    history: int = 60

    def __post_init__(self) -> None:
        for name in ("n_users", "n_items", "dim", "n_groups"):
            as_count(name, getattr(self, name), minimum=1)
        as_count("history", self.history)
        for name in ("spread", "sharpness", "appeal", "attention"):
            as_amount(name, getattr(self, name))
        as_real("difficulty", self.difficulty, "a finite number", lambda _: True)


class MarketEnv:
    """The market as an environment: an action is a list for every user, the reward the adoptions a user.

    Parameters
    ----------
    market
        Sizes and behaviour.

    Attributes
    ----------
    user_items : (n_users, n_items) CSR
        Histories so far, which is also the observation.
    user_vectors_, item_vectors_, appeal_ : float64
        The hidden truth, for measuring only.

    Examples
    --------
    >>> env = MarketEnv(Market(n_users=20, n_items=30, history=10))
    >>> history, info = env.reset(seed=1)
    >>> lists = TopK(np.zeros((20, 2)), np.tile([3, 5], (20, 1)), np.full(20, 2))
    >>> history, reward, terminated, truncated, info = env.step(lists)
    >>> history.shape, 0 <= reward <= 2, terminated
    ((20, 30), True, False)
    """

    user_items: csr_matrix
    user_vectors_: npt.NDArray[np.float64]
    item_vectors_: npt.NDArray[np.float64]
    appeal_: npt.NDArray[np.float64]

    def __init__(self, market: Market | None = None) -> None:
        self.market = Market() if market is None else market

    def reset(self, *, seed: int | None = None) -> tuple[csr_matrix, dict[str, Any]]:
        """Draw new tastes and first histories; the same ones for the same seed."""
        market, self._rng = self.market, np.random.default_rng(seed)
        groups = self._rng.standard_normal((market.n_groups, market.dim)) / np.sqrt(market.dim)
        self.user_vectors_ = self._around(groups, market.n_users)
        self.item_vectors_ = self._around(groups, market.n_items)
        self.appeal_ = market.appeal * self._rng.standard_normal(market.n_items)
        self.user_items = csr_matrix((market.n_users, market.n_items), dtype=np.float32)
        shown = min(market.history, market.n_items)
        ids = np.argsort(self._rng.random((market.n_users, market.n_items)), axis=1)[:, :shown]
        self._adopt(ids, np.ones(shown))
        return self.user_items, {}

    def step(self, action: TopK) -> tuple[csr_matrix, float, bool, bool, dict[str, Any]]:
        """Show a list to every user.

        Parameters
        ----------
        action
            Lists (n_users, n); missing slots are empty.

        Returns
        -------
        observation : (n_users, n_items) CSR
            Histories after the round.
        reward : float
            Adoptions a user.
        terminated : bool
            Whether no user is left with anything to adopt.
        truncated : bool
            Always False; the number of rounds is the caller's.
        info : dict
            "adopted": (n_users, n_items) CSR of this round.

        Raises
        ------
        RuntimeError
            Before `reset`.
        ValueError
            No list for every user, or one with an id out of range or twice.
        """
        if not hasattr(self, "user_items"):
            raise RuntimeError("there is no market yet; call reset first")
        ids = as_listed("action.ids", action.ids, self.market.n_users, self.market.n_items)
        looked = np.arange(1, ids.shape[1] + 1) ** -self.market.attention
        adopted = self._adopt(ids, looked)
        done = self.user_items.nnz == self.market.n_users * self.market.n_items
        return self.user_items, adopted.nnz / self.market.n_users, done, False, {"adopted": adopted}

    def probability(self, ids: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
        """Probability that users adopt the items of their row of ``ids`` (n_users, n) when looking at them; -1: 0."""
        affinity = np.einsum("ud,und->un", self.user_vectors_, self.item_vectors_[ids]) + self.appeal_[ids]
        chance = expit(self.market.sharpness * (affinity - self.market.difficulty))
        return np.where(ids < 0, 0, chance)

    def _around(self, groups: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
        member = groups[self._rng.integers(len(groups), size=count)]
        drawn = member + self.market.spread * self._rng.standard_normal(member.shape)
        return np.asarray(normalize(drawn), np.float64)

    def _adopt(self, ids: npt.NDArray[np.integer[Any]], looked: npt.NDArray[np.float64]) -> csr_matrix:
        """Let users act on lists, and put what is new to them into the histories."""
        yes = self._rng.random(ids.shape) < looked * self.probability(ids)
        kept = TopK(np.zeros(ids.shape), np.where(yes, ids, -1), yes.sum(axis=1))
        adopted = pattern_of_lists(kept, self.market.n_items)
        adopted = csr_matrix(adopted - adopted.multiply(self.user_items))
        adopted.eliminate_zeros()
        self.user_items = merge(self.user_items, adopted).history
        return adopted
