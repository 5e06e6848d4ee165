"""Splits: a partition, the right shares, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array, csr_matrix

from aigc_fast.recommender import cold_item_split, random_split, restrict, temporal_split

DENSE = hnp.arrays(np.float32, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(0, 3))
FRACTIONS = st.floats(0.01, 0.99)


def times_of(matrix, seed=0):
    """Random times with many ties, same pattern; a time of 0 stays an entry."""
    times = np.random.default_rng(seed).integers(0, 4, matrix.nnz)
    return csr_matrix((times, matrix.indices, matrix.indptr), shape=matrix.shape)


def pairs(matrix):
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return dict(zip(zip(rows.tolist(), matrix.indices.tolist(), strict=True), matrix.data.tolist(), strict=True))


def assert_partition(matrix, split):
    for part in split:
        assert part.shape == matrix.shape
        assert part.dtype == matrix.dtype
        assert part.has_canonical_format
    train, test = map(pairs, split)
    assert train.keys().isdisjoint(test.keys())
    assert train | test == pairs(matrix)


SPLITS = {
    "random": lambda matrix, fraction: random_split(matrix, fraction, seed=1),
    "temporal": lambda matrix, fraction: temporal_split(matrix, times_of(matrix), fraction),
    "cold items": lambda matrix, fraction: cold_item_split(matrix, fraction, seed=1),
}


@pytest.mark.parametrize("name", SPLITS)
@given(dense=DENSE, fraction=FRACTIONS)
@settings(max_examples=60, deadline=None)
def test_train_and_test_are_a_partition(name, dense, fraction):
    matrix = csr_matrix(dense)
    before = pairs(matrix)
    split = SPLITS[name](matrix, fraction)
    assert_partition(matrix, split)
    assert pairs(matrix) == before
    again = SPLITS[name](csr_array(matrix), fraction)
    assert [pairs(part) for part in again] == [pairs(part) for part in split]


@given(dense=DENSE, fraction=FRACTIONS)
@settings(max_examples=60, deadline=None)
def test_random_split_has_its_share(dense, fraction):
    matrix = csr_matrix(dense)
    assert random_split(matrix, fraction).test.nnz == round(fraction * matrix.nnz)


def test_random_split_differs_by_seed_and_reaches_every_entry():
    matrix = csr_matrix(np.ones((20, 20)))
    tests = [random_split(matrix, 0.2, seed=seed).test for seed in range(60)]
    assert len({tuple(pairs(test)) for test in tests}) == 60
    assert sum(tests[1:], tests[0]).nnz == 400  # an entry is missed with probability .8^60 ≈ 1.5e-6


@given(dense=DENSE, fraction=FRACTIONS, seed=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_temporal_split_takes_the_latest_of_each_user(dense, fraction, seed):
    matrix = csr_matrix(dense)
    times = times_of(matrix, seed)
    train, test = temporal_split(matrix, times, fraction)
    when = pairs(times)
    for user in range(matrix.shape[0]):
        own = sorted((when[user, item], item) for item in matrix[[user]].indices.tolist())
        n_test = int(np.floor(fraction * len(own)))
        assert set(test[[user]].indices.tolist()) == {item for _, item in own[len(own) - n_test :]}
        assert train[[user]].nnz >= min(1, len(own))


@given(dense=DENSE, fraction=FRACTIONS)
@settings(max_examples=60, deadline=None)
def test_cold_items_have_no_train_history(dense, fraction):
    matrix = csr_matrix(dense)
    train, test = cold_item_split(matrix, fraction)
    warm, cold = set(train.indices.tolist()), set(test.indices.tolist())
    assert warm.isdisjoint(cold)
    assert len(cold) == round(fraction * len(warm | cold))


def test_restrict_takes_the_entries_of_a_pattern():
    matrix = csr_matrix(np.array([[1, 2, 0], [0, 0, 0], [3, 0, 4]]))
    times = csr_matrix((np.array([10, 0, 30, 40]), matrix.indices, matrix.indptr), shape=matrix.shape)
    train, test = random_split(matrix, 0.5, seed=2)
    for part in (train, test):
        got = restrict(times, part)
        assert pairs(got) == {pair: pairs(times)[pair] for pair in pairs(part)}
        assert got.dtype == times.dtype
    assert restrict(times, csr_matrix((3, 3))).nnz == 0
    for lacking in (
        [[0, 0, 1], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 1, 0]],
        [[0, 0, 0], [0, 0, 1], [0, 0, 0]],
    ):
        with pytest.raises(ValueError, match="matrix lacks an entry that pattern has"):
            restrict(times, csr_matrix(np.array(lacking)))
    with pytest.raises(ValueError, match="lacks an entry"):
        restrict(csr_matrix((3, 3)), matrix)


def test_bad_arguments():
    matrix = csr_matrix(np.ones((2, 2)))
    for fraction in (0, 1, -0.1, float("nan")):
        for split in SPLITS.values():
            with pytest.raises(ValueError, match="test_fraction is"):
                split(matrix, fraction)
    with pytest.raises(ValueError, match="timestamps must have an entry exactly where user_items has one"):
        temporal_split(matrix, csr_matrix(np.eye(2)))
    with pytest.raises(TypeError, match="user_items is a ndarray"):
        random_split(np.ones((2, 2)))
