"""What every recommender has to keep, whatever it recommends.

A new recommender joins by one line in `RECOMMENDERS`.
"""

import pickle

import numpy as np
import pytest
from fake_generator import FakeGenerator
from scipy.sparse import csr_array, csr_matrix

from aigc_fast import TopK
from aigc_fast.recommender import (
    EASE,
    GenerativeRecommender,
    ItemKNN,
    NotFittedError,
    PureSVD,
    Recommender,
    TopPop,
    UserKNN,
    model_file,
)

N_USERS, N_ITEMS = 40, 30
EMPTY_USER, EMPTY_ITEM = 5, 17

#: Name → a function that makes an unfitted recommender for `N_ITEMS` items.
RECOMMENDERS = {
    "TopPop": TopPop,
    "UserKNN": lambda: UserKNN(k=8, metric="cosine"),
    "UserKNN pearson": lambda: UserKNN(k=8, metric="pearson"),
    "UserKNN shrunk": lambda: UserKNN(k=8, metric="cosine", shrink=3),
    "ItemKNN": lambda: ItemKNN(k=8, metric="cosine", shrink=0),
    "ItemKNN pearson": lambda: ItemKNN(k=8, metric="pearson", shrink=0),
    "ItemKNN shrunk": lambda: ItemKNN(k=8, metric="cosine", shrink=3),
    "ItemKNN overlapping": lambda: ItemKNN(k=8, metric="pearson", shrink=0, min_overlap=3),
    "EASE": lambda: EASE(regularization=20),
    "PureSVD": lambda: PureSVD(factors=6),
    "Generative": lambda: GenerativeRecommender(FakeGenerator(), n_vectors=4),
    "Generative max": lambda: GenerativeRecommender(FakeGenerator(), n_vectors=4, fusion="max", popularity=0.3),
}


def history() -> csr_matrix:
    """Ratings 1 to 5 in a quarter of the cells; one user and one item have none."""
    rng = np.random.default_rng(3)
    dense = rng.integers(1, 6, (N_USERS, N_ITEMS)) * (rng.random((N_USERS, N_ITEMS)) < 0.25)
    dense[EMPTY_USER] = 0
    dense[:, EMPTY_ITEM] = 0
    return csr_matrix(dense.astype(np.float32))


@pytest.fixture(scope="module", params=RECOMMENDERS)
def fitted(request) -> Recommender:
    return RECOMMENDERS[request.param]().fit(history())


def assert_lists(lists: TopK, n_lists: int, n: int) -> None:
    """Shapes, dtypes, order, padding, no item twice."""
    assert lists.scores.shape == lists.ids.shape == (n_lists, n)
    assert lists.counts.shape == (n_lists,)
    assert (lists.scores.dtype, lists.ids.dtype, lists.counts.dtype) == (np.float32, np.int64, np.int64)
    for scores, ids, count in zip(*lists, strict=True):
        assert np.isfinite(scores[:count]).all()
        assert (ids[:count] >= 0).all()
        assert (ids[:count] < max(N_USERS, N_ITEMS)).all()
        assert len(set(ids[:count].tolist())) == count
        assert np.array_equal(ids[count:], np.full(n - count, -1))
        assert np.array_equal(scores[count:], np.full(n - count, -np.inf))
        order = np.lexsort((ids[:count], -scores[:count]))
        assert np.array_equal(order, np.arange(count))


def assert_same(one: TopK, other: TopK) -> None:
    for left, right in zip(one, other, strict=True):
        assert np.array_equal(left, right)


def test_fit_returns_self_and_leaves_its_input_alone(fitted):
    given = history().astype(np.float64)
    before = given.copy()
    again = pickle.loads(pickle.dumps(fitted))
    assert again.fit(given) is again
    assert (given != before).nnz == 0
    first = again.recommend(np.arange(N_USERS))
    given.data[:] = 0  # what was learned is not a view of the caller's matrix
    assert_same(again.recommend(np.arange(N_USERS)), first)
    assert_same(fitted.recommend(np.arange(N_USERS)), first)  # same data, same lists


def test_lists_keep_their_form_and_leave_out_what_was_seen(fitted):
    lists = fitted.recommend(np.arange(N_USERS), n=7)
    assert_lists(lists, N_USERS, 7)
    seen = history().toarray() > 0
    for user, ids in enumerate(lists.ids):
        assert not seen[user, ids[ids >= 0]].any()
    assert lists.counts.sum() > 0


def test_seen_items_come_back_when_asked_for(fitted):
    lists = fitted.recommend(np.arange(N_USERS), n=N_ITEMS, exclude_seen=False)
    assert_lists(lists, N_USERS, N_ITEMS)
    seen = history().toarray() > 0
    assert any(seen[user, ids[ids >= 0]].any() for user, ids in enumerate(lists.ids))


def test_a_batch_is_its_users_one_by_one(fitted):
    users = [3, 0, EMPTY_USER, 3, 39]
    batch = fitted.recommend(users, n=6)
    for row, user in enumerate(users):
        assert_same(fitted.recommend(user, n=6), TopK(*(column[row : row + 1] for column in batch)))


def test_a_shorter_list_is_the_beginning_of_a_longer_one(fitted):
    longest = fitted.recommend(np.arange(N_USERS), n=N_ITEMS + 5)
    assert_lists(longest, N_USERS, N_ITEMS + 5)
    for n in (0, 1, 4, N_ITEMS):
        lists = fitted.recommend(np.arange(N_USERS), n=n)
        assert np.array_equal(lists.ids, longest.ids[:, :n])
        assert np.array_equal(lists.scores, longest.scores[:, :n])


def test_no_users(fitted):
    assert_lists(fitted.recommend([], n=4), 0, 4)
    assert_lists(fitted.recommend([], n=4, user_items=csr_matrix((0, N_ITEMS))), 0, 4)


def test_a_given_history_replaces_the_training_row(fitted):
    users = np.array([7, 8, EMPTY_USER])
    assert_same(fitted.recommend(users, n=6, user_items=history()[users]), fitted.recommend(users, n=6))
    swapped = fitted.recommend(users, n=6, user_items=csr_array(history()[[8, 7, 7]]))
    assert_lists(swapped, 3, 6)
    seen = history()[[8, 7, 7]].toarray() > 0
    for row, ids in enumerate(swapped.ids):
        assert not seen[row, ids[ids >= 0]].any()


@pytest.mark.parametrize("new_id", [-1, N_USERS, 10**12])
def test_new_users_get_lists(fitted, new_id):
    """A user whom training never saw, with the history of one it saw, or a part of it, or none."""
    row = history()[7].toarray()
    rows = csr_matrix(np.vstack([row, row * (row > 3), np.zeros(N_ITEMS)]))
    lists = fitted.recommend([new_id] * 3, n=6, user_items=rows)
    assert_lists(lists, 3, 6)
    assert lists.counts[0] > 0
    assert lists.counts[1] > 0


ALLOWED = [1, 4, 9, EMPTY_ITEM, 28]


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_every_form_of_allow_means_the_same(fitted, exclude_seen):
    users = np.arange(N_USERS)
    mask = np.zeros(N_ITEMS, bool)
    mask[ALLOWED] = True
    whole = fitted.recommend(users, n=N_ITEMS, exclude_seen=exclude_seen)
    by_ids = fitted.recommend(users, n=N_ITEMS, exclude_seen=exclude_seen, allow=ALLOWED)
    assert_lists(by_ids, N_USERS, N_ITEMS)
    for row in range(N_USERS):  # what is allowed of the whole list, in the same order with the same scores
        keep = mask[whole.ids[row]] & (whole.ids[row] >= 0)
        assert np.array_equal(by_ids.ids[row, : by_ids.counts[row]], whole.ids[row, keep])
        assert np.array_equal(by_ids.scores[row, : by_ids.counts[row]], whole.scores[row, keep])
    each = csr_matrix(np.tile(mask, (N_USERS, 1)))
    pattern = (each.indptr.tolist(), each.indices.tolist())
    for allow in (mask, np.array(ALLOWED)[::-1], each, csr_array(each) * 0, (each.indptr, each.indices), pattern):
        assert_same(fitted.recommend(users, n=N_ITEMS, exclude_seen=exclude_seen, allow=allow), by_ids)


def test_allow_by_user(fitted):
    users = np.array([2, 9, 9])
    allow = csr_matrix(np.array([[1] * 15 + [0] * 15, [0] * 15 + [1] * 15, [0] * 30]))
    lists = fitted.recommend(users, n=N_ITEMS, allow=allow)
    assert_lists(lists, 3, N_ITEMS)
    assert (lists.ids[0] < 15).all()
    assert ((lists.ids[1] >= 15) | (lists.ids[1] < 0)).all()
    assert lists.counts[2] == 0


def test_allowing_nothing_gives_nothing(fitted):
    for allow in ([], np.zeros(N_ITEMS, bool)):
        assert fitted.recommend([0, 1], allow=allow).counts.tolist() == [0, 0]


def test_stored_zeros_are_history(fitted):
    """An item rated 0 is seen: patterns count, not values."""
    row = history()[7]
    unseen = int(np.flatnonzero(row.toarray()[0] == 0)[0])
    with_zero = csr_matrix(
        (np.append(row.data, 0), np.append(row.indices, unseen), [0, row.nnz + 1]), shape=(1, N_ITEMS)
    )
    assert unseen not in fitted.recommend(-1, n=N_ITEMS, user_items=with_zero).ids


def test_unsorted_indices_and_duplicates_are_understood(fitted):
    row = history()[7]
    shuffled = csr_matrix(
        (np.append(row.data[::-1], 0), np.append(row.indices[::-1], row.indices[0]), [0, row.nnz + 1]), (1, N_ITEMS)
    )
    assert_same(fitted.recommend(7, user_items=shuffled), fitted.recommend(7, user_items=row))
    assert shuffled.nnz == row.nnz + 1  # not tidied up behind the caller's back


def test_pickle(fitted):
    copy = pickle.loads(pickle.dumps(fitted))
    assert_same(copy.recommend(np.arange(N_USERS)), fitted.recommend(np.arange(N_USERS)))


@pytest.fixture(params=[name for name in RECOMMENDERS if not name.startswith("Generative")])
def unfitted(request) -> Recommender:
    """Those whose `partial_fit` is `fit` on everything, and that have a file form."""
    return RECOMMENDERS[request.param]()


def test_learning_on_is_learning_from_everything(unfitted):
    """Old users and items get new interactions and values, and new users and items come."""
    dense = history().toarray()
    whole = np.pad(dense, ((0, 2), (0, 3)))
    whole[3, 4:8], whole[EMPTY_USER, 2], whole[N_USERS, 3:9], whole[8:12, N_ITEMS] = [5, 1, 2, 4], 3, 4, 5
    changed = np.where(whole != np.pad(dense, ((0, 2), (0, 3))), whole, 0)
    grown = pickle.loads(pickle.dumps(unfitted)).fit(csr_matrix(dense))
    assert grown.partial_fit(csr_matrix(changed)) is grown
    unfitted.fit(csr_matrix(whole))
    assert (grown.user_items_ != unfitted.user_items_).nnz == 0
    users = np.arange(N_USERS + 2)
    assert_same(grown.recommend(users, n=N_ITEMS), unfitted.recommend(users, n=N_ITEMS))
    with pytest.raises(ValueError, match="user_items has shape"):
        grown.partial_fit(csr_matrix((N_USERS, N_ITEMS + 3)))
    grown.partial_fit(csr_matrix(whole.shape))
    assert_same(grown.recommend(users), unfitted.recommend(users))


def test_files(unfitted, tmp_path, monkeypatch):
    kind, path = type(unfitted), tmp_path / "model"
    with pytest.raises(NotFittedError):
        unfitted.save(path)
    unfitted.fit(history()).save(path)
    loaded = kind.load(path)
    assert repr(loaded) == repr(unfitted)
    assert_same(loaded.recommend(np.arange(N_USERS)), unfitted.recommend(np.arange(N_USERS)))
    loaded.partial_fit(csr_matrix((N_USERS, N_ITEMS)))
    assert_same(loaded.recommend(np.arange(N_USERS)), unfitted.recommend(np.arange(N_USERS)))
    other = TopPop if kind is not TopPop else EASE
    with pytest.raises(ValueError, match=f"holds a fitted {kind.__name__}; {other.__name__} is taken"):
        other.load(path)
    whole = path.read_bytes()

    def fail(_):
        raise OSError("disk full")

    monkeypatch.setattr("aigc_fast.array_file._flush", fail)
    with pytest.raises(OSError, match="disk full"):
        unfitted.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    assert path.read_bytes() == whole
    damaged = bytearray(whole)
    damaged[-50] ^= 8
    for content, message in ((whole[:-1], "truncated"), (damaged, "checksum does not match")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            kind.load(path)


@pytest.mark.parametrize(("indices", "indptr"), [([99, 0], [0, 1, 2]), ([-1, 0], [0, 1, 2]), ([0, 1], [0, 5, 2])])
def test_a_file_with_indices_out_of_range_is_refused(tmp_path, indices, indptr):
    """Its checksum may be right: a file can be made, and SciPy would write beyond its arrays."""
    broken = csr_matrix((2, 3))
    broken.data, broken.indices, broken.indptr = np.ones(2, np.float32), np.array(indices), np.array(indptr)
    model_file.save(tmp_path / "model", "TopPop", {}, {"user_items_": broken, "popularity_": np.ones(3, np.float32)})
    with pytest.raises(ValueError, match="is damaged: user_items_ is no valid CSR matrix"):
        TopPop.load(tmp_path / "model")


def test_no_file_form(tmp_path):
    class Unsaved(TopPop):
        _learned = None

    with pytest.raises(NotImplementedError, match="Unsaved has no file form"):
        Unsaved().fit(history()).save(tmp_path / "model")
    with pytest.raises(NotImplementedError, match="Unsaved has no file form"):
        Unsaved.load(tmp_path / "model")


def test_ratings(fitted):
    """Either it predicts no ratings, or they stay in the range of those given, and bad pairs are refused."""
    users, items = np.divmod(np.arange(N_USERS * N_ITEMS), N_ITEMS)
    try:
        ratings = fitted.predict(users, items)
    except NotImplementedError as error:
        assert type(fitted).__name__ in str(error)  # noqa: PT017
        return
    assert ratings.dtype == np.float64
    assert ratings.shape == users.shape
    assert ratings.min() >= 1
    assert ratings.max() <= 5
    assert len(fitted.predict([], [])) == 0
    for arguments, message in (
        (([0, N_USERS], [0, 0]), "user_ids holds 40; ids from 0 to 39"),
        ((0, [-1]), "item_ids holds -1"),
        (([0, 1], [0, 1, 2]), "user_ids and item_ids have 2 and 3 entries; pairs are taken"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted.predict(*arguments)


@pytest.mark.parametrize("what", ["similar_items", "similar_users"])
def test_similar_ones(fitted, what):
    """Either there is no such similarity, or the lists keep their form and nothing is similar to itself."""
    ask = getattr(fitted, what)
    size = N_ITEMS if what == "similar_items" else N_USERS
    try:
        lists = ask(np.arange(size), n=6)
    except NotImplementedError as error:
        assert type(fitted).__name__ in str(error)  # noqa: PT017
        return
    assert_lists(lists, size, 6)
    assert not (lists.ids == np.arange(size)[:, None]).any()
    assert lists.counts.sum() > 0
    assert_lists(ask(3, n=size + 3), 1, size + 3)
    assert_lists(ask([], n=2), 0, 2)
    for bad in (-1, size):
        with pytest.raises(
            ValueError, match=f"{'item' if what == 'similar_items' else 'user'}_ids holds {bad}; ids from 0"
        ):
            ask([0, bad])


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_before_fit(name):
    new = RECOMMENDERS[name]()
    with pytest.raises(NotFittedError, match=f"this {type(new).__name__} is not fitted yet; call fit first"):
        new.recommend(0)


@pytest.mark.parametrize("name", RECOMMENDERS)
@pytest.mark.parametrize(
    ("user_items", "error", "message"),
    [
        (np.ones((3, 3)), TypeError, "user_items is a ndarray; a SciPy sparse matrix"),
        (csr_matrix(np.array([[1.0, np.nan]])), ValueError, "user_items holds values that are NaN or infinite"),
        (
            csr_matrix(np.array([[1.0, 1e39]])),
            ValueError,
            "user_items holds values that are NaN or infinite as float32",
        ),
    ],
)
def test_fit_refuses(name, user_items, error, message):
    new = RECOMMENDERS[name]()
    with pytest.raises(error, match=message):
        new.fit(user_items)
    with pytest.raises(NotFittedError):
        new.recommend(0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"user_ids": [0, -1]}, ValueError, "user_ids holds -1; ids from 0 to 39 are taken"),
        ({"user_ids": N_USERS}, ValueError, "user_ids holds 40; ids from 0 to 39"),
        ({"user_ids": [0.5]}, TypeError, "user_ids has dtype float64; integers are taken"),
        ({"user_ids": [[0]]}, ValueError, "user_ids has 2 dimensions"),
        ({"user_ids": 0, "n": -1}, ValueError, "n is -1; at least 0 is taken"),
        ({"user_ids": 0, "n": 2.0}, TypeError, "n is a float; an int is taken"),
        ({"user_ids": 0, "user_items": np.ones((1, N_ITEMS))}, TypeError, "user_items is a ndarray"),
        ({"user_ids": 0, "user_items": csr_matrix((2, N_ITEMS))}, ValueError, "user_items has shape"),
        ({"user_ids": 0, "user_items": csr_matrix((1, 3))}, ValueError, "user_items has shape"),
        ({"user_ids": 0, "allow": [0, N_ITEMS]}, ValueError, "allow holds 30; ids from 0 to 29"),
        ({"user_ids": 0, "allow": np.ones(3, bool)}, ValueError, "allow is a mask of shape"),
        ({"user_ids": 0, "allow": [1.5]}, TypeError, "allow has dtype float64"),
        ({"user_ids": 0, "allow": csr_matrix((2, N_ITEMS))}, ValueError, "allow has shape"),
        ({"user_ids": 0, "allow": (np.array([0, 2]), np.array([1]))}, ValueError, "indptr must rise from 0 to 1"),
        ({"user_ids": 0, "allow": (np.array([0, 1]), np.array([30]))}, ValueError, r"allow \(ids\) holds 30"),
    ],
)
def test_recommend_refuses(fitted, arguments, error, message):
    with pytest.raises(error, match=message):
        fitted.recommend(**arguments)


@pytest.mark.parametrize("name", [name for name in RECOMMENDERS if not name.startswith("Generative")])
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (1, 1), (3, 3)])
def test_nothing_to_learn_from(name, shape):
    """Lists of the form of any others, from a training matrix without entries."""
    model = RECOMMENDERS[name]().fit(csr_matrix(shape))
    lists = model.recommend(np.arange(shape[0]), n=4)
    assert_lists(lists, shape[0], 4)
    assert_lists(model.recommend(-1, n=4, user_items=csr_matrix((1, shape[1]))), 1, 4)
    if name != "TopPop":  # which ranks items that nobody has
        assert not lists.counts.any()
