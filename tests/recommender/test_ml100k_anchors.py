"""Known levels on MovieLens-100K: if ours are elsewhere, the metrics or the models are wrong.

The anchors are those of the CFGAN protocol (random 80/20, every rating positive, all items ranked, mean over the
users), computed by independent code on CFGAN's own split; so they hold to about two standard errors of the mean over
943 users: .016 for P@5 and .014 for NDCG@20. Predicted ratings are held against the README of Surprise (5 folds): its
baseline has RMSE .944 and MAE .748, its k-NN above the baseline .931 and .733.
"""

import numpy as np
import pytest

from aigc_fast.data import find_ml100k, load_ml100k
from aigc_fast.recommender import (
    EASE,
    ItemKNN,
    PureSVD,
    TopPop,
    UserKNN,
    evaluate,
    random_split,
    rating_errors,
    user_profiles,
)
from aigc_fast.recommender.vectors import item_vectors

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_ml100k() is None, reason="MovieLens-100K is not on this machine; tests do not fetch it"),
]


@pytest.fixture(scope="module")
def ratings():
    return load_ml100k()


@pytest.fixture(scope="module")
def split(ratings):
    train, test = random_split(ratings.user_items, 0.2, seed=0)
    train.data[:] = 1
    return train, test


def test_the_data_set_is_the_published_one(ratings):
    assert ratings.user_items.shape == (943, 1682)
    # Counts per rating from 1 to 5, as published with the data set.
    assert np.bincount(ratings.user_items.data.astype(int))[1:].tolist() == [6110, 11370, 27145, 34174, 21201]
    assert np.diff(ratings.user_items.indptr).min() == 20  # every user has rated at least 20 films
    assert ratings.items.titles[0] == "Toy Story"
    assert ratings.items.years[0] == 1995
    assert len(ratings.items.genre_names) == 18
    assert (ratings.items.years < 0).sum() == 1  # film 267, of which nothing is known
    assert (ratings.users.genders == "F").sum() == 273
    assert len(set(ratings.users.occupations)) == 21


@pytest.mark.parametrize(
    ("model", "precision", "ndcg"),
    [
        (EASE(regularization=400), 0.4456, 0.4368),
        (PureSVD(factors=20), 0.4288, 0.4240),
        (TopPop(), 0.2078, 0.2129),
        (UserKNN(k=50, metric="cosine"), 0.3875, 0.3890),
        (ItemKNN(k=200, shrink=50), 0.3890, 0.3798),
    ],
    ids=["EASE", "PureSVD", "TopPop", "UserKNN", "ItemKNN"],
)
def test_baselines_are_where_others_found_them(split, model, precision, ndcg):
    train, test = split
    metrics = evaluate(model.fit(train).recommend(np.arange(943), n=20), test)
    assert metrics["P@5"] == pytest.approx(precision, abs=0.016)
    assert metrics["NDCG@20"] == pytest.approx(ndcg, abs=0.014)


@pytest.mark.parametrize("model", [UserKNN(200, "pearson"), ItemKNN(200, "pearson", 20)], ids=["UserKNN", "ItemKNN"])
def test_predicted_ratings_are_as_near_as_others(ratings, model):
    train, test = random_split(ratings.user_items, 0.2, seed=1)
    pairs = test.tocoo()
    errors = rating_errors(model.fit(train).predict(pairs.row, pairs.col), pairs.data)
    assert errors["RMSE"] == pytest.approx(0.931, abs=0.01)
    assert errors["MAE"] == pytest.approx(0.733, abs=0.01)


def test_profiles_find_what_neighbours_find(ratings, split):
    """Cosine of profile and item vectors ranks at least as well as popularity by a wide margin."""
    from aigc_fast import cosine_topk

    train, test = split
    array = item_vectors(train, ratings.items)
    metrics = evaluate(cosine_topk(user_profiles(train, array), array, 20, exclude=train), test)
    popular = evaluate(TopPop().fit(train).recommend(np.arange(943), n=20), test)
    assert metrics["P@5"] > 1.5 * popular["P@5"]
