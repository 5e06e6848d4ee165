"""cosine_threshold against the reference, bit for bit, on every instruction set and every path."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigc_fast import ThresholdHits, cosine_similarity, cosine_threshold, cosine_topk

from . import reference
from .checks import assert_same_results
from .inputs import METRICS, Problem, problems, ways
from .ways import ISAS, PATHS, Way, all_ways, taking


def check_everywhere(problem: Problem, threshold: Any, some_ways: list[Way], **kwargs: Any) -> ThresholdHits:
    queries, items, metric = problem
    expected = reference.threshold(queries, items, threshold, metric=metric, **kwargs)
    for way in some_ways:
        with taking(way):
            actual = cosine_threshold(queries, items, threshold, metric=metric, **kwargs)
        try:
            assert_same_results(actual, expected)
        except AssertionError as error:
            raise AssertionError(f"{way}: {error}") from None
    return expected


@st.composite
def thresholds(draw: st.DrawFn, problem: Problem) -> Any:
    """Numbers, or one a query; often a score that occurs, or its neighbours."""
    table = reference.scores(*problem)
    reached = np.unique(table[np.isfinite(table)])
    with np.errstate(over="ignore", under="ignore"):
        below, above = (np.nextafter(reached, end, dtype=table.dtype) for end in (-np.inf, np.inf))
    beside = [*below.tolist(), *reached.tolist(), *above.tolist()]
    one = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0, np.inf])
    if beside:
        one = st.one_of(one, st.sampled_from(beside))
    if draw(st.booleans()):
        return draw(one)
    return np.array(draw(st.lists(one, min_size=len(problem.queries), max_size=len(problem.queries))), np.float64)


@given(problems(), ways(), st.data())
@settings(max_examples=3 * settings().max_examples)
def test_equals_reference(problem: Problem, some_ways: list[Way], data: st.DataObject) -> None:
    check_everywhere(problem, data.draw(thresholds(problem), label="threshold"), some_ways)


@given(problems(), ways(), st.data())
def test_hits_are_a_prefix_of_everything(problem: Problem, some_ways: list[Way], data: st.DataObject) -> None:
    queries, items, metric = problem
    threshold = data.draw(thresholds(problem), label="threshold")
    for way in some_ways:
        with taking(way):
            hits = cosine_threshold(queries, items, threshold, metric=metric)
            everything = cosine_topk(queries, items, len(items), metric=metric)
        for i, (begin, end) in enumerate(zip(hits.indptr[:-1], hits.indptr[1:], strict=True)):
            assert hits.ids[begin:end].tolist() == everything.ids[i, : end - begin].tolist()
            assert hits.scores[begin:end].tobytes() == everything.scores[i, : end - begin].tobytes()
            least = hits.scores.dtype.type(np.broadcast_to(threshold, len(queries))[i])
            assert (everything.scores[i, end - begin : everything.counts[i]] < least).all()


@given(problems(metrics=("cosine",)), st.data())
def test_equals_topk_with_a_threshold(problem: Problem, data: st.DataObject) -> None:
    queries, items, _ = problem
    threshold = data.draw(thresholds(problem), label="threshold")
    hits = cosine_threshold(queries, items, threshold)
    best = cosine_topk(queries, items, len(items), threshold=threshold)
    assert best.counts.tolist() == np.diff(hits.indptr).tolist()
    assert np.concatenate([best.ids[i, :c] for i, c in enumerate(best.counts)] or [[]]).tolist() == hits.ids.tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_float64_rows_that_float32_cannot_tell_apart(metric: str) -> None:
    rng = np.random.default_rng(3)
    x = 1 + 1e-12 * rng.normal(size=(300, 5))
    q = rng.normal(size=(6, 5))
    least = np.median(reference.scores(q, x, metric), axis=1)
    assert check_everywhere(Problem(q, x, metric), least, all_ways(2, 40)).indptr[-1] >= 6 * 150


def test_float64_inner_product_of_an_enormous_query() -> None:
    """The query's squared norm overflows; its scores do not."""
    q, x = np.array([[1e200, 1e200]]), np.array([[1.0, 0.0], [-1.0, 0.0], [0.5, 0.5]])
    hits = check_everywhere(Problem(q, x, "inner_product"), 1e100, all_ways(1, 2))
    assert hits.ids.tolist() == [0, 2]


def test_threshold_is_rounded_to_the_dtype_of_scores() -> None:
    """0.7 in float32 is below 0.7: an item that scores float32(0.7) reaches a threshold of 0.7."""
    x = np.array([[0.7]], np.float32)
    q = np.array([[1.0]], np.float32)
    assert float(x[0, 0]) < 0.7
    for way in all_ways(1, 1):
        with taking(way):
            assert cosine_threshold(q, x, 0.7, metric="inner_product").ids.tolist() == [0]
            assert cosine_threshold(q.astype(float), x, 0.7, metric="inner_product").ids.tolist() == []


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("path", PATHS)
def test_many_ties_by_the_thousand(isa: str, path: str) -> None:
    x = np.ones((3000, 5), np.float32)
    x[::3] = -1
    with taking(Way(isa, path, 3, 500)):
        hits = cosine_threshold(x[:3], x, 0.5)
    expected = [list(range(0, 3000, 3)), *[[j for j in range(3000) if j % 3]] * 2]
    assert [hits.ids[a:b].tolist() for a, b in zip(hits.indptr[:-1], hits.indptr[1:], strict=True)] == expected


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2000, 0)])
@pytest.mark.parametrize("query_count", [0, 1, 6])
@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.5])
def test_empty_shapes(shape: tuple[int, int], query_count: int, threshold: float) -> None:
    items, queries = np.ones(shape, np.float32), np.ones((query_count, shape[1]), np.float32)
    check_everywhere(Problem(queries, items, "cosine"), threshold, [Way(isa, None) for isa in ISAS])


def test_result_is_csr_that_scipy_takes() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    x = np.eye(4, 3, dtype=np.float32) + 0.25
    hits = cosine_threshold(x, x, 0.5)
    matrix = sparse.csr_matrix((hits.scores, hits.ids, hits.indptr), shape=(4, 4))
    dense = cosine_similarity(x)
    assert (matrix.toarray() == np.where(dense >= np.float32(0.5), dense, 0)).all()


@pytest.mark.parametrize(
    ("threshold", "error", "message"),
    [
        (float("nan"), ValueError, "threshold must not be NaN"),
        ([0.5, float("nan"), 0.5], ValueError, "threshold must not be NaN"),
        ([0.5, 0.5], ValueError, r"threshold must be one number or have shape \(3,\), got shape \(2,\)"),
        ([[0.5] * 3], ValueError, r"threshold must be one number or have shape \(3,\), got shape \(1, 3\)"),
        (None, TypeError, "threshold must be real numbers, got NoneType"),
        ("high", TypeError, "threshold must be real numbers, got str"),
        (0.5j, TypeError, "threshold must be real numbers, got complex"),
        (True, TypeError, "threshold must be real numbers, got bool"),
        ([0.5, [0.5]], TypeError, "threshold must be real numbers, got list of unequal lengths"),
        (np.ma.array([0.5] * 3, mask=[1, 0, 0]), TypeError, "threshold is a masked array"),
    ],
)
def test_wrong_thresholds(threshold: Any, error: type[Exception], message: str) -> None:
    x = np.ones((3, 4), np.float32)
    with pytest.raises(error, match=message):
        cosine_threshold(x, x, threshold)
    if threshold is not None:
        with pytest.raises(error, match=message):
            cosine_topk(x, x, 1, threshold=threshold)
