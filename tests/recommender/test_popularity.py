"""Popularity by hand."""

import numpy as np
from scipy.sparse import csr_matrix

from aigc_fast.recommender import TopPop

# Users per item: 3, 1, 3, 0, 2; the values do not matter.
HISTORY = csr_matrix(np.array([[1, 0, 9, 0, 0], [1, 1, 1, 0, 0], [5, 0, 1, 0, 1], [0, 0, 0, 0, 7]]))


def test_counts_users_and_breaks_ties_by_id():
    model = TopPop().fit(HISTORY)
    assert model.popularity_.tolist() == [3, 1, 3, 0, 2]
    lists = model.recommend([-1], n=6, user_items=csr_matrix((1, 5)))
    assert lists.ids.tolist() == [[0, 2, 4, 1, 3, -1]]
    assert lists.scores.tolist() == [[3, 3, 2, 1, 0, -np.inf]]
    assert lists.counts.tolist() == [5]


def test_everybody_gets_the_same_but_for_what_they_know():
    lists = TopPop().fit(HISTORY).recommend([0, 3], n=3)
    assert lists.ids.tolist() == [[4, 1, 3], [0, 2, 1]]
