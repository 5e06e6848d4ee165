"""The ablation: arms, seeds, tests, files, tables, the command."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("typer")

from synthetic_ratings import write_files
from typer.testing import CliRunner

from aigc_fast import commands
from aigc_fast.demo.ablation import (
    ABLATION_NAME,
    ARMS,
    COVERAGE_METRIC,
    DIVERSITY_METRIC,
    Ablation,
    ablate,
    read_ablation,
)
from aigc_fast.demo.ablation_table import BLEND_COLUMNS, blend_cells, cells, columns, markdown, quality_rows
from aigc_fast.demo.comparison import DECISIVE_METRIC
from aigc_fast.demo.report import render, write_report
from aigc_fast.demo.results import GENERATIVE, WITHOUT_GAN
from aigc_fast.recommender import paired_test

BASELINES = ["TopPop", "UserKNN", "ItemKNN", "PureSVD", "EASE"]
BLENDS = ["EASE, re-ranked"]
for other in (GENERATIVE, WITHOUT_GAN):
    BLENDS += [f"EASE + {other}", f"EASE + {other}, re-ranked"]


def by_user(found: Ablation, metric: str, name: str) -> np.ndarray:
    return np.nanmean(np.array(found.by_user[metric][name], np.float64), axis=0)


@pytest.fixture(scope="module")
def where(settings, tmp_path_factory):
    return replace(settings, output=tmp_path_factory.mktemp("ablation"), epochs=1)


@pytest.fixture(scope="module")
def found(ratings, where) -> Ablation:
    return ablate(ratings, where, [0, 1])


def test_every_arm_and_baseline_has_every_seed(found, ratings):
    names = [*(arm.name for arm in ARMS), WITHOUT_GAN, *BASELINES, *BLENDS]
    assert [(row["model"], row["seed"]) for row in found.rows] == [(name, seed) for seed in (0, 1) for name in names]
    assert found.seeds == [0, 1]
    for name in names:
        for metric in (DECISIVE_METRIC, DIVERSITY_METRIC):
            values = np.array(found.by_user[metric][name], np.float64)
            assert values.shape == (2, ratings.n_users)
            means = [row[metric] for row in found.rows if row["model"] == name]
            np.testing.assert_allclose(np.nanmean(values, axis=1), means)


def test_the_arms_are_what_they_say(found):
    quality = {row["model"]: row["quality"] for row in found.rows if row["seed"] == 0 and "quality" in row}
    assert set(quality) == {arm.name for arm in ARMS}
    assert quality["no noise"]["pairwise_cosine"] == pytest.approx(1, abs=1e-5)
    assert quality["no discriminator"]["discriminator_loss"] == 0 < quality[GENERATIVE]["discriminator_loss"]
    assert quality["one vector"] == quality["union"] == quality[GENERATIVE]  # the same generator
    assert [name for name, _ in quality_rows(found)] == [GENERATIVE, "no discriminator", "no noise"]


def test_the_table_tests_each_arm_against_the_whole(found):
    row = next(row for row in found.table() if row["model"] == "no noise")
    own, whole = (by_user(found, DECISIVE_METRIC, name) for name in ("no noise", GENERATIVE))
    test = paired_test(own, whole)
    assert row["difference"] == test._asdict()
    assert len(cells(row)) == len(columns(found))
    assert f"{test.p_value:.4f}" in cells(row)


def test_blends_are_tested_against_ease(found):
    rows = {row.model: row for row in found.against_linear()}
    assert list(rows) == BLENDS
    for name, row in rows.items():
        for metric, test in ((DECISIVE_METRIC, row.accuracy), (DIVERSITY_METRIC, row.diversity)):
            assert test == paired_test(by_user(found, metric, name), by_user(found, metric, "EASE"))
        of = {(one["model"], one["seed"]): one[COVERAGE_METRIC] for one in found.rows}
        assert row.coverage == [of[name, seed] - of["EASE", seed] for seed in (0, 1)]
        assert len(row.recipes) == 2
        assert len(blend_cells(row)) == len(BLEND_COLUMNS)
        assert all(recipe["trade_off"] == 1 for recipe in row.recipes) or name.endswith("re-ranked")
        assert all(recipe["weight"] == 0 for recipe in row.recipes) or " + " in name


def test_tables_as_markdown(found):
    lines = markdown(found).splitlines()
    assert lines[0].startswith("Means over 2 seeds")
    tables = markdown(found).split("\n\n")[1:]
    assert [len({line.count("|") for line in table.splitlines()}) for table in tables] == [1, 1, 1]
    assert any(line.startswith("| EASE |") for line in lines)


def test_a_seed_that_is_done_is_not_done_again(found, ratings, where):
    said: list[str] = []
    again = ablate(ratings, replace(where, resume=True), [0, 1], say=said.append)
    assert said == []
    assert again == found == read_ablation(where.output / ABLATION_NAME)
    with pytest.raises(ValueError, match="goes on without --resume only"):
        ablate(ratings, replace(where, resume=True, epochs=2), [0, 1])


@pytest.mark.parametrize("content", ["", "{", '{"models": []}', "[1, 2]"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / ABLATION_NAME
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"{ABLATION_NAME} holds no figures of an ablation"):
        read_ablation(path)


def test_a_seed_that_was_interrupted_keeps_its_generators(found, ratings, where, monkeypatch):
    (where.output / "ablation-seed-1.json").unlink()

    def train(*args):
        raise AssertionError("a generator is trained again")

    monkeypatch.setattr("aigc_fast.gan.training.train_epoch", train)
    assert ablate(ratings, replace(where, resume=True), [0, 1]) == found
    with pytest.raises(AssertionError, match="trained again"):
        ablate(ratings, where, [1])


def test_the_report_shows_an_ablation_that_lies_beside_it(found, result, where):
    write_report(where.output / "report.html", result)
    page = (where.output / "report.html").read_text(encoding="utf-8")
    assert 'id="ablation"' in page
    assert "means over 2 seeds" in page
    assert 'id="ablation"' not in render(result)


def test_the_command(tmp_path):
    files = write_files(tmp_path)
    arguments = ["ablate", "--ratings", files, "--output", tmp_path / "out", "--epochs", 1, "--seeds", 1]
    done = CliRunner().invoke(commands.app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    assert "| no discriminator |" in done.output
    assert len(json.loads((tmp_path / "out" / ABLATION_NAME).read_text())["seeds"]) == 1
