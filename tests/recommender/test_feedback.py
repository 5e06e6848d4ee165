"""The feedback loop: what it asks, what it learns, and when it stops."""

import numpy as np
import pytest
from fake_generator import FakeGenerator
from scipy.sparse import csr_matrix

from aigc_fast.recommender import FeedbackLoop, GenerativeRecommender, HeldOutFeedback
from aigc_fast.recommender.feedback import EXHAUSTED, ROUNDS, STALLED

N_USERS, N_ITEMS = 24, 60
USERS = np.arange(N_USERS)
TASTE = USERS % 3
GENRE = np.arange(N_ITEMS) % 3


def likes() -> np.ndarray:
    """What each user would rate: five for the genre of their taste, nothing else."""
    return np.where(TASTE[:, None] == GENRE, 5.0, 0.0).astype(np.float32)


def known() -> csr_matrix:
    """Two ratings of a user, one of which misleads."""
    start = np.zeros((N_USERS, N_ITEMS), dtype=np.float32)
    start[USERS, TASTE] = 5.0  # items 0 to 2 have genres 0 to 2
    start[USERS, 3 + (TASTE + 1) % 3] = 4.5
    return csr_matrix(start)


def model() -> GenerativeRecommender:
    vectors = np.eye(3)[GENRE] + 0.1 * np.random.default_rng(0).normal(size=(N_ITEMS, 3))
    return GenerativeRecommender(FakeGenerator(spread=0.1), n_vectors=4).fit(known(), item_vectors=vectors)


def pool() -> csr_matrix:
    left = likes()
    left[known().toarray() > 0] = 0
    return csr_matrix(left)


def test_lists_get_better_with_feedback():
    learner = model()
    loop = FeedbackLoop(learner, n=5, max_rounds=3, epochs=0)
    assert loop.run(USERS, HeldOutFeedback(pool())) is loop
    assert loop.stopped_ == ROUNDS
    assert len(loop.rounds_) == 3
    share = [np.mean(GENRE[done.lists.ids] == TASTE[:, None]) for done in loop.rounds_]
    assert share[0] < 0.5  # the misleading rating shows
    assert share[2] > share[0] + 0.3
    assert loop.rounds_[2].metrics["ndcg"] > loop.rounds_[0].metrics["ndcg"]


def test_nothing_is_shown_twice_and_answers_enter_the_history():
    learner = model()
    loop = FeedbackLoop(learner, n=5, max_rounds=4, patience=9).run(USERS, HeldOutFeedback(pool()))
    for user in USERS:
        shown = np.concatenate([done.lists.ids[user] for done in loop.rounds_])
        assert len(set(shown.tolist())) == len(shown) == 20
        assert not known()[user, shown].toarray().any()
    answered = sum(done.feedback for done in loop.rounds_)
    assert np.array_equal(learner.user_items_.toarray(), (known() + answered).toarray())


def test_metrics_are_those_of_the_round():
    loop = FeedbackLoop(model(), n=4, max_rounds=1).run(USERS, HeldOutFeedback(pool()))
    (done,) = loop.rounds_
    hits = pool().toarray()[USERS[:, None], done.lists.ids] > 0
    gain = 1 / np.log2(np.arange(2, 6))
    ideal = np.cumsum(gain)[np.maximum(hits.sum(axis=1), 1) - 1]
    assert done.metrics["hit_rate"] == hits.any(axis=1).mean()
    np.testing.assert_allclose(done.metrics["ndcg"], ((hits * gain).sum(axis=1) / ideal).mean(), rtol=1e-12)
    assert done.metrics["coverage"] == len(np.unique(done.lists.ids)) / N_ITEMS
    assert 0 <= done.metrics["diversity"] <= 1


@pytest.mark.parametrize("epochs", [0, 2])
def test_the_generator_is_fine_tuned_only_if_asked(epochs):
    learner = model()
    FeedbackLoop(learner, n=5, max_rounds=2, epochs=epochs).run(USERS, HeldOutFeedback(pool()))
    assert [update[2] for update in learner.gan_.updates] == [epochs] * (2 if epochs else 0)


def test_it_stops_when_nothing_is_left():
    loop = FeedbackLoop(model(), n=25, max_rounds=50, patience=50).run(USERS, HeldOutFeedback(pool()))
    assert loop.stopped_ == EXHAUSTED
    assert len(loop.rounds_) == 3  # 58 unseen items in lists of 25
    assert loop.rounds_[-1].lists.counts.tolist() == [8] * N_USERS


def test_it_stops_without_improvement():
    nobody_answers = HeldOutFeedback(csr_matrix((N_USERS, N_ITEMS)))
    loop = FeedbackLoop(model(), n=2, max_rounds=20, patience=3).run(USERS, nobody_answers)
    assert loop.stopped_ == STALLED
    assert len(loop.rounds_) == 1 + 3  # the first sets the mark, 0, and three do not raise it


@pytest.mark.parametrize(("tolerance", "rounds"), [(0.0, 6), (0.05, 3)])
def test_small_improvements_do_not_count(tolerance, rounds):
    """The watched metric rises by 0.02 a round: above nothing, below the tolerance."""
    calls = []

    def evaluate(recommender):
        calls.append(recommender)
        return {"quality": 0.02 * len(calls)}

    learner = model()
    loop = FeedbackLoop(learner, n=2, max_rounds=6, monitor="quality", tolerance=tolerance, patience=3)
    loop.run(USERS, HeldOutFeedback(pool()), evaluate=evaluate)
    assert loop.baseline_ == {"quality": 0.02}
    assert len(loop.rounds_) == rounds
    assert loop.stopped_ == (ROUNDS if rounds == 6 else STALLED)
    assert calls == [learner] * (rounds + 1)
    assert loop.rounds_[0].metrics["quality"] == 0.04


def test_some_users_only():
    users = np.array([20, 3, 11])
    learner = model()
    asked = []

    def source(user_ids, lists):
        asked.append(user_ids.tolist())
        return HeldOutFeedback(pool())(user_ids, lists)

    loop = FeedbackLoop(learner, n=20, max_rounds=2).run(users, source)
    assert asked == [[20, 3, 11]] * 2
    changed = np.flatnonzero((learner.user_items_ != known()).sum(axis=1))
    assert changed.tolist() == [3, 11, 20]
    for row, user in enumerate(users):
        answers = sum(done.feedback for done in loop.rounds_)[row].toarray()[0]
        assert np.array_equal(learner.user_items_[user].toarray()[0], known()[user].toarray()[0] + answers)


def test_dislikes_are_feedback_but_no_hits():
    def source(user_ids, lists):
        return HeldOutFeedback(csr_matrix(np.full((N_USERS, N_ITEMS), -1.0)))(user_ids, lists)

    learner = model()
    loop = FeedbackLoop(learner, n=3, max_rounds=1).run(USERS, source)
    assert loop.rounds_[0].metrics["hit_rate"] == loop.rounds_[0].metrics["ndcg"] == 0
    assert loop.rounds_[0].feedback.nnz == 3 * N_USERS
    assert (learner.user_items_.data == -1).sum() == 3 * N_USERS


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda users, lists: csr_matrix((2, N_ITEMS)), "feedback has shape"),
        (lambda users, lists: csr_matrix(np.ones((N_USERS, N_ITEMS))), "ratings of items that were not in the user's"),
    ],
)
def test_wrong_feedback(source, message):
    with pytest.raises(ValueError, match=message):
        FeedbackLoop(model(), n=3).run(USERS, source)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="user_ids holds a user twice"):
        FeedbackLoop(model()).run([1, 1], HeldOutFeedback(pool()))
    with pytest.raises(ValueError, match="user_ids holds 24"):
        FeedbackLoop(model()).run([N_USERS], HeldOutFeedback(pool()))
    with pytest.raises(ValueError, match="monitor is 'clicks'; one of 'hit_rate', 'ndcg'"):
        FeedbackLoop(model(), monitor="clicks").run(USERS, HeldOutFeedback(pool()))
    for options in ({"n": 0}, {"max_rounds": 0}, {"patience": 0}, {"epochs": -1}, {"tolerance": np.nan}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
            FeedbackLoop(model(), **options)
