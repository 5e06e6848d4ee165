"""What each part of the generative recommender adds: one part taken away at a time, on the same splits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK
from aigc_fast.data import Ratings
from aigc_fast.demo.blends import CANDIDATES, LINEAR, choose_recipes
from aigc_fast.demo.comparison import CUTOFFS, DECISIVE, DECISIVE_METRIC, LIST_LENGTH, without_gan
from aigc_fast.demo.parts import binary, demo_vectors
from aigc_fast.demo.results import GENERATIVE, WITHOUT_GAN, write_text
from aigc_fast.demo.settings import DemoSettings
from aigc_fast.gan import ContentGAN
from aigc_fast.recommender import (
    EASE,
    Experiment,
    ItemKNN,
    PureSVD,
    Recommender,
    TopPop,
    UserKNN,
    accuracy_by_user,
    content_vectors,
    diversity_by_user,
    evaluate,
    random_split,
)
from aigc_fast.recommender.evaluation import PairedTest
from aigc_fast.recommender.generative import GenerativeRecommender

ABLATION_NAME = "ablation.json"
CHECKPOINTS = "ablation-checkpoints"  # folder
DIVERSITY_METRIC, COVERAGE_METRIC = f"Diversity@{LIST_LENGTH}", f"Coverage@{LIST_LENGTH}"
SHOWN = ("P@5", DECISIVE_METRIC, COVERAGE_METRIC, DIVERSITY_METRIC, f"Novelty@{LIST_LENGTH}")


class Arm(NamedTuple):
    """One way to leave something out."""

    name: str
    about: str
    gan: dict[str, Any]  # settings of the generator; arms with equal ones share it
    ranking: dict[str, Any]


ARMS = (
    Arm(GENERATIVE, "as it is", {}, {}),
    Arm(
        "no discriminator",
        "1 − cosine is what the generator minimizes",
        {"adversarial": 0.0, "reconstruction": 1.0},
        {},
    ),
    Arm("no noise", "one answer to a profile", {"noise_dim": 0}, {}),
    Arm("one vector", "instead of several", {}, {"n_vectors": 1}),
    Arm("union", "of the lists of all vectors", {}, {"fusion": "max"}),
    Arm("union, diverse", "and re-ranked", {}, {"fusion": "max", "diversity": 0.3}),
)


class AgainstLinear(NamedTuple):
    """What a blend with EASE has more than EASE alone."""

    model: str
    accuracy: PairedTest
    diversity: PairedTest
    coverage: list[float]  # one a seed: it is of all lists, so no user has one
    recipes: list[dict[str, Any]]  # one a seed


@dataclass
class Ablation:
    """What `ablate` found.

    Attributes
    ----------
    about
        The settings that every seed shares.
    seeds
        Of the splits and the training.
    rows
        One dict for each arm and seed: "model", "about", "seed" and the metrics on test; arms with a generator also
        have measures of what it generates under "quality", blends what validation data chose under "recipe".
    by_user
        Metric → arm → (n_seeds, n_users) values on test, None where a user has none: the decisive metric and diversity.
    """

    about: dict[str, Any]
    seeds: list[int] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    by_user: dict[str, dict[str, list[list[float | None]]]] = field(default_factory=dict)

    def experiment(self) -> Experiment:
        """Return the figures with their intervals and tests."""
        by_user = {
            (name, metric): np.array(values, np.float64)
            for metric, arms in self.by_user.items()
            for name, values in arms.items()
        }
        return Experiment(tuple(self.seeds), self.rows, [], by_user)

    def table(self) -> list[dict[str, Any]]:
        """Return one dict for each arm: means over the seeds, and the paired difference of the whole product to it."""
        experiment = self.experiment()
        found = []
        for name in experiment.models:
            own = [row for row in self.rows if row["model"] == name]
            means = {metric: float(np.mean([row[metric] for row in own])) for metric in SHOWN if metric in own[0]}
            spread = float(np.std([row[DECISIVE_METRIC] for row in own], ddof=1)) if len(own) > 1 else None
            difference = experiment.compare(name, GENERATIVE, DECISIVE_METRIC)._asdict()
            found.append({"model": name, "about": own[0]["about"], **means, "spread": spread, "difference": difference})
        return found

    def against_linear(self) -> list[AgainstLinear]:
        """Compare EASE with its blends."""
        experiment = self.experiment()
        linear = [row for row in self.rows if row["model"] == LINEAR]
        found = []
        for name in dict.fromkeys(row["model"] for row in self.rows if "recipe" in row):
            own = [row for row in self.rows if row["model"] == name]
            accuracy = experiment.compare(name, LINEAR, DECISIVE_METRIC)
            diversity = experiment.compare(name, LINEAR, DIVERSITY_METRIC)
            coverage = [row[COVERAGE_METRIC] - other[COVERAGE_METRIC] for row, other in zip(own, linear, strict=True)]
            found.append(AgainstLinear(name, accuracy, diversity, coverage, [row["recipe"] for row in own]))
        return found

    def add(self, other: Ablation) -> None:
        """Take the figures of more seeds in."""
        self.seeds += other.seeds
        self.rows += other.rows
        for metric, arms in other.by_user.items():
            for name, values in arms.items():
                self.by_user.setdefault(metric, {}).setdefault(name, []).extend(values)


def ablate(
    ratings: Ratings,
    settings: DemoSettings,
    seeds: Sequence[int],
    *,
    say: Callable[[str], None] = lambda text: None,
    progress: bool = False,
) -> Ablation:
    """Compare the whole product, the same without each of its parts, and the baselines, on the same splits.

    The protocol of CFGAN: a random split of all ratings, every rating positive, all items ranked but those in train.
    Nothing is chosen on test: settings are the defaults, and a part of train chooses how EASE is blended and re-ranked.

    Parameters
    ----------
    ratings
        The data.
    settings
        Of vectors and training; its ``seed`` is replaced. Each seed that is done is kept in ``output``, and with
        ``resume`` not done again.
    seeds
        One split, training and noise each. Costs four trainings of the generator.
    say
        Called with a line about each step.
    progress
        Show training bars on standard error.

    Raises
    ------
    ValueError
        ``resume`` with a seed of another run in the folder.
    """
    about: dict[str, Any] = {"ratings": ratings.n_ratings, "epochs": settings.epochs, "dim": settings.dim}
    about |= {"content_weight": settings.content_weight, "test_fraction": settings.test_fraction}
    about["validation_fraction"] = settings.validation_fraction
    result = Ablation(about)
    for seed in seeds:
        path = settings.output / f"ablation-seed-{seed}.json"
        if settings.resume and path.exists():
            done = read_ablation(path)
            if done.about != about:
                raise ValueError(f"{path} has {done.about}; a run with {about} goes on without --resume only")
        else:
            say(f"Seed {seed}")
            done = _one_seed(ratings, settings, seed, about, progress)
            _write(path, done)
        result.add(done)
    _write(settings.output / ABLATION_NAME, result)
    return result


def read_ablation(path: Path) -> Ablation:
    """Read what `ablate` wrote.

    Raises
    ------
    ValueError
        The file is damaged, or of another kind.
    """
    try:
        return Ablation(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} holds no figures of an ablation: {error}") from None


def _write(path: Path, ablation: Ablation) -> None:
    write_text(path, json.dumps(asdict(ablation), allow_nan=False) + "\n")


def _one_seed(ratings: Ratings, settings: DemoSettings, seed: int, about: dict[str, Any], progress: bool) -> Ablation:
    train, test = random_split(ratings.user_items, settings.test_fraction, seed)
    vectors = demo_vectors(ratings, train, settings)
    described = vectors if ratings.items is None else content_vectors(ratings.items)
    result = Ablation(about, [seed])

    def add(name: str, told: str, lists: TopK, **more: Any) -> None:
        shown = TopK(lists.scores[:, :LIST_LENGTH], lists.ids[:, :LIST_LENGTH], np.minimum(lists.counts, LIST_LENGTH))
        metrics = evaluate(shown, test, CUTOFFS, train=train, item_vectors=described)
        result.rows.append({"model": name, "about": told, "seed": seed, **metrics, **more})
        for metric, values in (
            (DECISIVE_METRIC, accuracy_by_user(shown, test, LIST_LENGTH)[DECISIVE]),
            (DIVERSITY_METRIC, diversity_by_user(shown, described, LIST_LENGTH)),
        ):
            known = [None if np.isnan(value) else float(value) for value in values]
            result.by_user.setdefault(metric, {})[name] = [known]

    long_lists: dict[str, TopK] = {}
    trained: dict[str, GenerativeRecommender] = {}
    for arm in ARMS:
        key = json.dumps(arm.gan)
        if key not in trained:
            trained[key] = _trained(train, vectors, seed, settings, arm.name, progress, **arm.gan)
        lists = _lists(trained[key].with_ranking(**arm.ranking))
        add(arm.name, arm.about, lists, quality=_quality(trained[key]))
        long_lists.setdefault(GENERATIVE, lists)
    long_lists[WITHOUT_GAN] = _lists(without_gan(train, vectors))
    add(WITHOUT_GAN, "cosine to the profile", long_lists[WITHOUT_GAN])
    for model in (TopPop(), UserKNN(), ItemKNN(), PureSVD(), EASE()):
        name = type(model).__name__
        long_lists[name] = _lists(model.fit(binary(train)))
        add(name, "defaults", long_lists[name])

    fit, validation = random_split(train, settings.validation_fraction, seed)
    vectors_of_fit = demo_vectors(ratings, fit, settings)
    to_choose_with = {
        LINEAR: _lists(EASE().fit(binary(fit))),
        GENERATIVE: _lists(_trained(fit, vectors_of_fit, seed, settings, "validation", progress)),
        WITHOUT_GAN: _lists(without_gan(fit, vectors_of_fit)),
    }
    recipes = choose_recipes(to_choose_with, (GENERATIVE, WITHOUT_GAN), validation, vectors_of_fit)
    for name, recipe in recipes.items():
        add(name, "chosen by validation", recipe.lists(long_lists, vectors), recipe=recipe._asdict())
    return result


def _trained(
    train: csr_matrix,
    vectors: npt.NDArray[np.float32],
    seed: int,
    settings: DemoSettings,
    name: str,
    progress: bool,
    **gan: Any,
) -> GenerativeRecommender:
    """Train a generator, or take what an earlier run has of it."""
    model = GenerativeRecommender(ContentGAN(epochs=settings.epochs, seed=seed, **gan), seed=seed)
    return model.fit(
        train,
        item_vectors=vectors,
        checkpoint_dir=settings.output / CHECKPOINTS / f"seed-{seed}" / name.replace(" ", "-"),
        resume=settings.resume,
        progress=progress,
    )


def _lists(model: Recommender) -> TopK:
    return model.recommend(np.arange(model.user_items_.shape[0]), CANDIDATES)


def _quality(model: GenerativeRecommender) -> dict[str, float]:
    """Measures of the generated vectors at the epoch that was kept."""
    history: dict[str, list[float]] = model.gan_.history_  # type: ignore[attr-defined]
    kept = int(np.argmin(history["energy_score"]))
    return {name: values[kept] for name, values in history.items()}
