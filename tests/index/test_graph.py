"""knn_graph against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from aigc_fast import cosine_similarity, cosine_threshold, graph, knn_graph

pytest.importorskip("scipy")


@pytest.mark.parametrize("count", [1, 2, 30, 5000])
def test_neighbours(count):
    rows = np.random.default_rng(0).integers(-3, 4, (count, 8)).astype(np.float32)
    graph = knn_graph(rows, 5)
    scores = cosine_similarity(rows)
    np.fill_diagonal(scores, -np.inf)
    best = np.lexsort((np.broadcast_to(np.arange(count), scores.shape), -scores), axis=1)[:, : min(5, count - 1)]
    assert graph.shape == (count, count)
    np.testing.assert_array_equal(graph.indices.reshape(count, -1), best)
    np.testing.assert_array_equal(graph.data, np.take_along_axis(scores, best, 1).ravel())


def test_duplicates_are_neighbours_and_self_is_not():
    graph = knn_graph(np.ones((4, 3), np.float32), 2)
    assert graph.indices.reshape(4, 2).tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]
    assert knn_graph(np.ones((4, 3), np.float32), 1, exclude_self=False).indices.tolist() == [0] * 4


def test_threshold():
    rows = np.array([[1, 0], [1, 1], [0, 1], [-1, 0]], np.float32)
    assert knn_graph(rows, None, 0.7).toarray().astype(bool).tolist() == [
        [False, True, False, False],
        [True, False, True, False],
        [False, True, False, False],
        [False, False, False, False],
    ]
    assert knn_graph(rows, 1, 0.9).nnz == 0
    with pytest.raises(ValueError, match="k and threshold must not both be None"):
        knn_graph(rows, None)


@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize("metric", ["cosine", "inner_product", "pearson"])
def test_threshold_searches_half_and_returns_the_whole(exclude_self, metric, monkeypatch):
    monkeypatch.setattr(graph, "_BLOCK_ROWS", 128)
    rng = np.random.default_rng(1)
    rows = rng.integers(-3, 4, (1000, 6)).astype(np.float32)
    rows[5, 2] = np.nan
    found = knn_graph(rows, None, 0.8, exclude_self=exclude_self, metric=metric)
    itself = (np.arange(1001), np.arange(1000)) if exclude_self else None
    hits = cosine_threshold(rows, rows, 0.8, exclude=itself, metric=metric)
    np.testing.assert_array_equal(found.indptr, hits.indptr)
    np.testing.assert_array_equal(found.indices, hits.ids)
    np.testing.assert_array_equal(found.data, hits.scores)


def test_no_rows():
    assert knn_graph(np.empty((0, 4)), None, 0.5).shape == (0, 0)
    assert knn_graph(np.empty((0, 4)), None, 0.5).dtype == np.float64
    assert knn_graph(np.empty((0, 4)), 3).shape == (0, 0)


@pytest.mark.parametrize(("k", "threshold"), [(3, None), (None, 0.5)])
def test_bfloat16(k, threshold):
    """Their bits are kept as uint16, which must not be taken for numbers."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rows = np.random.default_rng(2).standard_normal((50, 8)).astype(ml_dtypes.bfloat16)
    found, expected = (knn_graph(given, k, threshold) for given in (rows, rows.astype(np.float32)))
    assert np.array_equal(found.indptr, expected.indptr)
    assert np.array_equal(found.indices, expected.indices)
    assert np.array_equal(found.data, expected.data)


def test_wrong_arguments():
    for rows in (np.empty((0, 4)), np.ones((3, 4))):
        with pytest.raises(ValueError, match="metric must be"):
            knn_graph(rows, None, 0.5, metric="euclidean")
    with pytest.raises(ValueError, match="threshold must not be NaN"):
        knn_graph(rows, None, float("nan"))
    with pytest.raises(ValueError, match=r"threshold must be one number, got shape \(3,\)"):
        knn_graph(rows, None, np.full(3, 0.5))
