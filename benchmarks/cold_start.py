"""Rank items that training never saw, by their content alone: generated vectors against simpler ways.

    python -m benchmarks.cold_start                     # MovieLens-100K, five seeds
    python -m benchmarks.cold_start --check             # made-up data, one seed; the figures mean nothing

For each seed the item ids are permuted (in MovieLens-100K they go with popularity, which ties would reveal), a fifth
of the items is held out of everything but their content, and the held-out items alone are ranked for all users who
have any. All ways see the same content; those that map it to vectors of interactions learn that from the other items.
NDCG@20; ± is the standard deviation over the seeds; the paired test is over users, each the mean of their seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix

from aigc_fast import TopK, cosine_topk, normalize
from aigc_fast.data import load_ml100k
from aigc_fast.gan import ContentGAN
from aigc_fast.recommender import (
    accuracy_by_user,
    cold_item_split,
    collaborative_vectors,
    content_vectors,
    paired_test,
    user_profiles,
)
from aigc_fast.recommender.cold_items import ColdItemGenerator

N = 20
DIM = 64
RIDGE = 10.0  # the best of 1 and 10 on another split
SETTINGS = {"noise_dim": 16, "epochs": 60, "batch_size": 64, "learning_rate": 1e-3, "patience": 20}
ARMS = {
    "GAN": {},
    "no discriminator": {"adversarial": 0.0, "reconstruction": 1.0},
    "no noise": {"noise_dim": 0},
    "neither": {"adversarial": 0.0, "reconstruction": 1.0, "noise_dim": 0},
}
CONTENT, GAN = "content cosine", "GAN"

Float32 = npt.NDArray[np.float32]


def one_seed(
    ratings: csr_matrix, content: Float32, seed: int, epochs: int | None = None
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the NDCG of every user under each way, NaN for users without held-out items."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(ratings.shape[1])
    items, described = ratings[:, order].tocsr(), content[order]
    warm, cold = cold_item_split(items, 0.2, seed)
    held_out = np.unique(cold.indices)
    warm.data[:] = 1
    vectors = collaborative_vectors(warm, min(DIM, min(warm.shape) - 1))
    known = np.flatnonzero(vectors.any(axis=1))
    profiles = user_profiles(warm, vectors)

    def ndcg(users: Float32, rows: Float32) -> npt.NDArray[np.float64]:
        lists = cosine_topk(users, rows.astype(np.float32), N, allow=held_out)
        return accuracy_by_user(lists, cold, N)["NDCG"]

    drawn = np.stack([rng.permutation(held_out)[:N] for _ in range(len(profiles))]).astype(np.int64)
    at_random = TopK(np.zeros(drawn.shape, np.float32), drawn, np.full(len(drawn), drawn.shape[1]))
    found = {
        "random": accuracy_by_user(at_random, cold, N)["NDCG"],
        CONTENT: ndcg(user_profiles(warm, described), described),
        "ridge regression": ndcg(profiles, ridge(described[known], vectors[known])(described)),
    }
    for name, changes in ARMS.items():
        settings = SETTINGS | changes | ({"epochs": epochs} if epochs else {})
        generator = ColdItemGenerator(ContentGAN(seed=seed, **settings), seed=seed)
        found[name] = ndcg(profiles, generator.fit(described[known], vectors[known]).vectors(described))
    return found


def ridge(content: Float32, vectors: Float32) -> Callable[[Float32], Float32]:
    """Return the linear map from content to vectors."""
    gram = content.T.astype(np.float64) @ content + RIDGE * np.eye(content.shape[1])
    weights = np.linalg.solve(gram, content.T.astype(np.float64) @ vectors)
    return lambda rows: normalize(rows @ weights).astype(np.float32)


def made_up() -> tuple[csr_matrix, Float32]:
    """Return ratings that follow from content."""
    rng = np.random.default_rng(0)
    content = normalize(rng.standard_normal((120, 6))).astype(np.float32)
    scores = rng.standard_normal((80, 6)) @ content.T
    return csr_matrix((scores > 0.5).astype(np.float32)), content


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = 1 if options.check else options.seeds
    if options.check:
        ratings, content = made_up()
    else:
        data = load_ml100k()
        ratings, content = data.user_items, content_vectors(data.items)
    runs = [one_seed(ratings, content, seed, epochs=2 if options.check else None) for seed in range(seeds)]
    by_user = {name: np.stack([run[name] for run in runs]) for name in runs[0]}
    mean_of = {name: np.nanmean(values, axis=1) for name, values in by_user.items()}
    tested = ~np.isnan(by_user[GAN]).all(axis=0)
    user_means = {name: np.nanmean(values[:, tested], axis=0) for name, values in by_user.items()}
    print(f"| | NDCG@{N} | against {CONTENT} | difference to {GAN} | p |\n| --- | --- | --- | --- | --- |")
    for name, values in mean_of.items():
        spread = f" ± {values.std(ddof=1):.4f}" if seeds > 1 else ""
        ratio = values.mean() / mean_of[CONTENT].mean()
        test = paired_test(user_means[name], user_means[GAN])
        difference = f"{test.mean:+.4f} ({test.low:+.4f} to {test.high:+.4f}) | {test.p_value:.4f}"
        compared = " | " if name == GAN else difference.replace("-", "−")
        print(f"| {name} | {values.mean():.4f}{spread} | {ratio:.2f}× | {compared} |")


if __name__ == "__main__":
    main()
