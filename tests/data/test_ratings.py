"""The checks of the tables themselves."""

import dataclasses

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix

from aigc_fast.data import Items, Ratings, Users

MATRIX = csr_matrix(np.array([[1, 0, 2], [0, 3, 0]], np.float32))
ITEMS = Items(np.array(["a", "b", "c"]), np.zeros((3, 2), bool), ("X", "Y"), np.array([1990, 1991, -1]))
USERS = Users(np.array([1, 2]), np.array(["F", "M"]), np.array(["", "writer"]))
IDS = np.arange(2), np.arange(3)


def test_counts_and_lengths():
    for matrix in (MATRIX, csr_array(MATRIX)):
        ratings = Ratings(*IDS, matrix, matrix.astype(np.int64), ITEMS, USERS)
        assert (ratings.n_users, ratings.n_items, ratings.n_ratings) == (2, 3, 3)
    assert (len(ITEMS), len(USERS)) == (3, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        ratings.items = None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ratings(IDS[1], IDS[1], MATRIX), "user_items has shape"),
        (lambda: Ratings(*IDS, MATRIX, csr_matrix(np.ones((2, 3)))), "timestamps must have"),
        (lambda: Ratings(*IDS, MATRIX, None, dataclasses.replace(ITEMS, titles=np.array(["a"]))), "genres has shape"),
        (lambda: dataclasses.replace(ITEMS, years=np.zeros(2, np.int64)), "years has shape"),
        (lambda: Ratings(*IDS, MATRIX[:, :2]), "user_items has shape"),
        (lambda: Ratings(*IDS, MATRIX, users=Users(*(np.array(["x"]),) * 3)), "users describes 1 users"),
        (lambda: dataclasses.replace(USERS, ages=np.zeros(3, np.int64)), "differ in shape"),
    ],
)
def test_parts_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_items_of_another_catalogue_are_refused():
    fewer = Items(ITEMS.titles[:2], ITEMS.genres[:2], ITEMS.genre_names, ITEMS.years[:2])
    with pytest.raises(ValueError, match="items describes 2 items; user_items has 3 columns"):
        Ratings(*IDS, MATRIX, items=fewer)
