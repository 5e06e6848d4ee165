"""Recommenders in a closed loop: a market whose users adopt what lists show, over rounds and seeds.

Feedback loops narrow what people get: individual diversity falls and demand concentrates (Chaney, Stewart and
Engelhardt, RecSys 2018). `simulate` measures both in a `market`, beside a control that never trains again, and
exploration is one arm against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK
from aigc_fast.errors import require
from aigc_fast.recommender.arguments import CSR, as_count, as_csr, as_real, as_scored
from aigc_fast.recommender.base import Recommender
from aigc_fast.recommender.evaluation.metrics import evaluate, gini
from aigc_fast.recommender.histories import merge, pattern_of_lists
from aigc_fast.recommender.market import Market, MarketEnv
from aigc_fast.recommender.request import Request
from aigc_fast.recommender.selection import top_in_batches

#: Measures of a round that `simulate` reports and plots.
MEASURES = ("quality", "adoptions", "diversity", "coverage", "concentration", "homogeneity")
#: Pairs of users that homogeneity is averaged over.
_PAIRS = 2000


class RandomItems(Recommender):
    """Recommend items at random, others at every call: the arm without any feedback loop.

    Parameters
    ----------
    seed
        Seeds the draws; the same calls in the same order give the same lists.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = as_count("seed", seed)
        self._rng = np.random.default_rng(self.seed)

    def _fit(self, user_items: csr_matrix) -> None:
        """Learn nothing."""

    def _recommend(self, request: Request) -> TopK:
        n_items = request.history.shape[1]
        return top_in_batches(
            lambda rows: self._rng.random((rows.stop - rows.start, n_items), dtype=np.float32), request
        )


def explore(lists: TopK, user_items: CSR, share: float, seed: int) -> TopK:
    """Give a share of the slots, from the end of each list, to random items neither in the list nor in the history.

    Parameters
    ----------
    lists
        Of n slots, one row for each row of ``user_items``.
    user_items : (n_lists, n_items) CSR
        Histories.
    share
        Of the slots, from 0 to 1; rounded to whole slots.
    seed
        Seeds the draws.

    Returns
    -------
    TopK
        Of n slots; random items have the scores of `RandomItems`, missing slots come last.

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong type, shape or range.
    """
    seen = as_csr("user_items", user_items)
    ids, scores = as_scored("lists", lists, *seen.shape)
    n = ids.shape[1]
    kept = n - round(as_real("share", share, "a number from 0 to 1", lambda part: 0 <= part <= 1) * n)
    head = TopK(scores[:, :kept], ids[:, :kept], (ids[:, :kept] >= 0).sum(axis=1))
    taken = merge(seen, pattern_of_lists(head, seen.shape[1])).history
    drawn = RandomItems(seed).fit(taken).recommend(np.arange(len(ids)), n - kept)
    ids = np.concatenate([head.ids, drawn.ids], axis=1)
    scores = np.concatenate([head.scores, drawn.scores], axis=1)
    order = np.argsort(ids < 0, axis=1, kind="stable")  # missing slots last
    ids = np.take_along_axis(ids, order, axis=1)
    return TopK(np.take_along_axis(scores, order, axis=1), ids, (ids >= 0).sum(axis=1))


@dataclass(frozen=True)
class Arm:
    """One way to run the market.

    Attributes
    ----------
    make
        seed → an untrained recommender.
    exploration
        Share of the slots that `explore` gives away.
    learns
        Whether it is trained again. False: the control, whose lists follow from the first histories.
    """

    make: Callable[[int], Recommender]
    exploration: float = 0.0
    learns: bool = True


@dataclass
class Simulation:
    """What `simulate` found.

    Attributes
    ----------
    rows
        One dict for each arm, seed and round: "arm", "seed", "round" (from 1) and the measures.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)

    def values(self, arm: str, measure: str) -> npt.NDArray[np.float64]:
        """Return (n_seeds, n_rounds) values of a measure of one arm."""
        rows = [row for row in self.rows if row["arm"] == arm]
        if not rows or measure not in MEASURES:
            raise ValueError(f"arm and measure are {arm!r}, {measure!r}; there is no such row")
        seeds = list(dict.fromkeys(row["seed"] for row in rows))
        return np.array([[row[measure] for row in rows if row["seed"] == seed] for seed in seeds])

    def frame(self) -> Any:
        """Return the rows as a pandas data frame."""
        return require("pandas", "evaluation").DataFrame(self.rows)

    def plot(self, measure: str, *, axes: Any = None) -> Any:
        """Draw a measure over the rounds, the mean of the seeds and a band of one standard deviation around it."""
        if axes is None:
            axes = require("matplotlib.figure", "evaluation").Figure(layout="constrained").add_subplot()
        for arm in dict.fromkeys(row["arm"] for row in self.rows):
            values = self.values(arm, measure)
            rounds, mean, deviation = np.arange(1, values.shape[1] + 1), values.mean(axis=0), values.std(axis=0)
            (line,) = axes.plot(rounds, mean, label=arm)
            axes.fill_between(
                rounds, mean - deviation, mean + deviation, alpha=0.15, color=line.get_color(), linewidth=0
            )
        axes.set_xlabel("round")
        axes.set_ylabel(measure)
        axes.legend()
        return axes


def simulate(
    arms: Mapping[str, Arm],
    *,
    market: Market | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    rounds: int = 20,
    n: int = 10,
    retrain_every: int = 1,
    progress: bool = True,
) -> Simulation:
    """Run every arm in the same markets.

    Measures of a round: "quality", mean probability of adoption over the slots that were filled, looked at or not;
    "adoptions" a user; "diversity" within the lists and "coverage" of them, see `evaluate`, by the hidden item vectors;
    "concentration", the Gini coefficient of all adoptions so far over the items; "homogeneity", mean share of common
    items in the lists of two users, over random pairs.

    Parameters
    ----------
    arms
        Name → arm.
    market
        The market, drawn anew for each seed and the same for each arm.
    seeds
        Of market and arm.
    rounds, n
        Number of rounds, and length of the lists.
    retrain_every
        Rounds between two trainings.
    progress
        Show a bar on standard error (tqdm).

    Returns
    -------
    Simulation
        A row for each arm, seed and round.

    Raises
    ------
    ValueError, TypeError
        A number out of range.
    MissingExtraError
        tqdm is not installed, and ``progress`` is on.
    """
    total, every = as_count("rounds", rounds, minimum=1), as_count("retrain_every", retrain_every, minimum=1)
    length = as_count("n", n, minimum=1)
    result = Simulation()
    runs = [(name, seed) for name in arms for seed in seeds]
    for name, seed in require("tqdm", "evaluation").tqdm(runs, unit="run") if progress else runs:
        arm, env = arms[name], MarketEnv(market)
        history, _ = env.reset(seed=seed)
        users, model = np.arange(len(env.user_vectors_)), arm.make(seed).fit(history)
        pairs = np.random.default_rng(seed).integers(len(users), size=(2, _PAIRS))
        for number in range(1, total + 1):
            lists = (
                model.recommend(users, length, user_items=history) if arm.learns else _frozen(model, history, length)
            )
            if arm.exploration:
                lists = explore(lists, history, arm.exploration, seed=seed * total + number)
            history, adoptions, _, _, info = env.step(lists)
            measured = _measure(env, lists, info["adopted"], pairs)
            result.rows.append({"arm": name, "seed": seed, "round": number, "adoptions": adoptions, **measured})
            if arm.learns and number % every == 0 and number < total:
                model.fit(history)
    return result


def _frozen(model: Recommender, history: csr_matrix, n: int) -> TopK:
    """Return the lists of a model for the histories it was fitted on, less what was adopted since."""
    users = np.arange(history.shape[0])
    since = np.diff(history.indptr) - np.diff(model.user_items_.indptr)
    lists = model.recommend(users, n + int(since.max(initial=0)))
    have = history.toarray() != 0
    left = (lists.ids >= 0) & ~have[users[:, None], lists.ids]
    order = np.argsort(~left, axis=1, kind="stable")[:, :n]
    left = np.take_along_axis(left, order, axis=1)
    ids = np.where(left, np.take_along_axis(lists.ids, order, axis=1), -1)
    scores = np.where(left, np.take_along_axis(lists.scores, order, axis=1), -np.inf)
    return TopK(scores, ids, left.sum(axis=1))


def _measure(env: MarketEnv, lists: TopK, adopted: csr_matrix, pairs: npt.NDArray[np.integer[Any]]) -> dict[str, float]:
    n = lists.ids.shape[1]
    beyond = evaluate(lists, adopted, [n], item_vectors=env.item_vectors_)
    listed = pattern_of_lists(lists, env.market.n_items)
    common = listed[pairs[0]].multiply(listed[pairs[1]]).sum() / (n * pairs.shape[1])
    filled = lists.ids >= 0
    return {
        "quality": float(env.probability(lists.ids)[filled].mean()) if filled.any() else 0.0,
        "diversity": beyond[f"Diversity@{n}"],
        "coverage": beyond[f"Coverage@{n}"],
        "concentration": gini(np.bincount(env.user_items.indices, minlength=env.market.n_items)),
        "homogeneity": float(common),
    }
