"""Neighbours and their scores against plain float64 NumPy."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_matrix

from aigc_fast.recommender import ItemKNN, UserKNN, neighbours

SETTINGS = [("cosine", 0.0), ("cosine", 2.5), ("pearson", 0.0), ("pearson", 2.5)]
# Small whole numbers: many zeros, equal rows and ties.
MATRICES = hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))


def similarities(rows: np.ndarray, metric: str, shrink: float) -> np.ndarray:
    """sim(a, b) = a·b / (‖a‖‖b‖ + shrink) of all pairs of rows, straight from the definition."""
    rows = rows.astype(np.float64)
    if metric == "pearson":
        rows = rows - rows.mean(axis=1, keepdims=True)
    result = np.zeros((len(rows), len(rows)))
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            length = np.sqrt(a @ a) * np.sqrt(b @ b)
            # Rows that centring leaves nothing of are similar to nothing; float64 leaves up to about 1e-15 of them.
            if length > 1e-12:
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


def test_pearson_is_numpys_corrcoef():
    dense = random_ratings(2)
    correlation = np.corrcoef(dense.astype(np.float64))
    lists = UserKNN(metric="pearson").fit(csr_matrix(dense)).similar_users(np.arange(30), n=29)
    for user in range(30):
        ids = lists.ids[user, : lists.counts[user]]
        assert lists.scores[user, : len(ids)] == pytest.approx(correlation[user, ids], rel=1e-6)
        assert len(ids) == (correlation[user] > 0).sum() - 1  # all positive ones but the user


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
    with mock.patch.object(neighbours, "BATCH_ROWS", 7):
        many = model.fit(matrix).recommend(np.arange(30), n=9, allow=matrix[::-1])
    assert all(np.array_equal(left, right) for left, right in zip(one, many, strict=True))


def test_a_matrix_too_large_to_hold_dense_is_refused():
    matrix = csr_matrix((1 << 16, 1 << 16))
    for model in (UserKNN(), ItemKNN()):
        with pytest.raises(ValueError, match=r"user_items of 65536 × 65536 takes 16\.0 GiB .* at most 1 GiB is taken"):
            model.fit(matrix)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 0}, ValueError, "k is 0; at least 1"),
        ({"k": 1.5}, TypeError, "k is a float"),
        ({"metric": "inner_product"}, ValueError, "metric is 'inner_product'; 'cosine' or 'pearson'"),
        ({"shrink": -1}, ValueError, "shrink is -1"),
        ({"shrink": float("nan")}, ValueError, "shrink is nan"),
    ],
)
def test_parameters_are_checked(arguments, error, message):
    for model in (UserKNN, ItemKNN):
        with pytest.raises(error, match=message):
            model(**arguments)


def test_repr():
    assert repr(ItemKNN(3, "pearson", 1.5)) == "ItemKNN(k=3, metric='pearson', shrink=1.5)"
