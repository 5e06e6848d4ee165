"""The generative recommender against plain NumPy, with a generator whose vectors are known."""

import pickle
import tracemalloc

import numpy as np
import pytest
from fake_generator import FakeGenerator
from scipy.sparse import csr_matrix

from aigc_fast import MissingExtraError
from aigc_fast.recommender import GenerativeRecommender, NotFittedError, rerank, user_profiles
from aigc_fast.recommender.pairs import leave_one_out_pairs

N_USERS, N_ITEMS, DIM = 30, 25, 6
EMPTY_USER, EMPTY_ITEM = 4, 11


def history() -> csr_matrix:
    rng = np.random.default_rng(1)
    dense = rng.integers(1, 6, (N_USERS, N_ITEMS)) * (rng.random((N_USERS, N_ITEMS)) < 0.3)
    dense[EMPTY_USER] = 0
    dense[:, EMPTY_ITEM] = 0
    return csr_matrix(dense.astype(np.float32))


def unit(rows):
    rows = np.asarray(rows, dtype=np.float64)
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def vectors() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(N_ITEMS, DIM)).astype(np.float32)


def fitted(**options) -> GenerativeRecommender:
    return GenerativeRecommender(FakeGenerator(), n_vectors=5, **options).fit(history(), item_vectors=vectors())


def reference(fusion: str, popularity: float) -> np.ndarray:
    """Scores (users, items) by the formula, in float64."""
    ratings = history().toarray().astype(np.float64)
    items = unit(vectors())
    profiles = unit(ratings @ items)
    profiles[EMPTY_USER] = unit(profiles.sum(axis=0))
    generated = FakeGenerator().generate(profiles.astype(np.float32), 5)
    cosines = unit(generated) @ items.T
    fused = {"mean": cosines.mean(axis=1), "max": cosines.max(axis=1)}[fusion]
    counts = (ratings > 0).sum(axis=0)
    return fused * ((1 + counts) / (1 + counts.max())) ** popularity


@pytest.mark.parametrize("fusion", ["mean", "max"])
@pytest.mark.parametrize("popularity", [0.0, 0.5])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_lists_are_those_of_the_formula(fusion, popularity, exclude_seen):
    model = fitted(fusion=fusion, popularity=popularity)
    found = model.recommend(np.arange(N_USERS), 8, exclude_seen=exclude_seen)
    scores = reference(fusion, popularity)
    if exclude_seen:
        scores[history().toarray() > 0] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :8]
    assert found.counts.tolist() == [8] * N_USERS
    assert np.array_equal(found.ids, expected)
    # Vectors are rounded to float32 before the exact search: a few units in the last place of numbers up to 1.
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, expected, 1), rtol=0, atol=5e-7)


@pytest.mark.parametrize("fusion", ["mean", "max"])
def test_threshold_is_inclusive(fusion):
    model = fitted(fusion=fusion)
    whole = model.recommend([3], 10)
    edge = float(whole.scores[0, 4])
    cut = model.recommend([3], 10, threshold=edge)
    assert cut.counts[0] == 5
    assert np.array_equal(cut.ids[0, :5], whole.ids[0, :5])
    above = model.recommend([3], 10, threshold=float(np.nextafter(np.float32(edge), np.float32(2))))
    assert above.counts[0] == 4


@pytest.mark.parametrize("fusion", ["mean", "max"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_further_exclusions(fusion, exclude_seen):
    model = fitted(fusion=fusion)
    users = np.array([1, 2, 1])
    shown = model.recommend(users, 3, exclude_seen=exclude_seen)
    left_out = np.zeros((3, N_ITEMS))
    np.put_along_axis(left_out[:2], shown.ids[:2], 1, axis=1)  # the third row leaves nothing out
    found = model.recommend(users, 4, exclude_seen=exclude_seen, exclude=csr_matrix(left_out))
    whole = model.recommend(users, 7, exclude_seen=exclude_seen)
    assert np.array_equal(found.ids[:2], whole.ids[:2, 3:])
    assert np.array_equal(found.ids[2], whole.ids[2, :4])


def test_blocks_of_users_change_nothing(monkeypatch):
    whole = fitted(fusion="max").recommend(np.arange(N_USERS), 6)
    monkeypatch.setattr("aigc_fast.recommender.ranking.BLOCK_QUERIES", 10)  # two users at once
    allow = csr_matrix(np.ones((N_USERS, N_ITEMS)))
    for options in ({}, {"allow": allow}):
        blocks = fitted(fusion="max").recommend(np.arange(N_USERS), 6, **options)
        assert np.array_equal(blocks.ids, whole.ids)
        assert np.array_equal(blocks.scores, whole.scores)


def test_new_user_without_history_gets_the_list_of_the_average_user():
    model = fitted()
    lists = model.recommend([-1, EMPTY_USER], 5, user_items=csr_matrix((2, N_ITEMS)), exclude_seen=False)
    profiles = user_profiles(history(), unit(vectors()).astype(np.float32))
    average = unit(profiles.astype(np.float64).sum(axis=0, keepdims=True)).astype(np.float32)
    generated = unit(FakeGenerator().generate(average, 5))[0]
    scores = (generated @ unit(vectors()).T).mean(axis=0)
    expected = np.argsort(-scores, kind="stable")[:5]
    assert np.array_equal(lists.ids, [expected, expected])


def test_new_items_are_found_by_their_vectors():
    model = fitted(fusion="max", popularity=0.3)
    wanted = model.generate([7], 1)[0]  # exactly what the generator makes for user 7
    ids = model.add_items(np.concatenate([wanted, -wanted]))
    assert ids.tolist() == [N_ITEMS, N_ITEMS + 1]
    assert model.n_items == N_ITEMS + 2
    lists = model.recommend([7], model.n_items)
    assert ids[0] in lists.ids[0, :5]
    assert lists.ids[0, lists.counts[0] - 1] == ids[1]
    assert model.popularity_[ids[0]] == np.median(np.bincount(history().indices, minlength=N_ITEMS))
    only_new = model.recommend([7, 8], 3, allow=ids)
    assert only_new.counts.tolist() == [2, 2]
    later = model.add_items(wanted)
    assert later.tolist() == [N_ITEMS + 2]
    row = csr_matrix(([5.0], [int(ids[0])], [0, 1]), shape=(1, model.n_items))
    assert ids[0] not in model.recommend([-1], 5, user_items=row).ids
    with pytest.raises(ValueError, match="item_vectors has 2 columns; 6 as in fit are taken"):
        model.add_items(np.ones((1, 2)))


def test_training_pairs_are_items_and_the_profiles_without_them():
    gan = FakeGenerator()
    GenerativeRecommender(gan).fit(history(), item_vectors=vectors())
    ratings, items = history().toarray().astype(np.float64), unit(vectors())
    expected = set()
    for user, item in zip(*ratings.nonzero(), strict=True):
        rest = ratings[user].copy()
        rest[item] = 0
        if rest.any():
            expected.add((item, *np.round(unit(rest @ items), 5).tolist()))
    got = {
        (int(np.argmax(items @ vector)), *np.round(condition.astype(np.float64), 5).tolist())
        for vector, condition in zip(*gan.fitted, strict=True)
    }
    assert len(gan.fitted[0]) == len(expected)
    for pair in got:
        assert min(np.abs(np.array(pair) - np.array(other)).max() for other in expected) < 2e-5


def test_pairs_leave_out_what_nobody_could_learn_from():
    rows = csr_matrix(np.array([[5.0, 3.0, 0, 0], [4.0, 0, 0, 0], [5.0, 0, -2.0, 3.0]]))
    items = np.array([[1.0, 0], [0, 1], [1, 1], [0, 0]])
    gan = FakeGenerator()
    GenerativeRecommender(gan).fit(rows, item_vectors=items)
    got = sorted((*vector, *condition) for vector, condition in zip(*gan.fitted, strict=True))
    # User 1 has one item only; user 2's disliked item and the item without a vector make no pair, but the
    # dislike turns the profile round.
    half = np.sqrt(0.5)
    np.testing.assert_allclose(got, [(0, 1, 1, 0), (1, 0, -half, -half), (1, 0, 0, 1)], rtol=0, atol=1e-7)


def test_nothing_to_train_on():
    model = GenerativeRecommender(FakeGenerator())
    with pytest.raises(ValueError, match="user_items: no user has two items with a vector"):
        model.fit(csr_matrix(np.eye(4)), item_vectors=np.eye(4))
    with pytest.raises(NotFittedError):
        model.recommend(0)


def test_some_pairs_are_held_out():
    rng = np.random.default_rng(0)
    many = csr_matrix((rng.random((200, 100)) < 0.5).astype(np.float32))
    gan = FakeGenerator()
    GenerativeRecommender(gan, validation_fraction=0.02).fit(many, item_vectors=rng.normal(size=(100, 4)))
    held_out = gan.fit_options["validation"]
    assert len(held_out.vectors) == int(0.02 * many.nnz)
    assert len(gan.fitted[0]) == many.nnz - len(held_out.vectors)
    GenerativeRecommender(gan, max_pairs=500).fit(many, item_vectors=rng.normal(size=(100, 4)))
    assert gan.fit_options["validation"] is None  # 10 pairs would say nothing
    assert len(gan.fitted[0]) == 500


def test_recent_items_weigh_more_with_half_life():
    times = history().copy()
    times.data = np.random.default_rng(5).integers(0, 100, times.nnz).astype(np.int64)
    model = GenerativeRecommender(FakeGenerator(), half_life=10.0)
    model.fit(history(), item_vectors=vectors(), timestamps=times)
    items = unit(vectors()).astype(np.float32)
    expected = user_profiles(history(), items, timestamps=times, half_life=10.0)
    np.testing.assert_allclose(model.profiles_, expected, rtol=0, atol=1e-6)
    assert not np.allclose(model.profiles_, user_profiles(history(), items), atol=1e-3)
    new = csr_matrix(([5.0], [EMPTY_ITEM], np.repeat([0, 1], [4, N_USERS - 3])), shape=(N_USERS, N_ITEMS))
    latest = times[3].max()
    model.partial_fit(new, epochs=0)
    grown, grown_times = history().tolil(), times.tolil()
    grown[3, EMPTY_ITEM], grown_times[3, EMPTY_ITEM] = 5.0, latest
    expected = user_profiles(grown.tocsr(), items, timestamps=grown_times.tocsr(), half_life=10.0)
    np.testing.assert_allclose(model.profiles_, expected, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="half_life takes timestamps; none came"):
        GenerativeRecommender(FakeGenerator(), half_life=10.0).fit(history(), item_vectors=vectors())


def test_partial_fit_takes_feedback_in():
    model = fitted()
    dense = np.zeros((N_USERS, N_ITEMS), dtype=np.float32)
    seen = history().indices[history().indptr[6]]
    dense[6, seen], dense[9, EMPTY_ITEM], dense[EMPTY_USER, 2] = 1.0, 4.0, 5.0
    model.partial_fit(csr_matrix(dense), epochs=3, replay=2)
    grown = history().toarray()
    grown[dense > 0] = dense[dense > 0]  # a known one gets the new value
    assert np.array_equal(model.user_items_.toarray(), grown)
    items = unit(vectors()).astype(np.float32)
    np.testing.assert_allclose(model.profiles_, user_profiles(csr_matrix(grown), items), rtol=0, atol=1e-6)
    ((pairs, conditions, epochs),) = model.gan_.updates
    assert epochs == 3
    # Three new pairs, but user 4's only item makes none; and two old ones beside each new one.
    assert len(pairs) == len(conditions) == 2 + 2 * 3
    assert any(np.allclose(pair, items[EMPTY_ITEM], atol=1e-6) for pair in pairs)
    model.partial_fit(csr_matrix(dense), epochs=0)
    assert len(model.gan_.updates) == 1
    model.partial_fit(csr_matrix((N_USERS, N_ITEMS)), epochs=1)
    assert len(model.gan_.updates) == 1  # nothing new, nothing to learn


def test_stored_zeros_are_seen_but_not_liked():
    """What was shown and ignored can enter the history without moving profile or popularity."""
    model = fitted()
    before = model.profiles_.copy(), model.popularity_.copy()
    zero = csr_matrix(([0.0], [EMPTY_ITEM], np.repeat([0, 1], [4, N_USERS - 3])), shape=(N_USERS, N_ITEMS))
    model.partial_fit(zero)
    assert model.user_items_.nnz == history().nnz + 1
    assert np.array_equal(model.profiles_, before[0])
    assert np.array_equal(model.popularity_, before[1])
    assert EMPTY_ITEM not in model.recommend([3], N_ITEMS).ids


def test_with_ranking_shares_the_generator():
    model = fitted()
    other = model.with_ranking(fusion="max", n_vectors=2, popularity=1.0)
    assert other.gan_ is model.gan_
    assert (other.fusion, other.n_vectors, other.popularity) == ("max", 2, 1.0)
    assert (model.fusion, model.n_vectors, model.popularity) == ("mean", 5, 0.0)
    direct = GenerativeRecommender(FakeGenerator(), n_vectors=2, fusion="max", popularity=1.0)
    direct.fit(history(), item_vectors=vectors())
    assert np.array_equal(other.recommend([1, 2]).ids, direct.recommend([1, 2]).ids)
    with pytest.raises(ValueError, match="fusion is 'sum'"):
        model.with_ranking(fusion="sum")


def test_diversity_re_ranks_five_candidates_an_item():
    model = fitted().with_ranking(fusion="max", diversity=0.6)
    candidates = fitted().with_ranking(fusion="max").recommend([1, 2], 15)
    expected = rerank(candidates, vectors(), 3, trade_off=0.4)
    found = model.recommend([1, 2], 3)
    assert np.array_equal(found.ids, expected.ids)
    assert np.array_equal(found.scores, expected.scores)
    assert model.recommend([1, 2], 0).ids.shape == (2, 0)
    with pytest.raises(ValueError, match=r"diversity is 1\.1; a number from 0 to 1"):
        model.with_ranking(diversity=1.1)


def test_similar_ones_are_the_nearest_by_cosine():
    model = fitted()
    cosines = unit(vectors()) @ unit(vectors()).T
    np.fill_diagonal(cosines, -np.inf)
    assert np.array_equal(model.similar_items(np.arange(N_ITEMS), 4).ids, np.argsort(-cosines, axis=1)[:, :4])
    between = model.profiles_.astype(np.float64) @ model.profiles_.T
    np.fill_diagonal(between, -np.inf)
    assert np.array_equal(model.similar_users([0, 2], 3).ids, np.argsort(-between, axis=1)[[0, 2], :3])


def test_vectors_are_made_where_none_are_given():
    model = GenerativeRecommender(FakeGenerator()).fit(history())
    assert model.item_vectors_.shape == (N_ITEMS, N_ITEMS - 1)
    assert not model.item_vectors_[EMPTY_ITEM].any()


def test_options_of_training_reach_the_generator(tmp_path):
    gan = FakeGenerator()
    GenerativeRecommender(gan).fit(
        history(), item_vectors=vectors(), checkpoint_dir=tmp_path, resume=True, progress=True
    )
    assert gan.fit_options == {"validation": None, "checkpoint_dir": tmp_path, "resume": True, "progress": True}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_vectors": 0}, ValueError, "n_vectors is 0; at least 1 is taken"),
        ({"n_vectors": 1.5}, TypeError, "n_vectors is a float"),
        ({"fusion": "sum"}, ValueError, "fusion is 'sum'; 'mean' or 'max' is taken"),
        ({"popularity": -1}, ValueError, "popularity is -1; a finite number of at least 0 is taken"),
        ({"popularity": np.nan}, ValueError, "popularity is nan"),
        ({"half_life": 0}, ValueError, "half_life is 0; a positive number is taken"),
        ({"validation_fraction": 1}, ValueError, r"validation_fraction is 1; a number in \[0, 1\) is taken"),
        ({"max_pairs": 0}, ValueError, "max_pairs is 0"),
        ({"seed": -1}, ValueError, "seed is -1"),
    ],
)
def test_wrong_settings(options, error, message):
    with pytest.raises(error, match=message):
        GenerativeRecommender(FakeGenerator(), **options)


def test_wrong_item_vectors_leave_the_recommender_unfitted():
    model = GenerativeRecommender(FakeGenerator())
    with pytest.raises(ValueError, match="item_vectors has shape"):
        model.fit(history(), item_vectors=vectors()[:-1])
    with pytest.raises(NotFittedError):
        model.recommend(0)


def test_wrong_exclusions():
    with pytest.raises(ValueError, match="exclude has shape"):
        fitted().recommend([0, 1], exclude=csr_matrix((1, N_ITEMS)))


def test_pickle_and_repr():
    model = pickle.loads(pickle.dumps(fitted()))
    assert model.recommend([1]).counts[0] == 10
    assert repr(model) == "GenerativeRecommender(n_vectors=5, fusion='mean', popularity=0.0, diversity=0.0)"


def test_with_a_real_gan():
    """Two tastes: the generator learns to make vectors of the right one, and lists follow."""
    pytest.importorskip("torch")
    from aigc_fast.gan import ContentGAN

    rng = np.random.default_rng(0)
    taste = np.arange(120) % 2
    liked = rng.random((120, 40)) < np.where((np.arange(40) % 2) == taste[:, None], 0.4, 0.02)
    rows = csr_matrix(liked.astype(np.float32))
    model = GenerativeRecommender(ContentGAN(epochs=15, hidden=(32,), batch_size=128), n_vectors=8)
    model.fit(rows, item_vectors=np.eye(40)[:, :2][np.arange(40) % 2] + 0.1 * rng.normal(size=(40, 2)))
    lists = model.recommend(np.arange(120), 5)
    assert np.mean(lists.ids % 2 == taste[:, None]) > 0.95
    assert np.array_equal(model.recommend([5, 6], 5).ids, lists.ids[5:7])


def test_the_default_generator_names_its_extra(monkeypatch):
    def refuse(module, extra):
        raise MissingExtraError(f"{module} is not installed; it comes with: pip install 'aigc-fast[{extra}]'")

    import sys

    for name in [name for name in sys.modules if name.startswith("aigc_fast.gan")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("aigc_fast.errors.require", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'aigc-fast\[gan\]'"):
        GenerativeRecommender().fit(history(), item_vectors=vectors())


def test_what_is_refused_leaves_no_half_trained_model():
    model = GenerativeRecommender(FakeGenerator(), half_life=1.0)
    with pytest.raises(ValueError, match="half_life takes timestamps"):
        model.fit(csr_matrix(np.ones((3, 4))))
    with pytest.raises(NotFittedError):
        model.recommend(0)
    with pytest.raises(ValueError, match="rating_weight is 'cubic'"):
        GenerativeRecommender(FakeGenerator(), rating_weight="cubic")
    with pytest.raises(ValueError, match=r"user_items has shape \(1, 4\); two users and two items at least"):
        GenerativeRecommender(FakeGenerator()).fit(csr_matrix(np.ones((1, 4))))


def test_a_refused_refit_changes_nothing():
    vectors = np.random.default_rng(0).standard_normal((4, 3))
    model = GenerativeRecommender(FakeGenerator()).fit(csr_matrix(np.ones((3, 4))), item_vectors=vectors)
    before = model.similar_items([0, 1], n=3)
    with pytest.raises(ValueError, match="timestamps must have an entry exactly where"):
        model.fit(csr_matrix(np.ones((3, 4))), item_vectors=-vectors[::-1], timestamps=csr_matrix((3, 4)))
    for left, right in zip(model.similar_items([0, 1], n=3), before, strict=True):
        assert np.array_equal(left, right)


def test_another_ranking_shares_what_was_learned():
    model = GenerativeRecommender(FakeGenerator()).fit(csr_matrix(np.ones((3, 4))), item_vectors=np.eye(4))
    other = model.with_ranking(popularity=0.5)
    assert other.profiles_ is model.profiles_
    assert other.gan_ is model.gan_


def test_training_pairs_take_the_memory_that_is_told():
    """8·d bytes a pair, beside what does not grow with the pairs."""
    n_users, n_items, dim = 300, 200, 16
    weights = csr_matrix(np.ones((n_users, n_items)))
    vectors = np.random.default_rng(0).standard_normal((n_items, dim)).astype(np.float32)
    entries = np.arange(weights.nnz)
    tracemalloc.start()
    try:
        leave_one_out_pairs(weights, vectors, entries)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * 8 * dim * len(entries)
