"""knn_graph against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from aigc_fast import cosine_similarity, knn_graph

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
