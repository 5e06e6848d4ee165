"""Experiments: validation chooses, test reports, each seed its own split, and the numbers are those of `evaluate`."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from aigc_fast.recommender import (
    ItemKNN,
    TopPop,
    accuracy_by_user,
    evaluate,
    random_split,
    restrict,
    run_experiment,
    temporal_split,
)
from aigc_fast.recommender.evaluation import bootstrap_interval, paired_test

GRID = {"k": [1, 20], "shrink": [0.0, 10.0]}


@pytest.fixture(scope="module")
def history():
    rng = np.random.default_rng(0)
    likes = (np.arange(80)[:, None] + np.arange(40)) % 4 == 0
    return csr_matrix((rng.random((80, 40)) < np.where(likes, 0.7, 0.1)).astype(np.float32))


@pytest.fixture(scope="module")
def found(history):
    models = {"TopPop": TopPop, "ItemKNN": (ItemKNN, GRID)}
    vectors = np.eye(40, dtype=np.float32)
    return run_experiment(models, history, seeds=[3, 7], cutoffs=[5, 10], item_vectors=vectors, progress=False)


def test_rows_are_what_evaluate_says_of_the_chosen_model(found, history):
    assert [(row["model"], row["seed"]) for row in found.rows] == [
        ("TopPop", 3), ("ItemKNN", 3), ("TopPop", 7), ("ItemKNN", 7)
    ]  # fmt: skip
    for number, row in enumerate(found.rows):
        train, test = random_split(history, 0.2, row["seed"])
        model = {"TopPop": TopPop, "ItemKNN": ItemKNN}[row["model"]](**row["parameters"])
        lists = model.fit(train).recommend(np.arange(80), 10)
        expected = evaluate(lists, test, [5, 10], train=train, item_vectors=np.eye(40))
        assert {name: row[name] for name in expected} == expected
        by_user = found.by_user[row["model"], "NDCG@5"][number // 2]
        assert np.array_equal(by_user, accuracy_by_user(lists, test, 5)["NDCG"], equal_nan=True)


def test_validation_chooses_and_never_sees_test(found, history):
    assert len(found.candidates) == 8
    for seed in (3, 7):
        fit, validation = random_split(random_split(history, 0.2, seed).train, 0.2, seed)
        candidates = [candidate for candidate in found.candidates if candidate["seed"] == seed]
        for candidate in candidates:
            lists = ItemKNN(**candidate["parameters"]).fit(fit).recommend(np.arange(80), 10)
            assert candidate["NDCG@10"] == evaluate(lists, validation, [10])["NDCG@10"]
        best = max(candidates, key=lambda candidate: candidate["NDCG@10"])
        row = next(row for row in found.rows if (row["model"], row["seed"]) == ("ItemKNN", seed))
        assert row["parameters"] == best["parameters"]


def test_frames_intervals_and_plot(found):
    frame = found.frame()
    assert len(frame) == 4
    assert found.summary().loc["ItemKNN", "P@5"] == pytest.approx(frame[frame.model == "ItemKNN"]["P@5"].mean())
    item, pop = (np.nanmean(found.by_user[name, "NDCG@10"], axis=0) for name in ("ItemKNN", "TopPop"))
    assert found.interval("ItemKNN", "NDCG@10") == pytest.approx(bootstrap_interval(item))
    assert found.compare("ItemKNN", "TopPop", "NDCG@10") == pytest.approx(paired_test(item, pop))
    axes = found.plot("NDCG@10")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["TopPop", "ItemKNN"]
    assert "2 seeds" in axes.get_xlabel()
    with pytest.raises(ValueError, match="'NDCG@20'; there are TopPop P@5"):
        found.interval("ItemKNN", "NDCG@20")


def test_split_by_time(history):
    order = np.random.default_rng(1).permutation(history.nnz)
    times = csr_matrix((order, history.indices, history.indptr), history.shape)
    found = run_experiment(
        {"ItemKNN": (ItemKNN, {"k": [2, 9]})}, history, seeds=[0], timestamps=times, cutoffs=[5], progress=False
    )
    train, test = temporal_split(history, times)
    lists = ItemKNN(**found.rows[0]["parameters"]).fit(train).recommend(np.arange(80), 5)
    assert found.rows[0]["P@5"] == evaluate(lists, test, [5])["P@5"]
    fit, validation = temporal_split(train, restrict(times, train), 0.2)
    lists = ItemKNN(k=2).fit(fit).recommend(np.arange(80), 5)
    assert found.candidates[0]["P@5"] == evaluate(lists, validation, [5])["P@5"]
    with pytest.raises(ValueError, match="a split by time is the same for each"):
        run_experiment({"TopPop": TopPop}, history, seeds=[0, 1], timestamps=times)


def test_progress_counts_every_fit(history, capsys):
    run_experiment({"ItemKNN": (ItemKNN, {"k": [2, 9]})}, history, seeds=[0, 1], cutoffs=[5])
    assert "6/6" in capsys.readouterr().err


def test_bad_arguments(history):
    with pytest.raises(ValueError, match="models, seeds and cutoffs"):
        run_experiment({}, history)
    with pytest.raises(ValueError, match="choose_by is 'F1'"):
        run_experiment({"TopPop": TopPop}, history, choose_by="F1")
    with pytest.raises(ValueError, match="has no values to choose from"):
        run_experiment({"ItemKNN": (ItemKNN, {"k": []})}, history)
