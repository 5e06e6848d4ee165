"""Exclusions, allow-lists and pages, alone and together, for top-K and threshold, on both paths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from aigc_fast import TopK, cosine_threshold, cosine_topk

from . import reference
from .checks import assert_same_results, id_lists
from .inputs import Problem, problems, ways
from .ways import ISAS, Way, all_ways, taking

X = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [2, 0]], np.float32)
Q = X[:1]


def lists_of_ids(query_count: int, item_count: int) -> st.SearchStrategy[list[list[int]]]:
    ids = st.lists(st.integers(0, item_count - 1), max_size=12) if item_count else st.just([])
    return st.lists(ids, min_size=query_count, max_size=query_count)


@st.composite
def filters(draw: st.DrawFn, problem: Problem) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keyword arguments for the library and, as plain lists, for the reference. Lists are unsorted, ids may repeat."""
    queries, items, _ = problem
    query_count, item_count = len(queries), len(items)
    call: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    if draw(st.booleans()):
        plain["exclude"] = draw(lists_of_ids(query_count, item_count))
        call["exclude"] = id_lists(plain["exclude"])
    allow = draw(st.sampled_from(["no", "lists", "ids", "mask"]))
    if allow == "lists":
        plain["allow"] = draw(lists_of_ids(query_count, item_count))
        call["allow"] = id_lists(plain["allow"])
    elif allow != "no":
        plain["allow"] = draw(st.lists(st.integers(0, item_count - 1))) if item_count else []
        call["allow"] = np.isin(np.arange(item_count), plain["allow"]) if allow == "mask" else plain["allow"]
    if draw(st.booleans()):
        table = reference.scores(*problem)
        reached = [-np.inf, -1.0, 0.0, 1.0, np.inf, *np.unique(table[np.isfinite(table)]).tolist()]
        ends = [
            (draw(st.sampled_from(reached)), draw(st.integers(-1, item_count)))
            for _ in range(draw(st.sampled_from([1, query_count])))
        ]
        scores, ids = np.array([s for s, _ in ends]), np.array([j for _, j in ends], np.int64)
        plain["after"] = call["after"] = (scores, ids) if len(ends) == query_count else (scores[0], ids[0])
    return call, plain


@given(problems(queries=st.integers(1, 9)), ways(), st.data())
@settings(max_examples=4 * settings().max_examples)
def test_topk_equals_reference(problem: Problem, some_ways: list[Way], data: st.DataObject) -> None:
    queries, items, metric = problem
    call, plain = data.draw(filters(problem), label="filters")
    k = data.draw(st.sampled_from([1, 2, 5, len(items)]), label="k")
    threshold = data.draw(st.sampled_from([None, -0.25, 0.0, 0.5]), label="threshold")
    expected = reference.topk(queries, items, k, threshold=threshold, metric=metric, **plain)
    for way in [*some_ways, *(Way(isa, None) for isa in ISAS)]:
        with taking(way):
            assert_same_results(cosine_topk(queries, items, k, threshold=threshold, metric=metric, **call), expected)


@given(problems(queries=st.integers(1, 9)), ways(), st.data())
@settings(max_examples=2 * settings().max_examples)
def test_threshold_equals_reference(problem: Problem, some_ways: list[Way], data: st.DataObject) -> None:
    queries, items, metric = problem
    call, plain = data.draw(filters(problem), label="filters")
    threshold = data.draw(st.sampled_from([-np.inf, -0.25, 0.0, 0.5]), label="threshold")
    expected = reference.threshold(queries, items, threshold, metric=metric, **plain)
    for way in some_ways:
        with taking(way):
            assert_same_results(cosine_threshold(queries, items, threshold, metric=metric, **call), expected)


@given(problems(queries=st.integers(1, 9), items=st.integers(100, 300), dims=st.integers(1, 6)), ways(), st.data())
def test_many_items(problem: Problem, some_ways: list[Way], data: st.DataObject) -> None:
    """More items than candidates have room for, so that filters meet compaction."""
    queries, items, metric = problem
    call, plain = data.draw(filters(problem), label="filters")
    expected = reference.topk(queries, items, 3, metric=metric, **plain)
    for way in some_ways:
        with taking(way):
            assert_same_results(cosine_topk(queries, items, 3, metric=metric, **call), expected)


@given(problems(queries=st.integers(1, 6), dims=st.integers(1, 9)), ways(), st.integers(1, 7))
def test_pages_joined_equal_the_whole(problem: Problem, some_ways: list[Way], size: int) -> None:
    queries, items, metric = problem
    for way in some_ways:
        with taking(way):
            whole = cosine_topk(queries, items, len(items) + 2 * size, metric=metric)
            pages = [cosine_topk(queries, items, size, metric=metric)]
            while pages[-1].counts.any():
                assert len(pages) <= len(items) + 1, "every page but the last must bring something new"
                last = pages[-1]
                pages.append(
                    cosine_topk(queries, items, size, after=(last.scores[:, -1], last.ids[:, -1]), metric=metric)
                )
        ids, scores = (np.concatenate([getattr(page, part) for page in pages], axis=1) for part in ("ids", "scores"))
        count = ids.shape[1]
        assert_same_results(
            TopK(scores, ids, np.sum([page.counts for page in pages], axis=0)),
            TopK(whole.scores[:, :count], whole.ids[:, :count], whole.counts),
        )


# The forms that lists may take.


def everywhere(expected: list[int], k: int = 5, **kwargs: Any) -> None:
    for way in all_ways(1, 3):
        with taking(way):
            best = cosine_topk(Q, X, k, **kwargs)
            hits = cosine_threshold(Q, X, -1.0, **kwargs)
        assert best.ids[0, : best.counts[0]].tolist() == expected
        assert hits.ids.tolist() == expected


@pytest.mark.parametrize("form", ["csr_matrix", "csr_array", "csc_matrix", "coo_array", "lil_matrix"])
def test_scipy_matrices_of_any_format(form: str) -> None:
    matrix = getattr(scipy.sparse, form)(np.array([[1.0, 0, 0, 0, 1]]))
    everywhere([2, 1, 3], exclude=matrix)
    everywhere([0, 4], allow=matrix)


def test_explicit_zeros_are_entries() -> None:
    matrix = scipy.sparse.csr_matrix((np.zeros(2), [0, 4], [0, 2]), shape=(1, 5))
    everywhere([2, 1, 3], exclude=matrix)
    everywhere([0, 4], allow=matrix)
    assert matrix.nnz == 2


def test_unsorted_and_repeated_ids() -> None:
    lists = (np.array([0, 4]), np.array([4, 0, 4, 0]))
    everywhere([2, 1, 3], exclude=lists)
    everywhere([0, 4], allow=lists)
    everywhere([0, 4], allow=[4, 0, 4, 0])


def test_callers_lists_stay_as_they_are() -> None:
    indptr, ids = np.array([0, 3]), np.array([4, 0, 2])
    matrix = scipy.sparse.csr_matrix((np.ones(3), ids, indptr), shape=(1, 5))
    for lists in ((indptr, ids), matrix):
        cosine_topk(Q, X, 2, exclude=lists, allow=lists)
    assert ids.tolist() == matrix.indices.tolist() == [4, 0, 2]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16, np.int8])
def test_integer_dtypes(dtype: type) -> None:
    lists = (np.array([0, 2], dtype), np.array([0, 4], dtype))
    everywhere([2, 1, 3], exclude=lists)
    everywhere([0, 4], allow=np.array([4, 0], dtype))


def test_lists_from_torch() -> None:
    torch = pytest.importorskip("torch")
    everywhere([2, 1, 3], exclude=(torch.tensor([0, 2]), torch.tensor([0, 4])))
    everywhere([0, 4], allow=torch.tensor([4, 0]))
    everywhere([0, 4], allow=torch.tensor([True, False, False, False, True]))


@pytest.mark.parametrize("empty", [[], (), np.empty(0, np.int64), np.zeros(5, bool), [False] * 5])
def test_an_empty_allow_list_means_nothing(empty: Any) -> None:
    everywhere([], allow=empty)


def test_none_means_no_list() -> None:
    everywhere([0, 4, 2, 1, 3], allow=None, exclude=None, after=None)


def test_exclusion_wins_over_permission() -> None:
    everywhere([2], allow=[0, 2, 4], exclude=([0, 2], [0, 4]))


def test_after_goes_on_where_a_page_ended() -> None:
    everywhere([4, 2, 1, 3], after=(1.0, 0))
    everywhere([2, 1, 3], after=(1.0, 4))
    everywhere([2, 1, 3], after=(1.0, 10**9))  # any id: only the order counts
    everywhere([0, 4, 2, 1, 3], after=(1.0, -1))
    everywhere([], after=(-np.inf, -1))  # what an unfilled page ends with
    everywhere([0, 4, 2, 1, 3], after=(np.inf, 0))


def test_nothing_comes_after_an_unfilled_page() -> None:
    """Not even an inner product that overflows float32 to -inf, the score of missing slots."""
    q, x = np.array([[3e38]], np.float32), np.array([[3e38], [-3e38], [1]], np.float32)
    for way in all_ways(1, 2):
        with taking(way):
            page = cosine_topk(q, x, 4, metric="inner_product")
            assert page.ids.tolist() == [[0, 2, 1, -1]]
            after = (page.scores[:, -1], page.ids[:, -1])
            assert cosine_topk(q, x, 4, metric="inner_product", after=after).counts.tolist() == [0]


def test_after_is_rounded_to_the_dtype_of_scores() -> None:
    score = float(cosine_topk(Q, X, 3).scores[0, 2])  # float32(1 / sqrt(2))
    everywhere([1, 3], after=(score, 2))
    everywhere([1, 3], after=(0.5**0.5, 2))


def test_after_by_query() -> None:
    for way in all_ways(1, 2):
        with taking(way):
            best = cosine_topk(X[[0, 0]], X, 2, after=(np.array([1.0, np.inf]), np.array([4, 0])))
        assert best.ids.tolist() == [[2, 1], [0, 4]]


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"exclude": [1]}, TypeError, r"exclude must be a SciPy sparse matrix or an \(indptr, ids\) pair, got list"),
        ({"exclude": np.zeros((1, 5), bool)}, TypeError, "exclude must be a SciPy sparse matrix .*got ndarray"),
        ({"exclude": scipy.sparse.csr_matrix((5, 1))}, ValueError, r"exclude must have shape \(1, 5\), got \(5, 1\)"),
        ({"exclude": ([0, 1], [5])}, ValueError, "exclude must hold ids from 0 to 4, got 5"),
        ({"exclude": ([0, 1], [-1])}, ValueError, "exclude must hold ids from 0 to 4, got -1"),
        ({"exclude": ([0, 1], [0.0])}, TypeError, "exclude must hold integers, got dtype float64"),
        ({"exclude": ([0, 1], [[0]])}, ValueError, r"exclude must be one-dimensional, got shape \(1, 1\)"),
        ({"exclude": ([0, [1]], [1])}, TypeError, "exclude indptr must .* got list of unequal lengths"),
        ({"exclude": scipy.sparse.coo_array(np.ones(5))}, ValueError, r"exclude must have shape \(1, 5\), got \(5,\)"),
        ({"exclude": ([0], [])}, ValueError, "exclude indptr must have 2 entries, got 1"),
        ({"exclude": ([0, 2], [1])}, ValueError, r"exclude indptr must ascend from 0 to the number of ids \(1\)"),
        ({"exclude": ([1, 1], [1])}, ValueError, r"exclude indptr must ascend from 0 to the number of ids \(1\)"),
        ({"exclude": ([0.0, 1.0], [1])}, TypeError, "exclude indptr must hold integers, got dtype float64"),
        ({"allow": [5]}, ValueError, "allow must hold ids from 0 to 4, got 5"),
        ({"allow": [0.5]}, TypeError, "allow must hold integers, got dtype float64"),
        ({"allow": [True, False]}, ValueError, r"allow mask must have shape \(5,\), got \(2,\)"),
        ({"allow": ([0, 1], [9])}, ValueError, "allow must hold ids from 0 to 4, got 9"),
        ({"allow": np.ones((1, 5), np.int64)}, ValueError, r"allow must be one-dimensional, got shape \(1, 5\)"),
        ({"allow": [[0, 1], [1]]}, (TypeError, ValueError), "allow must .*got list"),
        ({"allow": {0, 1}}, TypeError, "allow must be ids or a boolean mask .*got set"),
        ({"allow": np.ma.array([0, 1], mask=[1, 0])}, TypeError, "allow is a masked array"),
        ({"allow": [2**70]}, (TypeError, ValueError), "allow .*"),
        ({"after": (1.0, np.uint64(2**63 + 5))}, ValueError, "after id .*9223372036854775813"),
        ({"after": [1.0, 0]}, TypeError, r"after must be a pair \(score, id\), got list"),
        ({"after": (1.0,)}, TypeError, r"after must be a pair \(score, id\), got tuple"),
        ({"after": (1.0, 0.0)}, TypeError, "after id must be integers, got float of dtype float64"),
        ({"after": ([1.0, [1.0]], 0)}, TypeError, "after score must be real numbers, got list of unequal lengths"),
        ({"after": (np.nan, 0)}, ValueError, "after score must not be NaN"),
        (
            {"after": (np.ones(2), 0)},
            ValueError,
            r"after score must be one number or have shape \(1,\), got shape \(2,\)",
        ),
    ],
)
def test_wrong_filters(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cosine_topk(Q, X, 2, **kwargs)
    with pytest.raises(error, match=message):
        cosine_threshold(Q, X, 0.5, **kwargs)


def test_indptr_must_not_descend() -> None:
    with pytest.raises(ValueError, match="exclude indptr must ascend"):
        cosine_topk(X[:2], X, 2, exclude=([0, 2, 1], [1]))
