"""Temporal replay: nothing of the future is seen, and the windows are what they should be."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from aigc_fast.recommender import TopPop, evaluate
from aigc_fast.recommender.replay import temporal_replay


@pytest.fixture
def history():
    rng = np.random.default_rng(0)
    matrix = csr_matrix((rng.random((30, 20)) < 0.4).astype(np.float32))
    return matrix, csr_matrix((rng.permutation(matrix.nnz), matrix.indices, matrix.indptr), matrix.shape)


def test_each_window_is_predicted_from_what_came_before(history):
    matrix, times = history
    seen = []

    class Spy(TopPop):
        def fit(self, user_items):
            seen.append(user_items.copy())
            return super().fit(user_items)

    rows = temporal_replay(Spy, matrix, times, steps=4, n=5)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    edges = np.linspace(0, matrix.nnz, 6).astype(int)
    dense = np.where(matrix.toarray() > 0, times.toarray(), -1)
    for step, (row, past) in enumerate(zip(rows, seen, strict=True), start=1):
        before = (dense >= 0) & (dense < edges[step])
        assert np.array_equal(past.toarray() > 0, before)
        now = (dense >= edges[step]) & (dense < edges[step + 1])
        users = np.flatnonzero(before.any(axis=1) & now.any(axis=1))
        lists = TopPop().fit(csr_matrix(before.astype(float))).recommend(users, 5)
        expected = evaluate(lists, csr_matrix(now[users]), [5], train=csr_matrix(before))
        assert row == {"step": step, "time": edges[step], "users": len(users), **expected}


def test_bad_arguments(history):
    matrix, times = history
    with pytest.raises(ValueError, match="more than steps, 1000"):
        temporal_replay(TopPop, matrix, times, steps=1000)
    with pytest.raises(ValueError, match="timestamps must have an entry"):
        temporal_replay(TopPop, matrix, times[:, ::-1])
