from __future__ import annotations

import numpy as np
import pytest

from aigc_fast import TopK
from aigc_fast.recommender import blend


def lists(rows: list[list[tuple[int, float]]], k: int) -> TopK:
    ids, scores = np.full((len(rows), k), -1), np.full((len(rows), k), -np.inf)
    for row, found in enumerate(rows):
        for place, (item, score) in enumerate(found):
            ids[row, place], scores[row, place] = item, score
    return TopK(scores, ids, np.array([len(found) for found in rows]))


ONE = lists([[(4, 9.0), (1, 5.0), (2, 1.0)], [(7, 3.0)], []], 4)
OTHER = lists([[(2, 0.3), (4, 0.1)], [(5, -1.0), (7, -2.0)], [(0, 0.5)]], 3)


def by_hand(n_items: int, weights: tuple[float, float]) -> np.ndarray:
    """Sums of the scores scaled to 1 … 1 / length, for each user and item."""
    sums = np.zeros((3, n_items))
    for found, weight in zip((ONE, OTHER), weights, strict=True):
        for row in range(3):
            count = found.counts[row]
            scores = found.scores[row, :count]
            for item, score in zip(found.ids[row, :count], scores, strict=True):
                spread = scores.max() - scores.min()
                share = (score - scores.min()) / spread if spread else 1
                sums[row, item] += weight * (1 / count + (1 - 1 / count) * share)
    return sums


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.2, 0.7), (0.0, 1.0)])
def test_scaled_scores_are_added(weights):
    blended = blend([ONE, OTHER], weights, 5)
    sums = by_hand(8, weights)
    for row in range(3):
        listed = set(ONE.ids[row][ONE.ids[row] >= 0]) | set(OTHER.ids[row][OTHER.ids[row] >= 0])
        expected = sorted(listed, key=lambda item: (-sums[row, item], item))[:5]
        assert blended.counts[row] == len(expected)
        assert blended.ids[row].tolist() == expected + [-1] * (5 - len(expected))
        np.testing.assert_allclose(blended.scores[row, : len(expected)], sums[row, expected], atol=1e-12)


def test_one_list_keeps_its_order():
    assert np.array_equal(blend([ONE], [3.0], 4).ids, ONE.ids)


def test_the_new_lists_may_be_shorter():
    # Sums: item 4 has 1 + 1/2 and item 2 has 1/3 + 1; item 7 has 1 + 1/2 and item 5 has 1.
    assert blend([ONE, OTHER], [1, 1], 1).ids.tolist() == [[4], [7], [0]]
    assert blend([ONE, OTHER], [1, 1], 0).ids.shape == (3, 0)


def test_lists_without_slots_add_nothing():
    none = lists([[], [], []], 0)
    assert np.array_equal(blend([ONE, none], [1.0, 5.0], 4).ids, ONE.ids)
    assert blend([none], [1.0], 2).counts.tolist() == [0, 0, 0]
    nobody = TopK(np.empty((0, 3), np.float32), np.empty((0, 3), np.int64), np.empty(0, np.int64))
    assert blend([nobody, nobody], [1.0, 1.0], 2).ids.shape == (0, 2)


@pytest.mark.parametrize(
    ("found", "weights", "message"),
    [
        ([ONE, OTHER], [np.nan, 1.0], "finite numbers"),
        ([ONE, lists([[(3, 2.0), (1, 1.5), (3, 1.0)], [], []], 3)], [1.0, 1.0], r"lists\[1\].ids: row 0 lists an item"),
        ([lists([[(3, np.nan)]], 1)], [1.0], r"lists\[0\].scores has NaN or an infinity"),
        ([lists([[(3, np.inf)]], 1)], [1.0], r"lists\[0\].scores has NaN or an infinity"),
        (
            [TopK(np.ones((1, 2)), np.zeros((1, 1), np.int64), np.ones(1))],
            [1.0],
            r"scores is float64 of shape \(1, 2\); floats, \(1, 1\)",
        ),
        ([TopK(np.ones((1, 1)), np.array([[-2]]), np.ones(1))], [1.0], r"lists\[0\].ids holds ids from -2"),
        ([TopK(np.ones((1, 1)), np.array([[0.5]]), np.ones(1))], [1.0], r"lists\[0\].ids is float64"),
        ([ONE, OTHER], [1.0], "one weight for each of the 2 lists"),
        ([], [], "one weight for each of the 0 lists"),
        ([ONE, OTHER], [0.0, 0.0], "not all 0"),
        ([ONE, OTHER], [-1.0, 1.0], "at least 0"),
        ([ONE, lists([[(0, 1.0)]], 1)], [1.0, 1.0], r"lists\[1\].ids is int64 of shape \(1, 1\); ints, 3 rows"),
    ],
)
def test_bad_arguments_are_refused(found, weights, message):
    with pytest.raises(ValueError, match=message):
        blend(found, weights, 3)
