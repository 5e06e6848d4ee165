"""Beyond the table: the feedback loop, items that training never saw, and the map of vectors."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK
from aigc_fast.data import Ratings
from aigc_fast.demo.comparison import DECISIVE, DECISIVE_METRIC, LIST_LENGTH
from aigc_fast.demo.parts import Parts
from aigc_fast.demo.results import (
    GENERATIVE,
    RANDOM_ORDER,
    WITHOUT_GAN,
    ColdStart,
    FeedbackCurve,
    ListedItem,
    UserStory,
    VectorMap,
)
from aigc_fast.demo.settings import DemoSettings
from aigc_fast.recommender import accuracy_by_user, random_split
from aigc_fast.recommender.evaluation.metrics import known_mean
from aigc_fast.recommender.feedback import FeedbackLoop, HeldOutFeedback
from aigc_fast.recommender.generative import GenerativeRecommender

#: Share of the newcomers' ratings that they never tell: the loop stops when it no longer finds more of them.
WATCHED_FRACTION = 0.25
COLD_CUTOFF = 10
RANDOM_ORDERS = 20
MAP_USERS, MAP_VECTORS = 60, 6

#: Name under which a round keeps what it is worth on test.
TEST_METRIC = f"test {DECISIVE_METRIC}"
#: The same for the model as it was at first, with the answered items left out of its lists.
CONTROL_METRIC = f"control {DECISIVE_METRIC}"

LEARNING = {"profiles": 0, "profiles and generator": 1}  # what learns from feedback, and the epochs that take


def feedback_study(
    model: GenerativeRecommender, ratings: Ratings, parts: Parts, settings: DemoSettings
) -> tuple[list[FeedbackCurve], UserStory | None]:
    """Run the loop with the newcomers twice, with and without fine-tuning, and follow one through the second run.

    They answer with three quarters of their ratings; the rest decides when to stop, and test measures.
    """
    users = parts.newcomers
    if not len(users):
        return [], None
    told, watched = random_split(parts.answers, WATCHED_FRACTION, settings.seed)

    def quality(recommender: GenerativeRecommender) -> dict[str, float]:
        lists = recommender.recommend(users, LIST_LENGTH)
        # Answered items leave the lists, which makes room for test items even if nothing is learned.
        control = model.recommend(users, LIST_LENGTH, exclude=recommender.user_items_[users])
        return {
            "watched": _mean_accuracy(lists, watched[users]),
            TEST_METRIC: _mean_accuracy(lists, parts.test[users]),
            CONTROL_METRIC: _mean_accuracy(control, parts.test[users]),
        }

    curves = []
    for name, epochs in LEARNING.items():
        learner = copy.deepcopy(model)
        loop = FeedbackLoop(
            learner, n=settings.feedback_length, max_rounds=settings.rounds, epochs=epochs, monitor="watched"
        )
        loop.run(users, HeldOutFeedback(told), evaluate=quality)
        metrics = [done.metrics for done in loop.rounds_]
        answers = [int(done.feedback.nnz) for done in loop.rounds_]
        curves.append(FeedbackCurve(name, loop.baseline_, metrics, answers, loop.stopped_))
    return curves, _story(model, learner, ratings, parts, settings)


def cold_start(model: GenerativeRecommender, ablation: GenerativeRecommender, parts: Parts) -> ColdStart | None:
    """Rank only the items that neither model has seen, from their content, for the users who have any of them."""
    hidden = np.unique(parts.cold.indices)
    users = np.flatnonzero(np.diff(parts.cold.indptr))
    if not model.item_vectors_[hidden].any() or not len(users):
        return None  # nothing is known of the items
    wanted = parts.cold[users]
    ndcg = {
        name: _mean_accuracy(recommender.recommend(users, COLD_CUTOFF, allow=hidden), wanted)
        for name, recommender in ((GENERATIVE, model), (WITHOUT_GAN, ablation))
    }
    ndcg[RANDOM_ORDER] = _random_order(hidden, wanted, seed=model.seed)
    return ColdStart(len(hidden), len(users), COLD_CUTOFF, ndcg)


def vector_map(model: GenerativeRecommender, ratings: Ratings, user: int) -> VectorMap:
    """Project real and generated vectors onto the two strongest principal components of the real ones."""
    had = np.unique(model.user_items_.indices)
    real = model.item_vectors_[had].astype(np.float64)
    centre = real.mean(axis=0)
    _, singular, axes = np.linalg.svd(real - centre, full_matrices=False)

    def project(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return np.asarray((vectors.reshape(-1, vectors.shape[-1]) - centre) @ axes[:2].T)

    others = np.random.default_rng(model.seed).permutation(model.n_users)[:MAP_USERS]
    return VectorMap(
        real=project(model.item_vectors_[had]),
        popularity=model.popularity_[had],
        generated=project(model.generate(others, MAP_VECTORS)),
        user_generated=project(model.generate([user])),
        user_items=project(model.item_vectors_[model.user_items_[user].indices]),
        user=str(ratings.user_ids[user]),
        explained=float((singular[:2] ** 2).sum() / (singular**2).sum()),
    )


def story_user(parts: Parts) -> int:
    """Choose the user to follow: the newcomer with the median number of ratings left to tell."""
    if not len(parts.newcomers):
        return 0
    left = np.diff(parts.answers.indptr)[parts.newcomers]
    return int(parts.newcomers[np.argsort(left, kind="stable")[len(left) // 2]])


def _story(
    before: GenerativeRecommender,
    after: GenerativeRecommender,
    ratings: Ratings,
    parts: Parts,
    settings: DemoSettings,
) -> UserStory:
    user = story_user(parts)
    unseen = set(parts.answers[user].indices) | set(parts.test[user].indices)

    def name(item: int) -> str:
        title = "" if ratings.items is None else str(ratings.items.titles[item])
        return title or f"item {ratings.item_ids[item]}"

    def shown(model: GenerativeRecommender) -> list[ListedItem]:
        lists = model.recommend([user], settings.feedback_length)
        return [ListedItem(name(item), item in unseen) for item in lists.ids[0, : lists.counts[0]]]

    history = parts.fit[user].indices
    answered = np.setdiff1d(after.user_items_[user].indices, history)
    return UserStory(
        str(ratings.user_ids[user]),
        [name(item) for item in history],
        shown(before),
        shown(after),
        [name(item) for item in answered],
    )


def _mean_accuracy(lists: TopK, wanted: csr_matrix) -> float:
    """Return the mean NDCG of whole lists over the users who want anything."""
    return known_mean(accuracy_by_user(lists, wanted, lists.ids.shape[1])[DECISIVE])


def _random_order(items: npt.NDArray[np.int32], wanted: csr_matrix, seed: int) -> float:
    """Mean NDCG of the items in random order, over `RANDOM_ORDERS` orders for each user."""
    rng = np.random.default_rng(seed)
    n = min(COLD_CUTOFF, len(items))
    values = []
    for _ in range(RANDOM_ORDERS):
        drawn = np.stack([rng.permutation(items)[:n] for _ in range(wanted.shape[0])]).astype(np.int64)
        lists = TopK(np.zeros(drawn.shape, np.float32), drawn, np.full(len(drawn), n))
        values.append(_mean_accuracy(lists, wanted))
    return float(np.mean(values))
