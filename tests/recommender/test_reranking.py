"""Re-ranking against the definitions, written out user by user with full determinants."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from aigc_fast import TopK
from aigc_fast.recommender import ItemKNN, evaluate, random_split, rerank
from aigc_fast.recommender.reranking import plot_trade_off, trade_off_curve


def candidates(seed, n_lists=7, width=9, n_items=20, short=True):
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.permutation(n_items)[:width] for _ in range(n_lists)])
    scores = -np.sort(-rng.random((n_lists, width)), axis=1).astype(np.float32)
    counts = np.full(n_lists, width)
    if short:
        counts[:3] = [0, 1, 4]
    missing = np.arange(width) >= counts[:, None]
    ids[missing], scores[missing] = -1, -np.inf
    return TopK(scores, ids, counts)


def relevance_of(scores):
    spread = scores.max() - scores.min()
    return (scores - scores.min()) / spread if spread else np.ones(len(scores))


def by_definition(scores, vectors, n, method, weight):
    """Greedy choice with the formulas of the papers; determinants in full."""
    relevance = relevance_of(scores.astype(float))
    cosine = vectors @ vectors.T
    kernel = (1 + cosine) / 2
    np.fill_diagonal(kernel, 1)
    chosen: list[int] = []
    for _ in range(min(n, len(scores))):
        values = {}
        for i in set(range(len(scores))) - set(chosen):
            if method == "mmr":
                penalty = max((cosine[i, j] for j in chosen), default=0)
                values[i] = weight * relevance[i] - (1 - weight) * penalty
            else:
                with_i = np.linalg.det(kernel[np.ix_([*chosen, i], [*chosen, i])])
                gain = np.log(with_i / (np.linalg.det(kernel[np.ix_(chosen, chosen)]) if chosen else 1))
                values[i] = weight * relevance[i] + (1 - weight) * gain
        chosen.append(max(values, key=values.get))
    return chosen


@pytest.mark.parametrize("method", ["mmr", "dpp"])
@pytest.mark.parametrize("weight", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definition(method, weight, seed):
    lists = candidates(seed)
    vectors = np.random.default_rng(seed + 100).normal(size=(20, 12))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    result = rerank(lists, vectors, 5, method=method, trade_off=weight)
    for row, count in enumerate(lists.counts):
        ids, scores = lists.ids[row, :count], lists.scores[row, :count]
        expected = by_definition(scores, unit[ids], 5, method, weight) if count else []
        assert result.counts[row] == len(expected)
        assert result.ids[row].tolist() == ids[expected].tolist() + [-1] * (5 - len(expected))
        assert np.array_equal(result.scores[row, : len(expected)], scores[expected])
        assert (result.scores[row, len(expected) :] == -np.inf).all()


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_relevance_alone_is_the_order_of_the_candidates(method):
    lists = candidates(5)
    same = rerank(lists, np.ones((20, 3)), 6, method=method, trade_off=1)
    assert np.array_equal(same.ids, lists.ids[:, :6])
    longer = rerank(lists, np.ones((20, 3)), 12, method=method, trade_off=1)
    assert np.array_equal(longer.ids, np.pad(lists.ids, ((0, 0), (0, 3)), constant_values=-1))


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_copies_come_last_and_more_items_than_dimensions_are_ranked(method):
    vectors = np.tile([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], (5, 1))
    ids = np.array([[0, 1, 2, 3, 4, 5, 6]])
    lists = TopK(np.linspace(1, 0.9, 7)[None], ids, np.array([7]))
    result = rerank(lists, vectors, 7, method=method, trade_off=0.5)
    assert result.ids[0, :2].tolist() == [0, 3]
    assert sorted(result.ids[0]) == list(range(7))


def test_blocks_of_users_change_nothing(monkeypatch):
    lists, vectors = candidates(6), np.random.default_rng(6).normal(size=(20, 4))
    for method in ("mmr", "dpp"):
        whole = rerank(lists, vectors, 5, method=method)
        monkeypatch.setattr("aigc_fast.recommender.reranking._BLOCK_VALUES", 80)
        assert np.array_equal(rerank(lists, vectors, 5, method=method).ids, whole.ids)
        monkeypatch.undo()


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_the_curve_trades_accuracy_for_diversity(method):
    rng = np.random.default_rng(0)
    group = np.arange(60) % 5
    taste = (np.arange(100)[:, None] % 5 == group) | (np.arange(100)[:, None] // 5 % 5 == group)
    history = csr_matrix((rng.random((100, 60)) < np.where(taste, 0.5, 0.05)).astype(np.float32))
    train, test = random_split(history)
    vectors = np.eye(5)[group] + 0.1 * rng.normal(size=(60, 5))
    lists = ItemKNN(k=20).fit(train).recommend(np.arange(100), 30)
    curve = trade_off_curve(lists, vectors, test, 5, method=method, trade_offs=[1, 0.5, 0], train=train)
    assert curve[0].metrics == evaluate(
        rerank(lists, vectors, 5, trade_off=1), test, [5], train=train, item_vectors=vectors
    )
    diversity, ndcg = ([point.metrics[name] for point in curve] for name in ("Diversity@5", "NDCG@5"))
    assert diversity == sorted(diversity)
    assert diversity[2] > 1.5 * diversity[0]
    assert ndcg[2] < ndcg[0]
    axes = plot_trade_off({method: curve}, 5)
    assert axes.get_lines()[0].get_xdata().tolist() == diversity
    assert [text.get_text() for text in axes.texts] == ["λ=1", "λ=0"]


def test_bad_arguments():
    lists = candidates(1)
    for arguments, message in (
        ({"trade_off": 1.5}, "trade_off is 1.5"),
        ({"trade_off": float("nan")}, "trade_off is nan"),
        ({"method": "mrr"}, "method is 'mrr'; 'mmr' or 'dpp'"),
        ({"n": 0}, "n is 0"),
        ({"item_vectors": np.eye(5)}, "candidates.ids holds ids"),
        (
            {"candidates": TopK(lists.scores[:2], lists.ids, lists.counts)},
            r"candidates.scores is float32 of shape \(2, .\); floats",
        ),
        ({"candidates": TopK(lists.scores * np.nan, lists.ids, lists.counts)}, "candidates.scores has NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            rerank(**{"candidates": lists, "item_vectors": np.eye(20), "n": 3, **arguments})
