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
from aigc_fast.demo.comparison import CUTOFFS, DECISIVE, DECISIVE_METRIC, LIST_LENGTH, ProfileGenerator
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
    blend,
    content_vectors,
    evaluate,
    random_split,
)
from aigc_fast.recommender.generative import GenerativeRecommender

ABLATION_NAME = "ablation.json"
SHOWN = ("P@5", DECISIVE_METRIC, f"Coverage@{LIST_LENGTH}", f"Diversity@{LIST_LENGTH}", f"Novelty@{LIST_LENGTH}")
CHECKPOINTS = "ablation-checkpoints"  # folder
BLEND_CANDIDATES = 100
BLEND_WEIGHTS = (0.75, 0.25)  # of EASE and of the other


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
        have measures of what it generates under "quality".
    by_user
        Arm → (n_seeds, n_users) values of the decisive metric, None where a user has no test items.
    """

    about: dict[str, Any]
    seeds: list[int] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    by_user: dict[str, list[list[float | None]]] = field(default_factory=dict)

    def experiment(self) -> Experiment:
        """Return the figures with their intervals and tests."""
        by_user = {(name, DECISIVE_METRIC): np.array(values, np.float64) for name, values in self.by_user.items()}
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

    def add(self, other: Ablation) -> None:
        """Take the figures of more seeds in."""
        self.seeds += other.seeds
        self.rows += other.rows
        for name, values in other.by_user.items():
            self.by_user.setdefault(name, []).extend(values)


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
    Nothing is chosen on test: all settings are the defaults.

    Parameters
    ----------
    ratings
        The data.
    settings
        Of vectors and training; its ``seed`` is replaced. Each seed that is done is kept in ``output``, and with
        ``resume`` not done again.
    seeds
        One split, training and noise each.
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
    """Read what `ablate` wrote."""
    return Ablation(**json.loads(path.read_text(encoding="utf-8")))


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
        values = accuracy_by_user(shown, test, LIST_LENGTH)[DECISIVE]
        result.by_user[name] = [[None if np.isnan(value) else float(value) for value in values]]

    long_lists: dict[str, TopK] = {}
    trained: dict[str, GenerativeRecommender] = {}
    for arm in ARMS:
        key = json.dumps(arm.gan)
        if key not in trained:
            trained[key] = _trained(train, vectors, seed, settings, arm.name, progress, **arm.gan)
        lists = _lists(trained[key].with_ranking(**arm.ranking))
        add(arm.name, arm.about, lists, quality=_quality(trained[key]))
        long_lists.setdefault(GENERATIVE, lists)
    profile = GenerativeRecommender(ProfileGenerator(), n_vectors=1).fit(train, item_vectors=vectors)
    long_lists[WITHOUT_GAN] = _lists(profile)
    add(WITHOUT_GAN, "cosine to the profile", long_lists[WITHOUT_GAN])
    for model in (TopPop(), UserKNN(), ItemKNN(), PureSVD(), EASE()):
        name = type(model).__name__
        long_lists[name] = _lists(model.fit(binary(train)))
        add(name, "defaults", long_lists[name])
    fit, _ = random_split(train, settings.validation_fraction, seed)
    _trained(fit, demo_vectors(ratings, fit, settings), seed, settings, "validation", progress)
    for other in (GENERATIVE, WITHOUT_GAN):
        blended = blend([long_lists["EASE"], long_lists[other]], BLEND_WEIGHTS, LIST_LENGTH)
        add(f"EASE + {other}", "blend, {:g} : {:g}".format(*BLEND_WEIGHTS), blended)
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
    return model.recommend(np.arange(model.user_items_.shape[0]), BLEND_CANDIDATES)


def _quality(model: GenerativeRecommender) -> dict[str, float]:
    """Measures of the generated vectors at the epoch that was kept."""
    history: dict[str, list[float]] = model.gan_.history_  # type: ignore[attr-defined]
    kept = int(np.argmin(history["energy_score"]))
    return {name: values[kept] for name, values in history.items()}
