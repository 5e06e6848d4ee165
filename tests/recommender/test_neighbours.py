"""Neighbours and their scores against plain float64 NumPy."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_matrix

from aigc_fast.recommender import ItemKNN, UserKNN, neighbours, selection

SETTINGS = [("cosine", 0.0), ("cosine", 2.5), ("pearson", 0.0), ("pearson", 2.5)]
# Small whole numbers: many zeros, equal rows and ties.
MATRICES = hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))


def similarities(rows: np.ndarray, metric: str, shrink: float, min_overlap: int = 1) -> np.ndarray:
    """sim(a, b) = a·b / (‖a‖‖b‖ + shrink) of all pairs of rows, straight from the definition; zeros are not stored."""
    stored = rows != 0
    rows = rows.astype(np.float64)
    if metric == "pearson":
        means = rows.sum(axis=1) / np.maximum(stored.sum(axis=1), 1)
        rows = np.where(stored, rows - means[:, None], 0)
    result = np.zeros((len(rows), len(rows)))
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            length = np.sqrt(a @ a) * np.sqrt(b @ b)
            # Rows that centring leaves nothing of are similar to nothing; float64 leaves up to about 1e-15 of them.
            if length > 1e-12 and (stored[i] & stored[j]).sum() >= min_overlap:
                result[i, j] = a @ b / (length + shrink)
    return result


def nearest(similarity: np.ndarray, k: int) -> np.ndarray:
    """The similarities with only the k largest positive ones of each row kept, the row itself never."""
    kept = np.zeros_like(similarity)
    for i, row in enumerate(similarity):
        others = [j for j in np.lexsort((np.arange(len(row)), -row)) if j != i and row[j] > 1e-12]
        kept[i, others[:k]] = row[others[:k]]
    return kept


def random_ratings(seed: int, shape=(30, 24), density=0.4) -> np.ndarray:
    """Real values, so that no two similarities tie."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(1, 5, shape) * (rng.random(shape) < density)).astype(np.float32)


@pytest.mark.parametrize(("metric", "shrink"), SETTINGS)
@given(dense=MATRICES)
@settings(max_examples=60, deadline=None)
def test_similar_users_are_the_most_similar_rows(metric, shrink, dense):
    n = len(dense)
    reference = similarities(dense, metric, shrink)
    lists = UserKNN(k=2, metric=metric, shrink=shrink).fit(csr_matrix(dense)).similar_users(np.arange(n), n=n)
    for user in range(n):
        ids = lists.ids[user, : lists.counts[user]]
        expected = sorted(np.delete(reference[user], user), reverse=True)
        # A score is a float32 of a float64 of the same value: half a unit in the last place each way.
        assert lists.scores[user, : len(ids)] == pytest.approx(reference[user, ids], rel=1e-6)
        assert reference[user, ids] == pytest.approx([x for x in expected if x > 1e-12], rel=1e-6)


@pytest.mark.parametrize(("metric", "shrink"), SETTINGS)
def test_similar_items_are_the_most_similar_columns(metric, shrink):
    dense = random_ratings(1)
    reference = nearest(similarities(dense.T, metric, shrink), 5)
    lists = ItemKNN(k=2, metric=metric, shrink=shrink).fit(csr_matrix(dense)).similar_items(np.arange(24), n=5)
    order = np.argsort(-reference, axis=1, kind="stable")[:, :5]
    for item in range(24):
        count = lists.counts[item]
        assert count == np.count_nonzero(reference[item])
        assert np.array_equal(lists.ids[item, :count], order[item, :count])


def test_pearson_of_full_rows_is_numpys_corrcoef():
    dense = random_ratings(2, density=1.0)
    correlation = np.corrcoef(dense.astype(np.float64))
    lists = UserKNN(metric="pearson").fit(csr_matrix(dense)).similar_users(np.arange(30), n=29)
    for user in range(30):
        ids = lists.ids[user, : lists.counts[user]]
        assert lists.scores[user, : len(ids)] == pytest.approx(correlation[user, ids], rel=1e-6)
        assert len(ids) == (correlation[user] > 0).sum() - 1  # all positive ones but the user


def test_overlap():
    dense = random_ratings(8, density=0.2)
    for axis, model in ((0, UserKNN(5, "cosine", 0.0, 4)), (1, ItemKNN(5, "cosine", 0.0, 4))):
        rows = dense if axis == 0 else dense.T
        reference = nearest(similarities(rows, "cosine", 0.0, 4), 5)
        assert (reference > 0).sum() < (nearest(similarities(rows, "cosine", 0.0, 1), 5) > 0).sum()
        model.fit(csr_matrix(dense))
        lists = (model.similar_users if axis == 0 else model.similar_items)(np.arange(len(rows)), n=5)
        assert lists.counts.tolist() == (reference > 0).sum(axis=1).tolist()
        for row, (ids, count) in enumerate(zip(lists.ids, lists.counts, strict=True)):
            assert set(ids[:count]) == set(np.flatnonzero(reference[row]))


def baselines(dense: np.ndarray) -> np.ndarray:
    """Koren's: mean, then deviations of items (damped by 25), then those of users (by 10)."""
    stored = dense != 0
    values = dense.astype(np.float64)
    mean = values[stored].mean()
    items = np.where(stored, values - mean, 0).sum(axis=0) / (25 + stored.sum(axis=0))
    users = np.where(stored, values - mean - items, 0).sum(axis=1) / (10 + stored.sum(axis=1))
    return mean + users[:, None] + items


@pytest.mark.parametrize("metric", ["cosine", "pearson"])
@pytest.mark.parametrize("model", [UserKNN, ItemKNN])
def test_predicted_ratings_are_those_of_the_formula(model, metric):
    dense = random_ratings(7)
    dense[3], dense[:, 5] = 0, 0  # nothing is known of this user and this item
    baseline = baselines(dense)
    above = np.where(dense != 0, dense - baseline, 0)
    expected = np.empty(dense.shape)
    weights = nearest(similarities(dense if model is UserKNN else dense.T, metric, 1.5), 6)
    for user in range(30):
        for item in range(24):
            rated = dense[:, item] != 0 if model is UserKNN else dense[user] != 0
            weight = weights[user if model is UserKNN else item] * rated
            moved = weight @ (above[:, item] if model is UserKNN else above[user])
            expected[user, item] = baseline[user, item] + (moved / weight.sum() if weight.any() else 0)
    expected = np.clip(expected, dense[dense != 0].min(), dense.max())
    fitted = model(6, metric, 1.5).fit(csr_matrix(dense))
    users, items = np.divmod(np.arange(dense.size), 24)
    assert fitted.predict(users, items) == pytest.approx(expected.ravel(), rel=1e-6)
    with mock.patch.object(neighbours, "BATCH_PAIRS", 50):
        assert fitted.predict(users, items) == pytest.approx(expected.ravel(), rel=1e-6)
    assert fitted.predict(4, items[:24]).tolist() == fitted.predict([4] * 24, items[:24]).tolist()


@pytest.mark.parametrize(("metric", "shrink"), SETTINGS)
@pytest.mark.parametrize("k", [1, 7, 100])
def test_user_scores(metric, shrink, k):
    dense = random_ratings(3)
    weights = nearest(similarities(dense, metric, shrink), k)
    check_scores(UserKNN(k, metric, shrink), dense, weights @ dense.astype(np.float64))


@pytest.mark.parametrize(("metric", "shrink"), SETTINGS)
@pytest.mark.parametrize("k", [1, 7, 100])
def test_item_scores(metric, shrink, k):
    dense = random_ratings(4)
    weights = nearest(similarities(dense.T, metric, shrink), k)  # row i: the neighbours of item i
    model = ItemKNN(k, metric, shrink)
    check_scores(model, dense, dense.astype(np.float64) @ weights.T)
    assert model.similarity_.toarray() == pytest.approx(weights, rel=1e-6)


def check_scores(model, dense, reference):
    """The whole list of every user: the unseen items with a positive score, best first."""
    lists = model.fit(csr_matrix(dense)).recommend(np.arange(len(dense)), n=dense.shape[1])
    for user, scores in enumerate(reference):
        expected = [i for i in np.argsort(-scores, kind="stable") if scores[i] > 0 and dense[user, i] == 0]
        assert lists.ids[user, : lists.counts[user]].tolist() == expected
        # k similarities in float32, a sum of products in float64, rounded to float32: about k + 1 half units.
        assert lists.scores[user, : lists.counts[user]] == pytest.approx(scores[expected], rel=1e-5)


def test_a_new_user_may_have_the_twin_that_a_known_one_cannot():
    dense = random_ratings(5)
    model = UserKNN(k=1, metric="cosine").fit(csr_matrix(dense))
    row = csr_matrix(dense[:1])
    as_new = model.recommend(-1, n=24, user_items=row, exclude_seen=False)
    assert (
        as_new.ids[0, : as_new.counts[0]].tolist()
        == np.argsort(-dense[0], kind="stable")[: (dense[0] > 0).sum()].tolist()
    )
    as_known = model.recommend(0, n=24, user_items=row, exclude_seen=False)
    twin = model.similar_users(0, n=1).ids[0, 0]
    assert set(as_known.ids[0, : as_known.counts[0]]) == set(np.flatnonzero(dense[twin]))


@pytest.mark.parametrize("model", [UserKNN(k=5), ItemKNN(k=5, shrink=2)], ids=["UserKNN", "ItemKNN"])
def test_batches_do_not_show(model):
    matrix = csr_matrix(random_ratings(6))
    one = model.fit(matrix).recommend(np.arange(30), n=9, allow=matrix[::-1])
    with mock.patch.object(selection, "BATCH_ROWS", 7):
        many = model.fit(matrix).recommend(np.arange(30), n=9, allow=matrix[::-1])
    assert all(np.array_equal(left, right) for left, right in zip(one, many, strict=True))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 0}, ValueError, "k is 0; at least 1"),
        ({"k": 1.5}, TypeError, "k is a float"),
        ({"metric": "inner_product"}, ValueError, "metric is 'inner_product'; 'cosine' or 'pearson'"),
        ({"shrink": -1}, ValueError, "shrink is -1"),
        ({"shrink": float("nan")}, ValueError, "shrink is nan"),
        ({"min_overlap": 0}, ValueError, "min_overlap is 0; at least 1"),
    ],
)
def test_parameters_are_checked(arguments, error, message):
    for model in (UserKNN, ItemKNN):
        with pytest.raises(error, match=message):
            model(**arguments)


def test_repr():
    assert repr(ItemKNN(3, "pearson", 1.5)) == "ItemKNN(k=3, metric='pearson', shrink=1.5, min_overlap=1)"


def test_sums_of_exactly_zero_are_no_recommendation():
    """Item 2 resembles 0 as much as 1, which the user rates with opposite signs; item 3 only the first."""
    history = csr_matrix([[1.0, -1, 0, 0], [1, 0, 1, 1], [0, 1, 1, 0]])
    lists = ItemKNN(k=3, shrink=0).fit(history).recommend(0, n=4)
    assert lists.ids[0, : lists.counts[0]].tolist() == [3]
