"""The demonstration on a small data set: who sees what, and what comes out."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from aigc_fast.data import Ratings
from aigc_fast.demo import DemoSettings, run_demo
from aigc_fast.demo.comparison import CUTOFFS, LIST_LENGTH, ProfileGenerator, differences
from aigc_fast.demo.parts import demo_vectors, split
from aigc_fast.demo.pipeline import checkpoint_folder
from aigc_fast.demo.report import render
from aigc_fast.demo.results import GENERATIVE, LISTS_NAME, METRICS_NAME, WITHOUT_GAN
from aigc_fast.demo.studies import CONTROL_METRIC, TEST_METRIC
from aigc_fast.recommender import TopPop, UserKNN, accuracy_by_user, evaluate

MODELS = ["TopPop", "UserKNN", "ItemKNN", WITHOUT_GAN, GENERATIVE]


def cells(matrix: csr_matrix) -> set[tuple[int, int]]:
    return set(zip(*(axis.tolist() for axis in matrix.nonzero()), strict=True))


def test_every_rating_is_in_one_part(ratings, settings):
    parts = split(ratings, settings)
    pieces = [cells(part) for part in (parts.test, parts.cold, parts.answers, parts.validation, parts.fit)]
    assert sum(map(len, pieces)) == ratings.n_ratings
    assert set.union(*pieces) == cells(ratings.user_items)
    assert cells(parts.train) == set.union(*pieces[1:])
    assert len(pieces[0]) == round(0.2 * ratings.n_ratings)
    total = sum((parts.cold, parts.answers, parts.validation, parts.fit), parts.test)
    assert (total != ratings.user_items).nnz == 0  # values come along


def test_hidden_items_and_newcomers_are_hidden(ratings, settings):
    parts = split(ratings, settings)
    hidden = np.unique(parts.cold.indices)
    assert len(hidden) > 0
    for part in (parts.fit, parts.validation, parts.answers):
        assert not np.isin(part.indices, hidden).any()
    known = np.diff(parts.fit.indptr)[parts.newcomers]
    assert len(parts.newcomers) > 0
    assert (known == settings.newcomer_ratings).all()
    assert not np.diff(parts.validation.indptr)[parts.newcomers].any()
    assert np.flatnonzero(np.diff(parts.answers.indptr)).tolist() == parts.newcomers.tolist()


def test_too_little_data_is_refused(ratings, settings):
    few = replace(
        ratings, user_ids=ratings.user_ids[:4], user_items=ratings.user_items[:4], timestamps=None, users=None
    )
    with pytest.raises(ValueError, match=r"ratings has 4 users, 60 items and .* at least 10, 20 and 200 are taken"):
        split(few, settings)


def test_item_vectors_have_both_parts(ratings, settings):
    vectors = demo_vectors(ratings, ratings.user_items, settings)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors.shape[1] > settings.dim
    assert demo_vectors(replace(ratings, items=None), ratings.user_items, settings).shape[1] == settings.dim


def test_the_table_has_all_models_and_metrics(result):
    assert [model.name for model in result.models] == MODELS
    kinds = ("P", "R", "NDCG", "MRR", "MAP", "Coverage", "Gini", "Diversity", "Novelty")
    names = [f"{name}@{n}" for n in CUTOFFS for name in kinds]
    for model in result.models:
        assert sorted(model.metrics) == sorted(names)
        assert all(np.isfinite(value) for value in model.metrics.values())
        assert model.fit_seconds >= 0


def test_baselines_are_evaluated_on_the_test_part(ratings, settings, result):
    parts = split(ratings, settings)
    ones = parts.train.copy()
    ones.data[:] = 1
    for name, model in (("TopPop", TopPop()), ("UserKNN", UserKNN())):
        lists = model.fit(ones).recommend(np.arange(ratings.n_users), LIST_LENGTH)
        expected = evaluate(lists, parts.test, CUTOFFS)
        got = result.model(name).metrics
        assert {metric: got[metric] for metric in expected} == expected


def test_the_generative_model_finds_the_structure(result):
    assert result.model(GENERATIVE).metrics["NDCG@20"] > 1.1 * result.model("TopPop").metrics["NDCG@20"]


def test_the_choice_is_the_best_on_validation(result):
    assert len(result.candidates) == 3  # one vector needs no fusion
    assert result.chosen.metrics["NDCG@20"] == max(found.metrics["NDCG@20"] for found in result.candidates)


def test_differences_are_paired_and_their_interval_holds_the_mean(ratings, settings, result):
    assert [difference.other for difference in result.differences] == MODELS[:-1]
    for difference in result.differences:
        mean = result.model(GENERATIVE).metrics["NDCG@20"] - result.model(difference.other).metrics["NDCG@20"]
        assert difference.mean == pytest.approx(mean, abs=1e-12)
        assert difference.low < difference.mean < difference.high
        assert difference.clear == (difference.low > 0 or difference.high < 0)


def test_bootstrap_interval_is_that_of_the_normal_approximation(ratings, settings):
    parts = split(ratings, settings)
    users = np.arange(ratings.n_users)
    lists = {
        "TopPop": TopPop().fit(parts.train).recommend(users, LIST_LENGTH),
        GENERATIVE: UserKNN().fit(parts.train).recommend(users, LIST_LENGTH),
    }
    (found,) = differences(lists, parts.test, seed=0)
    values = [accuracy_by_user(each, parts.test, LIST_LENGTH)["NDCG"] for each in lists.values()]
    difference = (values[1] - values[0])[~np.isnan(values[0])]
    half = 1.96 * difference.std() / np.sqrt(len(difference))
    # 2000 resamples: the ends are known to about a tenth of the half width.
    assert found.low == pytest.approx(difference.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(difference.mean() + half, abs=0.15 * half)


def test_the_loop_is_measured_beside_a_control(result):
    assert [curve.name for curve in result.feedback] == ["profiles", "profiles and generator"]
    for curve in result.feedback:
        assert curve.baseline[TEST_METRIC] == curve.baseline[CONTROL_METRIC]  # nothing learned, nothing left out
        assert 1 <= len(curve.rounds) <= 3
        assert len(curve.answers) == len(curve.rounds)
        assert sum(curve.answers) > 0
    # The control of a round is the first model; it changes by what is left out, and both runs show the same list first.
    assert result.feedback[0].rounds[0][CONTROL_METRIC] == result.feedback[1].rounds[0][CONTROL_METRIC]


def test_new_items_are_ranked(result):
    assert set(result.cold_start.ndcg) == {GENERATIVE, WITHOUT_GAN, "random order"}
    assert all(0 <= value <= 1 for value in result.cold_start.ndcg.values())
    assert result.cold_start.n_items == result.counts["hidden_items"]


def test_a_story_is_told(result, settings):
    assert len(result.story.history) == settings.newcomer_ratings
    assert len(result.story.before) == len(result.story.after) == settings.feedback_length
    shown = {item.title for item in result.story.after}
    assert not shown & set(result.story.answers)


def test_the_map_is_a_projection(result):
    assert result.vector_map.real.shape[1] == 2
    np.testing.assert_allclose(result.vector_map.real.mean(axis=0), 0, atol=1e-9)
    spread = result.vector_map.real.var(axis=0)
    assert spread[0] >= spread[1]
    assert 0 < result.vector_map.explained <= 1


def test_lists_are_written_for_all_users(result, ratings, settings):
    with (settings.output / LISTS_NAME).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {int(row["user"]) for row in rows} == set(ratings.user_ids.tolist())
    assert len(rows) == ratings.n_users * LIST_LENGTH
    train = cells(split(ratings, settings).train)
    place = {label: row for row, label in enumerate(ratings.user_ids.tolist())}
    column = {label: item for item, label in enumerate(ratings.item_ids.tolist())}
    for row in rows:
        item = column[int(row["item"])]
        assert (place[int(row["user"])], item) not in train
        assert row["title"] == ratings.items.titles[item]
    scores = [float(row["score"]) for row in rows[:LIST_LENGTH]]
    assert scores == sorted(scores, reverse=True)
    assert [int(row["rank"]) for row in rows[:LIST_LENGTH]] == list(range(1, LIST_LENGTH + 1))


def test_metrics_are_written_as_plain_json(result, settings):
    text = (settings.output / METRICS_NAME).read_text(encoding="utf-8")
    written = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert {model["name"]: model["metrics"] for model in written["models"]} == {
        model.name: model.metrics for model in result.models
    }
    assert written["data"]["ratings"] == result.counts["ratings"]


def test_steps_are_told(result, said):
    assert len(said) == 4
    assert f"{result.counts['train']:,} ratings" in said[1]


def test_a_second_run_gives_the_same_figures_and_resume_trains_nothing(result, ratings, settings):
    seen = {path: path.stat().st_size for path in checkpoint_folder(settings.output).rglob("*.safetensors")}
    assert len(seen) == 2
    again = run_demo(ratings, replace(settings, resume=True), title="again")
    assert [model.metrics for model in again.models] == [model.metrics for model in result.models]
    assert [curve.rounds for curve in again.feedback] == [curve.rounds for curve in result.feedback]
    with pytest.raises(ValueError, match="epochs"):
        run_demo(ratings, replace(settings, resume=True, epochs=4), title="again")


def test_without_an_item_table(ratings, tmp_path):
    bare = replace(ratings, items=None)
    found = run_demo(bare, DemoSettings(tmp_path, epochs=1, dim=8).quick(), title="bare")
    assert found.cold_start is None
    assert found.story.before[0].title.startswith("item ")
    lines = (tmp_path / LISTS_NAME).read_text(encoding="utf-8").splitlines()
    assert lines[1].split(",")[3] == ""


def test_quick_settings_run_every_step(settings):
    quick = DemoSettings(settings.output, epochs=12).quick()
    assert quick.epochs == 2
    assert quick.rounds == 2
    assert DemoSettings(settings.output, epochs=1).quick().epochs == 1


def test_the_ablation_searches_with_the_profile():
    conditions = np.random.default_rng(0).normal(size=(3, 4))
    generator = ProfileGenerator().fit(None, None)
    assert np.array_equal(generator.partial_fit(None, None).generate(conditions)[:, 0], conditions.astype(np.float32))


def test_newcomers_of_whom_test_knows_nothing(tmp_path):
    """A mean over nobody is NaN in the figures, and no warning."""
    user, item = np.nonzero(np.add.outer(7 * np.arange(30), np.arange(30)) % 3 == 0)
    few = csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=(30, 30))
    ratings = Ratings(np.arange(30), np.arange(30), few)
    result = run_demo(ratings, DemoSettings(tmp_path).quick(), title="few")
    assert any(np.isnan(curve.baseline[TEST_METRIC]) for curve in result.feedback)
    assert json.loads((tmp_path / METRICS_NAME).read_text())["feedback"][0]["baseline"][TEST_METRIC] is None
    assert "few" in render(result)
