"""The market: the shape of an environment, its probabilities, and what a closed loop does to diversity and demand."""

import numpy as np
import pytest
from fake_generator import FakeGenerator
from scipy.sparse import csr_matrix

from aigc_fast import TopK
from aigc_fast.recommender import FeedbackLoop, GenerativeRecommender, ItemKNN, TopPop
from aigc_fast.recommender.feedback import EXHAUSTED, STALLED
from aigc_fast.recommender.market import Market, MarketEnv
from aigc_fast.recommender.simulation import MEASURES, Arm, RandomItems, explore, simulate

SMALL = Market(n_users=60, n_items=80, history=20)
SEEDS = [0, 1, 2, 3]


def lists_of(ids):
    ids = np.asarray(ids)
    return TopK(np.where(ids < 0, -np.inf, 0.0), ids, (ids >= 0).sum(axis=1))


def test_reset_repeats_for_a_seed_and_differs_between_seeds():
    env = MarketEnv(SMALL)
    first, info = env.reset(seed=1)
    assert info == {}
    truth = env.user_vectors_
    assert np.linalg.norm(truth, axis=1) == pytest.approx(np.ones(60))
    again, _ = env.reset(seed=1)
    assert (first != again).nnz == 0
    assert np.array_equal(env.user_vectors_, truth)
    other, _ = env.reset(seed=2)
    assert (first != other).nnz > 0
    assert first.nnz > 0
    assert np.diff(first.indptr).max() <= 20


def test_adoption_has_the_stated_probability():
    """Means over many identical users and rounds stay within five standard errors of the formula."""
    market = Market(
        n_users=4000, n_items=5, history=0, n_groups=1, spread=0.0, sharpness=1.0, difficulty=0.9, appeal=0.0
    )
    env = MarketEnv(market)
    env.reset(seed=0)
    chance = 1 / (1 + np.exp(-1.0 * (1 - 0.9)))  # all vectors are the same, so the affinity is 1
    assert env.probability(np.array([[0, -1]] * 4000))[0].tolist() == pytest.approx([chance, 0])
    _, reward, terminated, truncated, info = env.step(lists_of([[3, 1, 4, -1]] * 4000))
    assert not terminated
    assert not truncated
    got = np.bincount(info["adopted"].indices, minlength=5) / 4000
    expected = np.zeros(5)
    expected[[3, 1, 4]] = chance * np.arange(1, 4) ** -0.7
    assert got == pytest.approx(expected, abs=5 * np.sqrt(0.25 / 4000))
    assert reward == pytest.approx(got.sum())


def test_items_are_adopted_once_and_the_market_ends_when_all_is():
    env = MarketEnv(
        Market(n_users=3, n_items=2, history=0, n_groups=1, spread=0.0, sharpness=100.0, appeal=0.0, attention=0.0)
    )
    env.reset(seed=0)
    history, reward, terminated, _, info = env.step(lists_of([[0, 1], [0, -1], [-1, -1]]))
    assert history.toarray().tolist() == info["adopted"].toarray().tolist() == [[1, 1], [1, 0], [0, 0]]
    assert (reward, terminated) == (1.0, False)
    history, reward, terminated, _, info = env.step(lists_of([[0, 1], [0, 1], [0, 1]]))
    assert info["adopted"].toarray().tolist() == [[0, 0], [0, 1], [1, 1]]
    assert history.data.tolist() == [1] * 6
    assert terminated
    with pytest.raises(ValueError, match="ints, 3 rows, are taken"):
        env.step(lists_of([[0]]))


def test_random_items_obey_the_filters():
    history = csr_matrix(np.eye(6, 10))
    model = RandomItems(0).fit(history)
    lists = model.recommend(np.arange(6), 10)
    assert lists.counts.tolist() == [9] * 6
    assert all(sorted(ids[:9]) == [i for i in range(10) if i != row] for row, ids in enumerate(lists.ids))
    assert model.recommend([0], 3, allow=[0, 4]).ids.tolist() == [[4, -1, -1]]
    assert model.recommend([0, 1], 1, allow=csr_matrix(np.eye(2, 10, 7))).ids.tolist() == [[7], [8]]
    firsts = np.bincount([model.recommend([0], 1).ids[0, 0] for _ in range(900)], minlength=10)
    assert firsts[0] == 0
    assert firsts[1:] == pytest.approx([100] * 9, abs=5 * np.sqrt(900 / 9 * 8 / 9))


def test_exploration_takes_the_last_slots_and_only_new_items():
    history = csr_matrix(np.tile([1.0, 0, 0, 0, 0, 0, 0, 0], (50, 1)))
    lists = lists_of([[1, 2, 3, 4]] * 49 + [[1, -1, -1, -1]])
    mixed = explore(lists, history, 0.5, seed=3)
    assert (mixed.ids[:49, :2] == [1, 2]).all()
    assert set(mixed.ids[:49, 2:].ravel()) == {3, 4, 5, 6, 7}
    assert mixed.counts.tolist() == [4] * 49 + [3]
    assert mixed.ids[49, 0] == 1
    assert mixed.ids[49, 3] == -1
    assert np.array_equal(explore(lists, history, 0, seed=3).ids, lists.ids)
    with pytest.raises(ValueError, match="share is 2"):
        explore(lists, history, 2, seed=0)


def generative(seed):
    return GenerativeRecommender(FakeGenerator(0.05), n_vectors=2, seed=seed)


@pytest.fixture(scope="module")
def simulated():
    arms = {
        "random": Arm(RandomItems),
        "popular": Arm(lambda seed: TopPop()),
        "ItemKNN": Arm(lambda seed: ItemKNN(k=20)),
        "ItemKNN, no feedback": Arm(lambda seed: ItemKNN(k=20), learns=False),
        "generative": Arm(generative),
        "generative, exploring": Arm(generative, exploration=0.3),
    }
    return simulate(arms, market=SMALL, seeds=SEEDS, rounds=6, n=5, progress=False)


def test_personal_lists_beat_popular_ones_and_those_random_ones(simulated):
    quality = {
        arm: simulated.values(arm, "quality").mean(axis=1) for arm in ("random", "popular", "ItemKNN", "generative")
    }
    assert (quality["ItemKNN"] > 1.05 * quality["popular"]).all()
    assert (quality["generative"] > 1.05 * quality["popular"]).all()
    assert (quality["popular"] > quality["random"]).all()


def test_the_loop_narrows_demand_and_lists(simulated):
    """What studies of closed loops report: less variety for each user, more concentration over all."""
    final = {arm: {m: simulated.values(arm, m)[:, -1] for m in MEASURES} for arm in ("random", "popular", "ItemKNN")}
    assert (final["popular"]["concentration"] > final["ItemKNN"]["concentration"]).all()
    assert (final["ItemKNN"]["concentration"] > final["random"]["concentration"]).all()
    assert (final["ItemKNN"]["diversity"] < final["random"]["diversity"]).all()
    assert (final["popular"]["homogeneity"] > final["ItemKNN"]["homogeneity"]).all()


def test_exploration_buys_variety_with_quality(simulated):
    plain, exploring = ("generative", "generative, exploring")
    for measure, sign in (("diversity", 1), ("coverage", 1), ("quality", -1), ("concentration", -1)):
        change = simulated.values(exploring, measure).mean(axis=1) - simulated.values(plain, measure).mean(axis=1)
        assert sign * change.mean() > 0, measure


def test_learning_is_what_the_control_lacks(simulated):
    learning, control = (simulated.values(arm, "quality") for arm in ("ItemKNN", "ItemKNN, no feedback"))
    assert learning[:, 0].tolist() == control[:, 0].tolist()
    assert learning[:, -1].mean() > control[:, -1].mean()


def test_rows_frame_and_plot(simulated):
    assert len(simulated.frame()) == 6 * len(SEEDS) * 6
    axes = simulated.plot("concentration")
    assert len(axes.get_lines()) == 6
    assert axes.get_lines()[0].get_ydata() == pytest.approx(simulated.values("random", "concentration").mean(axis=0))
    with pytest.raises(ValueError, match="there is no such row"):
        simulated.values("nobody", "quality")


@pytest.mark.parametrize(("patience", "why"), [(2, STALLED), (1000, EXHAUSTED)])
def test_the_stop_condition_of_the_feedback_loop_at_work(patience, why):
    """In a market that has little left to adopt the loop stops: impatient soon, patient when nothing is unseen."""
    env = MarketEnv(Market(n_users=20, n_items=30, history=15))
    history, _ = env.reset(seed=0)
    loop = FeedbackLoop(
        generative(0).fit(history), n=3, max_rounds=1000, epochs=0, monitor="hit_rate", patience=patience
    )
    loop.run(np.arange(20), lambda users, lists: env.step(lists)[4]["adopted"])
    assert loop.stopped_ == why
    rates = [done.metrics["hit_rate"] for done in loop.rounds_]
    if why == STALLED:
        assert max(rates[-patience:]) <= max(rates[:-patience])
    else:
        listed = sum(int(done.lists.counts.sum()) for done in loop.rounds_)
        assert listed == 20 * 30 - history.nnz  # every unseen item was shown once


def test_random_items_say_what_they_are():
    assert repr(RandomItems(seed=3)) == "RandomItems(seed=3)"


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[1, 1], [0, 2]], "action.ids: row 0 lists an item twice"),
        ([[0, 3], [0, 1]], "action.ids holds ids from 0 to 3; -1 to 2 are taken"),
        ([[0, 1]], "action.ids is int64 of shape"),
    ],
)
def test_an_action_is_a_list_for_every_user(ids, message):
    env = MarketEnv(Market(n_users=2, n_items=3, history=1))
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(TopK(np.ones((2, 2)), np.array([[0, 1], [0, 1]]), np.array([2, 2])))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(TopK(np.ones(np.shape(ids)), np.array(ids), np.full(len(ids), 2)))
