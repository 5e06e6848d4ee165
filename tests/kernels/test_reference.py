"""The oracle and the checking helper are tested too."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aigc_fast import ThresholdHits, TopK

from . import reference
from .checks import assert_same_bits, assert_same_results, id_lists
from .fma import fma, fma_scalar

FINITE = st.floats(allow_nan=False, allow_infinity=False)
MODERATE = st.floats(min_value=-1e30, max_value=1e30).filter(lambda x: x == 0 or abs(x) > 1e-30)


@given(st.lists(st.tuples(*[st.one_of(FINITE, MODERATE)] * 3), min_size=1, max_size=20))
@example([(1.0 + 2.0**-52, 1.0 - 2.0**-52, -1.0)])  # the fused result is -2^-104, the unfused one 0
@example(
    [(1e-200, -1e-200, 0.0), (1e200, 1e200, -math.inf), (1e200, 1e200, -1e308), (0.0, -1.0, -0.0), (0.0, -1.0, 0.0)]
)
@example([(1.0, 2.0**-30, 2.0**60), (1.0 + 2.0**-52, 1.0 + 2.0**-52, 2.0**53)])
def test_fma_equals_rational_arithmetic(triples: list[tuple[float, float, float]]) -> None:
    a, b, c = (np.array(column) for column in zip(*triples, strict=True))
    assert_same_bits(fma(a, b, c), np.array([fma_scalar(*triple) for triple in triples]), "fma")


def test_fma_equals_rational_arithmetic_near_ties() -> None:
    """Sums that end half-way between two doubles, or one unit beside: where a double rounding would show."""
    rng = np.random.default_rng(0)
    a = 1 + rng.integers(0, 2**12, 4000) * 2.0**-52
    b = 1 + rng.integers(0, 2**12, 4000) * 2.0**-52
    c = rng.choice([-1, 1], 4000) * 2.0 ** rng.integers(-60, 60, 4000) * (1 + rng.integers(0, 4, 4000) * 2.0**-52)
    expected = np.array([fma_scalar(*x) for x in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)])
    assert_same_bits(fma(a, b, c), expected, "fma")
    with np.errstate(all="ignore"):
        assert (a * b + c != expected).any(), "the cases must tell fused from unfused"


def test_scores_by_hand() -> None:
    x = np.array([[3, 4], [0, 0], [np.nan, 1], [-6, -8]], np.float32)
    assert reference.scores(x, x).tolist()[0] == [1.0, 0.0, pytest.approx(np.nan, nan_ok=True), -1.0]
    assert reference.scores(x, x, "inner_product")[0, 3] == -50.0
    y = np.array([[1, 2, 3], [3, 2, 1], [5, 5, 5]], np.float64)
    # sqrt(2) * sqrt(2) is 2 + 2^-51, so the quotient is the number below 1
    below_one = 1 - 2.0**-53 * 2
    assert below_one == 2 / (2 + 2.0**-51)
    expected = below_one * np.array([[1, -1, 0], [-1, 1, 0], [0, 0, 0]])
    assert_same_bits(reference.scores(y, y, "pearson"), expected + 0.0, "scores")


def test_scores_near_numpy() -> None:
    rng = np.random.default_rng(1)
    q, x = rng.normal(size=(5, 37)), rng.normal(size=(40, 37))
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (q, x)]
    # |error| <= (d + 2) u for a float64 dot product of unit rows
    assert np.abs(reference.scores(q, x) - unit[0] @ unit[1].T).max() <= 39 * 2.0**-52
    both = np.corrcoef(q, x)[:5, 5:]
    assert np.abs(reference.scores(q, x, "pearson") - both).max() <= 100 * 2.0**-52


def test_lanes_are_added_in_the_fixed_tree() -> None:
    """Elements whose sum depends on the order: 2^53 in lane 0, 1 in lane 4, and so on."""
    x = np.zeros((1, 8))
    x[0, [0, 4, 1]] = [2.0**53, 1.0, 1.0]
    ones = np.ones((1, 8))
    assert reference.dots(ones, x, True)[0, 0] == (2.0**53 + 1.0) + 1.0 == 2.0**53
    x[0, [4, 5]] = [0.0, 1.0]
    assert reference.dots(ones, x, True)[0, 0] == 2.0**53 + 2.0


def test_extreme_float64_rows_are_scaled() -> None:
    x = np.array([[1e300, 1e300], [1e-310, 1e-310], [5e-324, 0.0]])
    assert_same_bits(reference.scores(x, x)[0, :2], np.ones(2), "scores")
    assert reference.scores(x, x)[2, 2] == 1.0
    unit, norms = reference.normalize(x)
    assert norms[0] == pytest.approx(2**0.5 * 1e300)
    assert unit[1].tolist() == pytest.approx([0.5**0.5] * 2)


def test_ranked_by_hand() -> None:
    x = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [2, 0]], np.float32)
    q = x[:1]
    assert reference.topk(q, x, 5).ids.tolist() == [[0, 4, 2, 1, 3]]
    assert reference.topk(q, x, 2, exclude=[[0, 4]]).ids.tolist() == [[2, 1]]
    assert reference.topk(q, x, 3, allow=[3, 1]).ids.tolist() == [[1, 3, -1]]
    assert reference.topk(q, x, 3, allow=[[3, 1]]).ids.tolist() == [[1, 3, -1]]
    assert reference.topk(q, x, 3, allow=[]).counts.tolist() == [0]
    assert reference.topk(q, x, 3, after=(1.0, 0)).ids.tolist() == [[4, 2, 1]]
    assert reference.threshold(q, x, 1.0).ids.tolist() == [0, 4]


def top(ids: list[list[int]], scores: list[list[float]], counts: list[int]) -> TopK:
    return TopK(np.array(scores, np.float32), np.array(ids, np.int64), np.array(counts, np.int64))


def test_helper_accepts_equal_results() -> None:
    assert_same_results(top([[1, -1]], [[0.5, -np.inf]], [1]), top([[1, -1]], [[0.5, -np.inf]], [1]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (top([[2, -1]], [[0.5, -np.inf]], [1]), r"ids\[0, 0\] = .*2.*expected .*1"),
        (
            top([[1, -1]], [[np.nextafter(np.float32(0.5), np.float32(1)), -np.inf]], [1]),
            r"scores\[0, 0\].*expected .*0x1.0+p-1",
        ),
        (top([[1, -1]], [[0.5, -np.inf]], [2]), r"counts\[0\]"),
        (top([[1]], [[0.5]], [1]), r"ids: shape \(1, 1\)"),
        (TopK(np.array([[0.5, -np.inf]]), np.array([[1, -1]]), np.array([1])), "scores: dtype float64"),
        (ThresholdHits(np.array([0, 1]), np.array([1]), np.array([0.5], np.float32)), "ThresholdHits, expected TopK"),
    ],
    ids=["id", "last bit of a score", "count", "shape", "dtype", "type"],
)
def test_helper_rejects(wrong: TopK, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_same_results(wrong, top([[1, -1]], [[0.5, -np.inf]], [1]))


def test_helper_tells_zeros_apart_and_takes_nan() -> None:
    assert_same_bits(np.array([np.nan]), np.array([-np.nan]), "x")
    with pytest.raises(AssertionError):
        assert_same_bits(np.array([0.0]), np.array([-0.0]), "x")
    with pytest.raises(AssertionError):
        assert_same_bits(np.array([np.nan]), np.array([0.0]), "x")


def test_helper_rejects_wrong_threshold_hits() -> None:
    hits = ThresholdHits(np.array([0, 2]), np.array([3, 5]), np.array([1.0, 0.5], np.float32))
    assert_same_results(hits, hits)
    for change in (
        hits._replace(indptr=np.array([0, 1])),
        hits._replace(ids=np.array([5, 3])),
        hits._replace(scores=np.array([1.0, 0.25], np.float32)),
    ):
        with pytest.raises(AssertionError):
            assert_same_results(change, hits)


def test_id_lists() -> None:
    indptr, ids = id_lists([[3, 1], [], [2]])
    assert (indptr.tolist(), ids.tolist()) == ([0, 2, 2, 3], [3, 1, 2])
