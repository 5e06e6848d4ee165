"""Metrics by hand, against ir-measures, and against their definitions in plain loops."""

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from aigc_fast import TopK
from aigc_fast.recommender import accuracy_by_user, diversity_by_user, evaluate, rating_errors
from aigc_fast.recommender.evaluation import gini

ORACLE = {
    "P": ir_measures.P,
    "R": ir_measures.R,
    "NDCG": ir_measures.nDCG,
    "MRR": ir_measures.RR,
    "MAP": ir_measures.AP,
}


def lists_of(rows, n) -> TopK:
    """Lists of ids, padded to ``n`` as recommenders pad."""
    ids = np.array([list(row) + [-1] * (n - len(row)) for row in rows], np.int64).reshape(len(rows), n)
    scores = np.where(ids < 0, -np.inf, -np.arange(n, dtype=np.float32))
    return TopK(scores, ids, (ids >= 0).sum(axis=1))


def matrix_of(rows, n_items) -> csr_matrix:
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    indices = np.array([item for row in rows for item in sorted(row)], np.int64)
    return csr_matrix((np.zeros(len(indices)), indices, indptr), shape=(len(rows), n_items))  # stored zeros: pattern


@st.composite
def cases(draw):
    """Lists and test items of a few users over a few items, both possibly empty or short."""
    n_items = draw(st.integers(1, 12))
    some_items = st.lists(st.integers(0, n_items - 1), unique=True)
    n_users = draw(st.integers(1, 6))
    slots = draw(st.integers(1, 10))
    lists = [draw(some_items)[:slots] for _ in range(n_users)]
    return lists_of(lists, slots), matrix_of([draw(some_items) for _ in range(n_users)], n_items)


@given(case=cases(), data=st.data())
@settings(max_examples=150, deadline=None)
def test_equals_ir_measures_for_every_user(case, data):
    lists, test = case
    n = data.draw(st.integers(1, lists.ids.shape[1]))
    ours = accuracy_by_user(lists, test, n)
    qrels = [
        ir_measures.Qrel(str(user), str(item), 1)
        for user in range(test.shape[0])
        for item in test.indices[test.indptr[user] : test.indptr[user + 1]]
    ]
    run = [
        ir_measures.ScoredDoc(str(user), str(item), float(score))
        for user in range(test.shape[0])
        for item, score in zip(lists.ids[user], lists.scores[user], strict=True)
        if item >= 0
    ]
    measures = {measure @ n: name for name, measure in ORACLE.items()}
    theirs = {(measures[m.measure], int(m.query_id)): m.value for m in ir_measures.iter_calc(measures, qrels, run)}
    for name, values in ours.items():
        for user, value in enumerate(values):
            if test.indptr[user] == test.indptr[user + 1]:
                assert np.isnan(value)
            else:  # a user whose list is empty is missing there, and 0 here
                assert value == pytest.approx(theirs.get((name, user), 0), abs=1e-12)
    averages = evaluate(lists, test, cutoffs=[n])
    evaluated = {user for _, user in theirs} | {u for u in range(test.shape[0]) if test.indptr[u] < test.indptr[u + 1]}
    for name in ORACLE:
        if evaluated:
            expected = np.mean([theirs.get((name, user), 0) for user in evaluated])
            assert averages[f"{name}@{n}"] == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(averages[f"{name}@{n}"])


def test_accuracy_by_hand():
    lists = lists_of([[4, 0, 2, 1], [3, 1], [0, 1, 2, 3]], 4)
    test = matrix_of([[0, 1, 5], [0], []], 6)  # the third user has nothing to find
    metrics = evaluate(lists, test, cutoffs=(2, 4))
    log3, log5 = np.log2(3), np.log2(5)
    assert metrics["P@2"] == pytest.approx((1 / 2 + 0) / 2)
    assert metrics["P@4"] == pytest.approx((2 / 4 + 0) / 2)
    assert metrics["R@2"] == pytest.approx((1 / 3 + 0) / 2)
    assert metrics["R@4"] == pytest.approx((2 / 3 + 0) / 2)
    assert metrics["NDCG@2"] == pytest.approx((1 / log3) / (1 + 1 / log3) / 2)
    assert metrics["NDCG@4"] == pytest.approx((1 / log3 + 1 / log5) / (1 + 1 / log3 + 1 / 2) / 2)
    assert metrics["MRR@2"] == metrics["MRR@4"] == pytest.approx((1 / 2 + 0) / 2)
    assert metrics["MAP@4"] == pytest.approx(((1 / 2 + 2 / 4) / 3 + 0) / 2)
    assert metrics["Gini@2"] == pytest.approx(gini([2, 2, 0, 1, 1, 0]))
    assert metrics["Coverage@2"] == pytest.approx(4 / 6)  # 0, 1, 3, 4 of six: all lists count
    assert metrics["Coverage@4"] == pytest.approx(5 / 6)


@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_gini_is_half_the_relative_mean_difference(counts):
    value = gini(counts)
    if sum(counts):
        assert value == pytest.approx(abs(np.subtract.outer(counts, counts)).mean() / (2 * np.mean(counts)))
    else:
        assert np.isnan(value)


def test_novelty_by_hand():
    train = matrix_of([[0, 1], [0], [0], [0, 1]], 4)  # 4, 2, 0, 0 of 4 users
    lists = lists_of([[0, 1, 2], [0], []], 3)
    metrics = evaluate(lists, matrix_of([[3]] * 3, 4), cutoffs=(1, 3), train=train)
    # −log2 of 4/4, 2/4 and, for nobody, 1/4; the empty list does not count.
    assert metrics["Novelty@1"] == pytest.approx((0 + 0) / 2)
    assert metrics["Novelty@3"] == pytest.approx(((0 + 1 + 2) / 3 + 0) / 2)


@given(case=cases(), seed=st.integers(0, 9), dtype=st.sampled_from([np.float32, np.float64, np.int64]))
@settings(max_examples=80, deadline=None)
def test_diversity_is_one_minus_the_mean_cosine_of_pairs(case, seed, dtype):
    lists, test = case
    n = lists.ids.shape[1]
    vectors = np.random.default_rng(seed).integers(-3, 4, (test.shape[1], 3)).astype(dtype)
    expected = []
    for ids in lists.ids:
        rows = [vectors[item].astype(float) for item in ids if item >= 0]
        cosines = []
        for j, a in enumerate(rows):
            for b in rows[:j]:
                length = np.linalg.norm(a) * np.linalg.norm(b)
                cosines.append(a @ b / length if length else 0)
        if cosines:
            expected.append(1 - np.mean(cosines))
    result = evaluate(lists, test, cutoffs=[n], item_vectors=vectors)[f"Diversity@{n}"]
    if expected:
        # Unit rows in float32 are off by 6e-8 each; their mean pairwise cosine by less than 1e-6.
        assert result == pytest.approx(np.mean(expected), abs=1e-6)
    else:
        assert np.isnan(result)


def test_perfect_and_hopeless_lists():
    test = matrix_of([[0, 1, 2], [3]], 6)
    perfect = evaluate(lists_of([[0, 1, 2], [3, 4, 5]], 3), test, cutoffs=[1, 3])
    assert [perfect[f"{name}@1"] for name in ("P", "NDCG", "MRR")] == [1, 1, 1]
    assert [perfect[f"{name}@3"] for name in ("R", "NDCG", "MRR")] == pytest.approx([1, 1, 1])
    hopeless = evaluate(lists_of([[3, 4, 5], [0, 1, 2]], 3), test, cutoffs=[3])
    assert [hopeless[f"{name}@3"] for name in ("P", "R", "NDCG", "MRR")] == [0, 0, 0, 0]


def test_optional_metrics_need_their_inputs():
    lists, test = lists_of([[0, 1]], 2), matrix_of([[0]], 2)
    assert list(evaluate(lists, test, cutoffs=[2])) == [
        "P@2",
        "R@2",
        "NDCG@2",
        "MRR@2",
        "MAP@2",
        "Coverage@2",
        "Gini@2",
    ]
    full = evaluate(lists, test, cutoffs=[2], train=test, item_vectors=np.eye(2))
    assert full["Diversity@2"] == 1
    assert {"Diversity@2", "Novelty@2"} < full.keys()


@pytest.mark.parametrize(
    ("ids", "arguments", "message"),
    [
        ([[0, 1]], {"cutoffs": [3]}, "cutoffs is 3; the lists of topk have 2 slots"),
        ([[0, 1]], {"cutoffs": [0]}, "cutoffs is 0; at least 1"),
        ([[0, 4]], {}, "topk.ids holds ids from 0 to 4; -1 to 3 are taken"),
        ([[-2, 0]], {}, "topk.ids holds ids from -2"),
        ([[2, 2]], {}, "topk.ids: row 0 lists an item twice"),
        ([[0, 1], [0, 1]], {}, "topk.ids is int64 of shape"),
        ([[0.0, 1.0]], {}, "topk.ids is float64 of shape"),
        ([[0, 1]], {"train": matrix_of([[0]], 3)}, "train has shape"),
        ([[0, 1]], {"item_vectors": np.eye(3)}, "item_vectors has shape"),
        ([[0, 1]], {"item_vectors": np.full((4, 2), np.nan)}, "item_vectors holds NaN"),
    ],
)
def test_what_does_not_fit_is_refused(ids, arguments, message):
    array = np.array(ids)
    lists = TopK(np.zeros(array.shape), array, np.full(len(array), array.shape[1]))
    with pytest.raises(ValueError, match=message):
        evaluate(lists, matrix_of([[0]], 4), **{"cutoffs": [2], **arguments})


def test_rating_errors():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    predicted, actual = rng.uniform(1, 5, 400), rng.integers(1, 6, 400)
    errors = rating_errors(predicted, actual)
    assert errors["RMSE"] == pytest.approx(metrics.root_mean_squared_error(actual, predicted), rel=1e-12)
    assert errors["MAE"] == pytest.approx(metrics.mean_absolute_error(actual, predicted), rel=1e-12)
    assert np.isnan(list(rating_errors([], []).values())).all()
    with pytest.raises(ValueError, match=r"predicted has shape \(2,\) and actual \(3,\)"):
        rating_errors([1, 2], [1, 2, 3])


@pytest.mark.parametrize(
    "measure",
    [
        lambda lists, n: accuracy_by_user(lists, csr_matrix([[1, 0]]), n),
        lambda lists, n: diversity_by_user(lists, np.eye(2), n),
    ],
)
def test_the_length_is_named_as_the_caller_knows_it(measure):
    lists = TopK(np.ones((1, 2)), np.array([[0, 1]]), np.array([2]))
    for n, message in ((3, "^n is 3; the lists of topk have 2 slots"), (0, "^n is 0; at least 1")):
        with pytest.raises(ValueError, match=message):
            measure(lists, n)


@pytest.mark.parametrize("pairs", [([np.nan, 3], [1, 3]), ([1, 3], [1, np.inf])])
def test_ratings_that_are_no_numbers_are_not_passed_over(pairs):
    with pytest.raises(ValueError, match=r"(predicted|actual) holds NaN or infinite"):
        rating_errors(*pairs)
