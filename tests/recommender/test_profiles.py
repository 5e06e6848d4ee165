"""User profiles by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from aigc_fast.recommender import user_profiles

AXES = np.eye(3, dtype=np.float32)
HISTORY = csr_matrix(np.array([[4, 3, 0], [0, 0, 0], [5, 5, 5], [1, 0, 3]], np.float32))


def times(rows):
    return csr_matrix((np.array(rows), HISTORY.indices, HISTORY.indptr), shape=HISTORY.shape)


def unit(*weights):
    return np.array(weights) / np.linalg.norm(weights)


def test_raw_ratings_weigh():
    profiles = user_profiles(HISTORY, AXES)
    assert profiles.dtype == np.float32
    assert profiles == pytest.approx(np.array([unit(4, 3, 0), [0, 0, 0], unit(5, 5, 5), unit(1, 0, 3)]), abs=1e-7)


def test_binary_ratings_do_not():
    profiles = user_profiles(HISTORY, AXES, rating_weight="binary")
    assert profiles == pytest.approx(np.array([unit(1, 1, 0), [0, 0, 0], unit(1, 1, 1), unit(1, 0, 1)]), abs=1e-7)


def test_centred_ratings_push_away_what_was_rated_low():
    profiles = user_profiles(HISTORY, AXES, rating_weight="centred")
    # Means 3.5, –, 5 (all equal: each weighs 1), 2.
    assert profiles == pytest.approx(np.array([unit(0.5, -0.5, 0), [0, 0, 0], unit(1, 1, 1), unit(-1, 0, 1)]), abs=1e-7)


def test_an_interaction_counts_half_after_a_half_life():
    moments = times([100, 90, 7, 7, -13, 0, 10])
    profiles = user_profiles(HISTORY, AXES, timestamps=moments, half_life=10, rating_weight="binary")
    assert profiles == pytest.approx(
        np.array([unit(1, 0.5, 0), [0, 0, 0], unit(1, 1, 0.25), unit(0.5, 0, 1)]), abs=1e-7
    )
    raw = user_profiles(HISTORY, AXES, timestamps=moments, half_life=10)
    assert raw == pytest.approx(np.array([unit(4, 1.5, 0), [0, 0, 0], unit(5, 5, 1.25), unit(0.5, 0, 3)]), abs=1e-7)


@given(shift=st.integers(-(10**9), 10**9), scale=st.integers(1, 10**6))
@settings(max_examples=30, deadline=None)
def test_only_differences_of_time_in_half_lives_matter(shift, scale):
    moments = times([100, 90, 7, 7, -13, 0, 10])
    moved = times((moments.data * scale + shift).tolist())
    one = user_profiles(HISTORY, AXES, timestamps=moments, half_life=8)
    assert np.array_equal(user_profiles(HISTORY, AXES, timestamps=moved, half_life=8 * scale), one)


def test_long_ago_underflows_to_nothing_but_the_latest_stays():
    profiles = user_profiles(HISTORY, AXES, timestamps=times([0, 10**12, 0, 0, 1, 0, 10**12]), half_life=1)
    assert profiles[[0, 3]].tolist() == [[0, 1, 0], [0, 0, 1]]
    assert np.isfinite(profiles).all()


@given(st.integers(0, 20))
@settings(max_examples=20, deadline=None)
def test_equals_the_formula(seed):
    rng = np.random.default_rng(seed)
    dense = rng.integers(0, 6, (5, 7)).astype(np.float64)
    vectors = rng.normal(size=(7, 4))
    matrix = csr_matrix(dense)
    stamps = csr_matrix((rng.integers(0, 1000, matrix.nnz), matrix.indices, matrix.indptr), matrix.shape)
    profiles = user_profiles(matrix, vectors, timestamps=stamps, half_life=137.0)
    for user in range(5):
        latest = max(stamps[[user]].data, default=0)
        total = sum(
            (dense[user, i] * 0.5 ** ((latest - stamps[user, i]) / 137.0) * vectors[i] for i in matrix[[user]].indices),
            np.zeros(4),
        )
        norm = np.linalg.norm(total)
        assert profiles[user] == pytest.approx(total / norm if norm else total, abs=1e-6)


def test_bad_arguments():
    stamps = times([1] * 7)
    with pytest.raises(ValueError, match="half_life takes timestamps; none came"):
        user_profiles(HISTORY, AXES, half_life=1)
    for bad in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="half_life is"):
            user_profiles(HISTORY, AXES, timestamps=stamps, half_life=bad)
    with pytest.raises(ValueError, match="rating_weight is 'centered'; 'raw', 'centred' or 'binary' is taken"):
        user_profiles(HISTORY, AXES, rating_weight="centered")
    with pytest.raises(ValueError, match="item_vectors has shape"):
        user_profiles(HISTORY, AXES[:2])
    with pytest.raises(ValueError, match="timestamps must have an entry exactly where"):
        user_profiles(HISTORY, AXES, timestamps=stamps[:, ::-1], half_life=1)
    with pytest.raises(TypeError, match="item_vectors has dtype"):
        user_profiles(HISTORY, AXES.astype(str))
