"""EASE and PureSVD against their definitions in dense NumPy."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from aigc_fast.recommender import EASE, PureSVD

RNG = np.random.default_rng(11)
DENSE = (RNG.integers(1, 6, (50, 20)) * (RNG.random((50, 20)) < 0.3)).astype(np.float64)
DENSE[:, 4] = 0  # nobody has this item
DENSE[7] = 0  # and this user nothing


def check_lists(model, scores, rel):
    """Whole lists of every user: unseen items that somebody has, best first, none for a user without history."""
    lists = model.recommend(np.arange(50), n=20)
    for user in range(50):
        expected = [i for i in np.argsort(-scores[user]) if DENSE[user, i] == 0 and DENSE[:, i].any()]
        count = lists.counts[user]
        if not DENSE[user].any():
            assert count == 0
            continue
        assert lists.ids[user, :count].tolist() == expected
        assert lists.scores[user, :count] == pytest.approx(scores[user, expected], rel=rel, abs=1e-5)


def test_ease_is_a_ridge_regression_of_each_item_on_all_others():
    weights = np.zeros((20, 20))
    for item in range(20):
        others = np.arange(20) != item
        design = np.vstack([DENSE[:, others], np.sqrt(30) * np.eye(19)])  # the penalty as further rows
        target = np.concatenate([DENSE[:, item], np.zeros(19)])
        weights[others, item] = np.linalg.lstsq(design, target, rcond=None)[0]
    model = EASE(regularization=30).fit(csr_matrix(DENSE))
    assert model.weights_ == pytest.approx(weights, rel=1e-5, abs=1e-7)
    check_lists(model, DENSE @ weights, 1e-5)


@pytest.mark.parametrize("factors", [3, 10])
def test_pure_svd_projects_on_the_leading_singular_vectors(factors):
    _, singular, right = np.linalg.svd(DENSE)
    model = PureSVD(factors).fit(csr_matrix(DENSE))
    assert model.singular_values_ == pytest.approx(singular[:factors], rel=1e-8)
    check_lists(model, DENSE @ right[:factors].T @ right[:factors], 1e-4)
    items = right[:factors].T * singular[:factors]
    norms = np.linalg.norm(items, axis=1)
    lists = model.similar_items(np.arange(20), n=1)
    for item in np.delete(np.arange(20), 4):
        cosine = items @ items[item] / np.maximum(norms * norms[item], 1e-9)
        cosine[item] = -2
        assert lists.ids[item, 0] == np.argmax(cosine)
        assert lists.scores[item, 0] == pytest.approx(cosine.max(), abs=1e-5)


def test_directions_beyond_the_rank_are_left_out():
    """Their singular vectors are any of the null space: no training user shows them, a new one does."""
    low_rank = RNG.integers(0, 3, (40, 3)) @ RNG.integers(0, 3, (3, 25))
    _, singular, right = np.linalg.svd(low_rank.astype(np.float64))
    model = PureSVD(10).fit(csr_matrix(low_rank))
    assert model.singular_values_ == pytest.approx(singular[:3], rel=1e-8)
    assert model.item_factors_.shape == (25, 3)
    assert model.item_factors_.flags.c_contiguous  # else every list copies them
    new = (RNG.random((5, 25)) < 0.3).astype(np.float64)
    lists = model.recommend(np.full(5, -1), n=25, user_items=csr_matrix(new), exclude_seen=False)
    scores = new @ right[:3].T @ right[:3]
    assert lists.scores == pytest.approx(np.take_along_axis(scores, lists.ids, axis=1), abs=1e-5)


def test_more_factors_than_there_are():
    history = csr_matrix(DENSE)
    most, further = PureSVD(19).fit(history), PureSVD(64).fit(history)
    assert most.recommend(np.arange(50)).ids.tolist() == further.recommend(np.arange(50)).ids.tolist()


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 3), (4, 4)])
def test_hardly_any_data(shape):
    for matrix in (csr_matrix(shape), csr_matrix(([1.0], ([0], [0])), shape)):
        for model in (PureSVD(2), EASE()):
            lists = model.fit(matrix).recommend(np.arange(shape[0]), n=2)
            assert lists.ids.shape == (shape[0], 2)
            assert lists.ids.max() < shape[1]


def test_parameters_are_checked():
    for bad in (0, -1, float("nan")):
        with pytest.raises(ValueError, match=f"regularization is {bad}; a finite number above 0"):
            EASE(bad)
    with pytest.raises(ValueError, match="factors is 0; at least 1"):
        PureSVD(0)
