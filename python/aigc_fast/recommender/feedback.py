"""The feedback loop: list → feedback → content optimisation → new list, until a stop condition holds.

One round, for all users at once:

1. input → profile → features: the recommender's profiles, and vectors generated for them;
2. list: the nearest items, those in the history and those shown before left out;
3. feedback: what the source says about the listed items;
4. content optimisation: the feedback enters the profiles, and the generator is fine-tuned on it;
5. stop, or go back to 1 with the new profiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK
from aigc_fast.recommender.arguments import CSR, as_amount, as_count, as_csr, as_ids
from aigc_fast.recommender.evaluation import accuracy_by_user, evaluate
from aigc_fast.recommender.generative import GenerativeRecommender
from aigc_fast.recommender.histories import merge, pattern_of_lists, scatter_rows

#: (user_ids (m,), their lists) → ratings (m, n_items) of items in the lists; what is not rated has no entry.
FeedbackSource = Callable[[npt.NDArray[np.int64], TopK], CSR]

ROUNDS, STALLED, EXHAUSTED = "rounds", "no improvement", "no unseen items"


@dataclass(frozen=True)
class Round:
    """One round of the loop.

    Attributes
    ----------
    lists
        What was shown; row i belongs to the i-th of the users.
    feedback
        (n_lists, n_items), what came back.
    metrics
        ``hit_rate``: share of the lists with an item that was liked (a rating above 0). ``ndcg``: NDCG of the
        lists with the liked items as the relevant ones, 0 for a list without any. ``coverage``, ``diversity``:
        as in `evaluate`. And what the caller's ``evaluate`` gave for the recommender after the round.
    """

    lists: TopK
    feedback: csr_matrix
    metrics: dict[str, float]


class FeedbackLoop:
    """Show lists, learn from the answers, show better lists.

    Parameters
    ----------
    recommender
        Fitted. It is changed: its profiles take the feedback in, and its generator is fine-tuned.
    n
        Length of the lists.
    max_rounds
        Rounds at most.
    epochs
        Passes of the generator over each round's feedback; 0: only the profiles learn.
    monitor
        Name of the metric of a round whose rise counts as improvement.
    tolerance
        A rise of the metric above the best so far by no more than this is no improvement.
    patience
        Rounds without improvement after which the loop stops.

    Attributes
    ----------
    rounds_ : list of Round
    baseline_ : dict of str to float
        What ``evaluate`` gave before the first round.
    stopped_ : str
        Why the loop ended: "rounds", "no improvement" or "no unseen items".

    Examples
    --------
    >>> loop = FeedbackLoop(model, n=10, max_rounds=5)  # doctest: +SKIP
    >>> loop.run([3, 5], ask_the_users).stopped_  # doctest: +SKIP
    'rounds'
    """

    rounds_: list[Round]
    baseline_: dict[str, float]
    stopped_: str

    def __init__(
        self,
        recommender: GenerativeRecommender,
        *,
        n: int = 10,
        max_rounds: int = 10,
        epochs: int = 1,
        monitor: str = "ndcg",
        tolerance: float = 0.0,
        patience: int = 2,
    ) -> None:
        if not isinstance(recommender, GenerativeRecommender):
            raise TypeError(f"recommender is a {type(recommender).__name__}; a GenerativeRecommender is taken")
        self.recommender = recommender
        self.n = as_count("n", n, minimum=1)
        self.max_rounds = as_count("max_rounds", max_rounds, minimum=1)
        self.epochs = as_count("epochs", epochs)
        self.monitor = monitor
        self.tolerance = as_amount("tolerance", tolerance)
        self.patience = as_count("patience", patience, minimum=1)

    def run(
        self,
        user_ids: npt.ArrayLike,
        feedback: FeedbackSource,
        *,
        evaluate: Callable[[GenerativeRecommender], Mapping[str, float]] | None = None,
    ) -> FeedbackLoop:
        """Run rounds until a stop condition holds.

        Parameters
        ----------
        user_ids : (m,) ints, each once
            Training users to serve.
        feedback
            Called with the users who have a list and these lists; returns their ratings as CSR with one row a
            list. A service asks its users, a simulation its model, an experiment held-out data
            (`HeldOutFeedback`).
        evaluate
            Called with the recommender before the first and after each round; its numbers join the metrics.

        Returns
        -------
        FeedbackLoop
            Itself, with ``rounds_``, ``baseline_`` and ``stopped_``.

        Raises
        ------
        ValueError
            A user twice, feedback of another shape or on items that were not listed, or no metric of the name
            that ``monitor`` gives.
        """
        users = as_ids("user_ids", user_ids, self.recommender.n_users)
        if len(np.unique(users)) != len(users):
            raise ValueError("user_ids holds a user twice; each is served once a round")
        self.rounds_ = []
        self.baseline_ = dict(evaluate(self.recommender)) if evaluate else {}
        best, waited = self.baseline_.get(self.monitor, -np.inf), 0
        shown = csr_matrix((len(users), self.recommender.n_items), dtype=np.float32)
        while len(self.rounds_) < self.max_rounds:
            lists = self.recommender.recommend(users, self.n, exclude=shown)
            if not lists.counts.any():
                self.stopped_ = EXHAUSTED
                return self
            listed = pattern_of_lists(lists, self.recommender.n_items)
            answers = self._ask(users, lists, listed, feedback)
            metrics = self._measure(lists, answers)
            self.recommender.partial_fit(scatter_rows(answers, users, self.recommender.n_users), epochs=self.epochs)
            if evaluate:
                metrics |= evaluate(self.recommender)
            self.rounds_.append(Round(lists, answers, metrics))
            shown = merge(shown, listed).history
            value = self._watched(metrics)
            waited = 0 if value > best + self.tolerance else waited + 1
            best = max(best, value)
            if waited >= self.patience:
                self.stopped_ = STALLED
                return self
        self.stopped_ = ROUNDS
        return self

    def _ask(
        self, users: npt.NDArray[np.int64], lists: TopK, listed: csr_matrix, feedback: FeedbackSource
    ) -> csr_matrix:
        answers = as_csr("feedback", feedback(users, lists), listed.shape, np.float32)
        rated = csr_matrix((np.ones(answers.nnz, np.float32), answers.indices, answers.indptr), answers.shape)
        if rated.multiply(listed).nnz != rated.nnz:
            raise ValueError("feedback holds ratings of items that were not in the user's list")
        return answers

    def _measure(self, lists: TopK, answers: csr_matrix) -> dict[str, float]:
        liked = answers.copy()
        liked.data = np.where(liked.data > 0, 1, 0).astype(np.float32)
        liked.eliminate_zeros()
        beyond = evaluate(lists, liked, [self.n], item_vectors=self.recommender.item_vectors_)
        served = lists.counts > 0
        ndcg = np.nan_to_num(accuracy_by_user(lists, liked, self.n)["NDCG"][served])
        return {
            "hit_rate": float((np.diff(liked.indptr)[served] > 0).mean()),
            "ndcg": float(ndcg.mean()),
            "coverage": beyond[f"Coverage@{self.n}"],
            "diversity": beyond[f"Diversity@{self.n}"],
        }

    def _watched(self, metrics: Mapping[str, float]) -> float:
        if self.monitor not in metrics:
            raise ValueError(f"monitor is {self.monitor!r}; one of {', '.join(map(repr, metrics))} is taken")
        return metrics[self.monitor]


class HeldOutFeedback:
    """Answer for users from ratings that the recommender has not seen.

    Parameters
    ----------
    ratings : (n_users, n_items) CSR
        One row for each training user.
    """

    def __init__(self, ratings: CSR) -> None:
        self._ratings = as_csr("ratings", ratings, dtype=np.float32)

    def __call__(self, user_ids: npt.NDArray[np.int64], lists: TopK) -> csr_matrix:
        """Return the held-out ratings of the listed items."""
        users = as_ids("user_ids", user_ids, self._ratings.shape[0])
        listed = pattern_of_lists(lists, self._ratings.shape[1])
        return csr_matrix(self._ratings[users].multiply(listed))
