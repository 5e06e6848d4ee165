"""Recipes for blends: what validation data chooses, against a search by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("typer")

from scipy.sparse import csr_matrix

from aigc_fast import TopK
from aigc_fast.demo.blends import CANDIDATES, TRADE_OFFS, WEIGHTS, Recipe, choose_recipes
from aigc_fast.demo.comparison import LIST_LENGTH
from aigc_fast.recommender import accuracy_by_user, blend, diversity_by_user, rerank

N_USERS, N_ITEMS = 40, 150


def lists(scores: np.ndarray) -> TopK:
    ids = np.argsort(-scores, axis=1, kind="stable")[:, :CANDIDATES]
    return TopK(np.take_along_axis(scores, ids, 1).astype(np.float32), ids, np.full(N_USERS, CANDIDATES))


@pytest.fixture(scope="module")
def case():
    """Two recommenders that know different halves of the truth, and one that knows nothing."""
    rng = np.random.default_rng(0)
    truth = rng.random((N_USERS, N_ITEMS))
    relevant = csr_matrix((truth > 0.85).astype(np.float32))
    noisy = {name: truth + 0.5 * rng.standard_normal(truth.shape) for name in ("EASE", "good")}
    of = {name: lists(scores) for name, scores in noisy.items()} | {"bad": lists(rng.random(truth.shape))}
    return of, relevant, rng.standard_normal((N_ITEMS, 5)).astype(np.float32)


def ndcg(found: TopK, relevant: csr_matrix) -> float:
    return np.nanmean(accuracy_by_user(found, relevant, LIST_LENGTH)["NDCG"])


def test_a_recipe_is_blend_and_rerank(case):
    of, _, vectors = case
    blended = blend([of["EASE"], of["good"]], [0.7, 0.3], CANDIDATES)
    for trade_off in (1.0, 0.6):
        found = Recipe("good", 0.3, trade_off).lists(of, vectors)
        expected = rerank(blended, vectors, LIST_LENGTH, trade_off=trade_off)
        assert np.array_equal(found.ids, expected.ids)
    assert np.array_equal(Recipe("EASE").lists(of, vectors).ids, of["EASE"].ids[:, :LIST_LENGTH])


def test_the_weight_has_the_best_accuracy(case):
    of, relevant, vectors = case
    chosen = choose_recipes(of, ("good", "bad"), relevant, vectors)
    assert list(chosen) == [
        "EASE, re-ranked", "EASE + good", "EASE + good, re-ranked", "EASE + bad", "EASE + bad, re-ranked"
    ]  # fmt: skip
    for other in ("good", "bad"):
        found = [ndcg(blend([of["EASE"], of[other]], [1 - w, w], LIST_LENGTH), relevant) for w in WEIGHTS]
        assert chosen[f"EASE + {other}"] == Recipe(other, WEIGHTS[int(np.argmax(found))])
    assert 0.2 <= chosen["EASE + good"].weight <= 0.8  # both know the same amount
    assert chosen["EASE + bad"].weight <= 0.2


def test_re_ranking_stops_where_it_would_cost_accuracy(case):
    of, relevant, vectors = case
    chosen = choose_recipes(of, ("good",), relevant, vectors)
    least = ndcg(of["EASE"]._replace(ids=of["EASE"].ids[:, :LIST_LENGTH]), relevant)
    for name in ("EASE", "EASE + good"):
        recipe = chosen[f"{name}, re-ranked"]
        found = {t: ndcg(recipe._replace(trade_off=t).lists(of, vectors), relevant) for t in TRADE_OFFS}
        assert recipe.trade_off == min(t for t, value in found.items() if value >= least)
    plain, diverse = (chosen[name].lists(of, vectors) for name in ("EASE + good", "EASE + good, re-ranked"))
    more, less = (diversity_by_user(one, vectors, LIST_LENGTH).mean() for one in (diverse, plain))
    assert chosen["EASE + good, re-ranked"].trade_off < 1
    assert more > less
