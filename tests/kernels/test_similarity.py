"""cosine_similarity against the reference, bit for bit, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from aigc_fast import cosine_similarity

from . import reference
from .checks import assert_same_bits
from .inputs import LONG_DIMS, METRICS, Problem, problems
from .ways import ISAS, Way, taking

# Tiles of 4 x 4 pairs, blocks of 128 rows.
COUNTS = st.one_of(st.integers(0, 9), st.sampled_from([127, 128, 129, 131]))


@given(problems(items=COUNTS, queries=COUNTS, dims=st.integers(1, 20)), st.integers(1, 3))
def test_equals_reference(problem: Problem, num_threads: int) -> None:
    a, b, metric = problem
    expected = reference.scores(a, b, metric)
    for isa in ISAS:
        with taking(Way(isa, None)):
            assert_same_bits(cosine_similarity(a, b, metric=metric, num_threads=num_threads), expected, isa)


@given(problems(items=st.integers(1, 9), queries=st.integers(1, 5), dims=LONG_DIMS))
@settings(max_examples=settings().max_examples // 2)
def test_equals_reference_long_rows(problem: Problem) -> None:
    a, b, metric = problem
    for isa in ISAS:
        with taking(Way(isa, None)):
            assert_same_bits(cosine_similarity(a, b, metric=metric), reference.scores(a, b, metric), isa)


@given(problems(items=COUNTS))
def test_of_one_argument_is_with_itself(problem: Problem) -> None:
    _, items, metric = problem
    for isa in ISAS:
        with taking(Way(isa, None)):
            alone = cosine_similarity(items, metric=metric)
            assert_same_bits(alone, cosine_similarity(items, items.copy(), metric=metric), isa)
        assert_same_bits(alone, alone.T, "symmetry")


@pytest.mark.parametrize("metric", METRICS)
def test_views_of_one_array_are_not_taken_for_itself(metric: str) -> None:
    """Same memory, other strides or shape: the symmetric shortcut must not be taken."""
    x = np.random.default_rng(0).normal(size=(6, 6))
    for a, b in ((x, x.T), (x, x[:3]), (x, x[::-1]), (x[:, :3], x[:, 1:4]), (x.view(np.int64).view(np.float64), x)):
        assert_same_bits(cosine_similarity(a, b, metric=metric), reference.scores(a, b, metric), "scores")


@pytest.mark.parametrize("num_threads", [1, 2, 8])
def test_threads_change_nothing(num_threads: int) -> None:
    x = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32)
    assert_same_bits(cosine_similarity(x, num_threads=num_threads), reference.scores(x, x), "scores")


def test_rows_that_are_not_finite_score_nan() -> None:
    x = np.array([[1, 0], [np.nan, 0], [np.inf, 1], [0, 0]], np.float32)
    expected = np.full((4, 4), np.nan, np.float32)
    expected[np.ix_([0, 3], [0, 3])] = [[1, 0], [0, 0]]
    assert_same_bits(cosine_similarity(x), expected, "scores")


def test_columns_must_agree() -> None:
    with pytest.raises(
        ValueError, match=r"a and b must have the same number of columns, got shapes \(2, 3\) and \(2, 4\)"
    ):
        cosine_similarity(np.ones((2, 3)), np.ones((2, 4)))


def test_unknown_metric() -> None:
    with pytest.raises(ValueError, match="metric must be 'cosine', 'inner_product' or 'pearson', got 'euclidean'"):
        cosine_similarity(np.ones((2, 3)), metric="euclidean")  # type: ignore[arg-type]


def test_no_columns() -> None:
    for metric in METRICS:
        assert_same_bits(cosine_similarity(np.empty((3, 0)), metric=metric), np.zeros((3, 3)), metric)


def test_agrees_with_scipy() -> None:
    a, b = (np.random.default_rng(seed).normal(size=(20, 30)) for seed in (0, 1))
    for metric, distance in (("cosine", "cosine"), ("pearson", "correlation")):
        # |error| <= (d + 4) u on either side, for rows whose mean is below their norm
        difference = cosine_similarity(a, b, metric=metric) - (1 - cdist(a, b, distance))
        assert np.abs(difference).max() <= 2 * 34 * 2.0**-53
