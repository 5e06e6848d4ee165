"""The recommenders side by side on one split, and the choice of parameters before that."""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK
from aigc_fast.demo.parts import Parts, binary
from aigc_fast.demo.results import GENERATIVE, Candidate, Difference, ModelResult
from aigc_fast.demo.settings import DemoSettings
from aigc_fast.recommender import ItemKNN, Recommender, TopPop, UserKNN, accuracy_by_user, evaluate
from aigc_fast.recommender.evaluation import bootstrap_interval
from aigc_fast.recommender.generative import GenerativeRecommender

CUTOFFS = (5, 20)
LIST_LENGTH = max(CUTOFFS)
#: The measure that parameters are chosen by and recommenders are compared by user by user, at full length.
DECISIVE = "NDCG"
DECISIVE_METRIC = f"{DECISIVE}@{LIST_LENGTH}"


class ProfileGenerator:
    """Give the profile back as the one vector of content: the generative recommender with its generator off."""

    def fit(self, vectors: Any, conditions: Any, **unused: Any) -> ProfileGenerator:
        """Learn nothing."""
        return self

    def partial_fit(self, vectors: Any, conditions: Any, *, epochs: int = 1) -> ProfileGenerator:
        """Learn nothing."""
        return self

    def generate(self, conditions: Any, n_vectors: int = 8, *, seed: Any = 0) -> npt.NDArray[np.float32]:
        """Return the conditions as (m, 1, d)."""
        return np.asarray(conditions, np.float32)[:, None]


def validation_candidates(model: GenerativeRecommender, parts: Parts, settings: DemoSettings) -> list[Candidate]:
    """Evaluate every choice of ranking on the validation part; the generator is the same for all."""
    users = np.arange(model.n_users)
    found = []
    for fusion, n_vectors in product(settings.fusion, settings.n_vectors):
        if n_vectors == 1 and fusion != settings.fusion[0]:
            continue  # one vector needs no fusion
        lists = model.with_ranking(fusion=fusion, n_vectors=n_vectors).recommend(users, LIST_LENGTH)
        metrics = evaluate(lists, parts.validation, CUTOFFS, train=parts.fit)
        found.append(Candidate(fusion, n_vectors, metrics))
    return found


def best(candidates: list[Candidate]) -> Candidate:
    """Return the candidate with the best `DECISIVE_METRIC`, the first of equals."""
    return max(candidates, key=lambda candidate: candidate.metrics[DECISIVE_METRIC])


def without_gan(interactions: csr_matrix, item_vectors: npt.NDArray[np.float32]) -> GenerativeRecommender:
    """Return the ablation: the same vectors and the same search, with the profile in the place of generated vectors."""
    model = GenerativeRecommender(ProfileGenerator(), n_vectors=1)
    return model.fit(interactions, item_vectors=item_vectors)


def baselines() -> list[tuple[str, str, Recommender]]:
    """Name, description and untrained model of what the product is compared with."""
    user_knn, item_knn = UserKNN(), ItemKNN()
    return [
        ("TopPop", "most popular items", TopPop()),
        ("UserKNN", f"cosine, k = {user_knn.k}", user_knn),
        ("ItemKNN", f"cosine, k = {item_knn.k}, shrink = {item_knn.shrink:g}", item_knn),
    ]


def measure_baselines(parts: Parts, diversity_vectors: npt.NDArray[np.float32]) -> dict[str, tuple[ModelResult, TopK]]:
    """Fit the baselines on train and evaluate them on test."""
    measured = {}
    for name, about, model in baselines():
        start = time.perf_counter()
        model.fit(binary(parts.train))
        fitted = time.perf_counter() - start
        measured[name] = measure(name, about, model, fitted, parts, diversity_vectors)
    return measured


def measure(
    name: str,
    about: str,
    model: Recommender,
    fit_seconds: float,
    parts: Parts,
    diversity_vectors: npt.NDArray[np.float32],
) -> tuple[ModelResult, TopK]:
    """Make lists for all users, and see what they are worth on test."""
    start = time.perf_counter()
    lists = model.recommend(np.arange(parts.test.shape[0]), LIST_LENGTH)
    seconds = time.perf_counter() - start
    metrics = evaluate(lists, parts.test, CUTOFFS, train=parts.train, item_vectors=diversity_vectors)
    return ModelResult(name, about, fit_seconds, seconds, metrics), lists


def differences(lists: dict[str, TopK], test: csr_matrix, seed: int) -> list[Difference]:
    """Compare the product with every other model, user by user: mean difference and its 95 % bootstrap interval."""
    values = {name: accuracy_by_user(found, test, LIST_LENGTH)[DECISIVE] for name, found in lists.items()}
    ours = values.pop(GENERATIVE)
    return [
        Difference(name, DECISIVE_METRIC, *bootstrap_interval(ours - theirs, seed=seed))
        for name, theirs in values.items()
    ]
