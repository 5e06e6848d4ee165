"""From ratings to figures: split, choice on validation data, training, comparison, feedback."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast.data import Ratings
from aigc_fast.demo.comparison import (
    ProfileGenerator,
    best,
    differences,
    measure,
    measure_baselines,
    validation_candidates,
    without_gan,
)
from aigc_fast.demo.parts import counts, demo_vectors, split
from aigc_fast.demo.results import (
    GENERATIVE,
    LISTS_NAME,
    METRICS_NAME,
    WITHOUT_GAN,
    Candidate,
    DemoResult,
    lists_as_csv,
    write_metrics,
    write_text,
)
from aigc_fast.demo.settings import DemoSettings
from aigc_fast.demo.studies import cold_start, feedback_study, story_user, vector_map
from aigc_fast.environment import environment, peak_memory_mib
from aigc_fast.gan import ContentGAN
from aigc_fast.recommender import content_vectors
from aigc_fast.recommender.generative import GenerativeRecommender


def run_demo(
    ratings: Ratings,
    settings: DemoSettings,
    *,
    title: str,
    licence: str | None = None,
    say: Callable[[str], None] = lambda text: None,
    progress: bool = False,
) -> DemoResult:
    """Run everything; write the lists and the metrics into ``settings.output``.

    Parameters
    ----------
    ratings
        The data.
    settings
        How.
    title, licence
        Name of the data, and what its licence asks for, for the report.
    say
        Called with a line about each step.
    progress
        Show training bars on standard error.

    Raises
    ------
    ValueError
        Too little data, or ``resume`` with checkpoints of another run.
    """
    clock = _Clock()
    parts = split(ratings, settings)

    say(f"Choosing parameters: training on {parts.fit.nnz:,} ratings, validating on {parts.validation.nnz:,}")
    with clock("selection training"):
        vectors = demo_vectors(ratings, parts.fit, settings)
        searched = _trained(_gan(settings), parts.fit, vectors, settings, "selection", progress)
    with clock("selection"):
        candidates = validation_candidates(searched, parts, settings)
        chosen = best(candidates)
        searched = _ranked(searched, chosen)
        ablation = without_gan(parts.fit, vectors)

    say(f"Training on {parts.train.nnz:,} ratings")
    with clock("training"):
        vectors = demo_vectors(ratings, parts.train, settings)
        gan = _gan(settings)
        final = _ranked(_trained(gan, parts.train, vectors, settings, "final", progress), chosen)

    say(f"Recommending for {ratings.n_users:,} users")
    with clock("comparison"):
        described = vectors if ratings.items is None else content_vectors(ratings.items)
        measured = measure_baselines(parts, described)
        start = time.perf_counter()
        final_ablation = without_gan(parts.train, vectors)
        took = time.perf_counter() - start
        for name, model, seconds in (
            (WITHOUT_GAN, final_ablation, took),
            (GENERATIVE, final, clock.seconds["training"]),
        ):
            about = describe(model)
            measured[name] = measure(name, about, model, seconds, parts, described)
        lists = {name: found for name, (_, found) in measured.items()}
        users = np.arange(ratings.n_users)
        write_text(settings.output / LISTS_NAME, lists_as_csv(ratings, lists[GENERATIVE], users))

    say(f"Running the feedback loop with {len(parts.newcomers):,} users")
    with clock("feedback"):
        curves, story = feedback_study(searched, ratings, parts, settings)
    with clock("cold start"):
        new_items = cold_start(searched, ablation, parts)
    result = DemoResult(
        title=title,
        licence=licence,
        counts=counts(ratings, parts),
        parameters=_parameters(settings, final, gan),
        environment=environment(),
        models=[row for row, _ in measured.values()],
        differences=differences(lists, parts.test, settings.seed),
        candidates=candidates,
        chosen=chosen,
        history={name: list(values) for name, values in gan.history_.items()},
        feedback=curves,
        story=story,
        cold_start=new_items,
        vector_map=vector_map(final, ratings, story_user(parts)),
        seconds=clock.finished(),
        peak_memory_mib=peak_memory_mib(),
    )
    write_metrics(settings.output / METRICS_NAME, result)
    return result


def describe(model: GenerativeRecommender) -> str:
    """Say how a model ranks, in a few words."""
    if isinstance(model.gan, ProfileGenerator):
        return "cosine to the profile"
    fused = {"mean": "mean cosine", "max": "best cosine"}[model.fusion]
    return f"{fused} to {model.n_vectors} generated vectors"


def checkpoint_folder(output: Path) -> Path:
    """Folder that both trainings keep their checkpoints below."""
    return output / "checkpoints"


class _Clock:
    """Seconds that the steps of a run took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - start

    def finished(self) -> dict[str, float]:
        """Return the seconds of each step and of everything, rounded."""
        total = time.perf_counter() - self._start
        return {step: round(seconds, 2) for step, seconds in (self.seconds | {"total": total}).items()}


def _gan(settings: DemoSettings) -> ContentGAN:
    return ContentGAN(epochs=settings.epochs, seed=settings.seed)


def _trained(
    gan: ContentGAN,
    interactions: csr_matrix,
    vectors: npt.NDArray[np.float32],
    settings: DemoSettings,
    name: str,
    progress: bool,
) -> GenerativeRecommender:
    return GenerativeRecommender(gan, seed=settings.seed).fit(
        interactions,
        item_vectors=vectors,
        checkpoint_dir=checkpoint_folder(settings.output) / name,
        resume=settings.resume,
        progress=progress,
    )


def _ranked(model: GenerativeRecommender, chosen: Candidate) -> GenerativeRecommender:
    return model.with_ranking(n_vectors=chosen.n_vectors, fusion=chosen.fusion)


def _parameters(settings: DemoSettings, model: GenerativeRecommender, gan: ContentGAN) -> dict[str, Any]:
    """All that the run was told and chose, for the report."""
    return {
        "seed": settings.seed,
        "ratings known of a newcomer": settings.newcomer_ratings,
        "item vectors": (
            f"{model.item_vectors_.shape[1]} dimensions: {settings.dim} from interactions (truncated SVD), "
            f"the rest from content with weight {settings.content_weight:g}"
        ),
        "vectors per user": model.n_vectors,
        "fusion": model.fusion,
        **{f"GAN {name.replace('_', ' ')}": value for name, value in gan.get_params().items() if name != "seed"},
        "epochs trained": len(gan.history_["generator_loss"]),
    }
