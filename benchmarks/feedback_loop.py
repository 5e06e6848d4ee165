"""What a closed loop does to quality, diversity and concentration, arm by arm, in simulated markets.

    python -m benchmarks.feedback_loop --plot docs/figures/feedback_loop.png

Every arm meets the same markets (`aigc_fast.recommender.simulation`), one a seed; the generative arms train a
`ContentGAN` on vectors made from the histories alone, every second round. Then the feedback loop of the product runs in
each market until it stops by itself.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from aigc_fast.gan import ContentGAN
from aigc_fast.recommender import FeedbackLoop, GenerativeRecommender, ItemKNN, MarketEnv, TopPop, collaborative_vectors
from aigc_fast.recommender.simulation import MEASURES, Arm, RandomItems, simulate

DIM = 8  # of the vectors made from histories; there are few interactions at first
EXPLORATION = 0.3
ROUNDS, RETRAIN_EVERY, LIST_LENGTH = 16, 2, 10


class FromHistories(GenerativeRecommender):
    """The generative recommender on vectors of `DIM` dimensions, made from the interactions at each training."""

    def _fit(self, user_items: csr_matrix, **options: Any) -> None:
        super()._fit(user_items, **{**options, "item_vectors": collaborative_vectors(user_items, DIM)})


def generative(seed: int) -> GenerativeRecommender:
    gan = ContentGAN(hidden=(64,), noise_dim=8, epochs=6, batch_size=128, ema_decay=0.9, seed=seed)
    return FromHistories(gan, n_vectors=8, validation_fraction=0, seed=seed)


ARMS = {
    "random": Arm(RandomItems),
    "popular": Arm(lambda seed: TopPop()),
    "ItemKNN": Arm(lambda seed: ItemKNN(k=20, shrink=5)),
    "generative": Arm(generative),
    f"generative, {EXPLORATION:.0%} exploration": Arm(generative, exploration=EXPLORATION),
    "generative, no feedback": Arm(generative, learns=False),
}


def stops(seed: int, patience: int) -> list[str]:
    """Run the feedback loop until it stops; return a row of the table."""
    env = MarketEnv()
    history, _ = env.reset(seed=seed)
    loop = FeedbackLoop(
        generative(seed).fit(history), n=LIST_LENGTH, max_rounds=40, monitor="hit_rate", patience=patience
    )
    loop.run(np.arange(env.market.n_users), lambda users, lists: env.step(lists)[4]["adopted"])
    rates = [done.metrics["hit_rate"] for done in loop.rounds_]
    best = int(np.argmax(rates))
    return [
        str(seed),
        str(len(rates)),
        loop.stopped_,
        f"{rates[0]:.3f}",
        f"{rates[best]:.3f} ({best + 1})",
        f"{rates[-1]:.3f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--patience", type=int, default=3)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()
    seeds, start = range(options.seeds), time.process_time()
    found = simulate(ARMS, seeds=seeds, rounds=ROUNDS, n=LIST_LENGTH, retrain_every=RETRAIN_EVERY)
    print(f"{len(ARMS)} arms, {ROUNDS} rounds, seeds {list(seeds)}: {time.process_time() - start:.0f} s of CPU time\n")
    print("First round → last round, mean of the seeds ± their standard deviation in the last.\n")
    print("| | " + " | ".join(MEASURES) + " |\n" + "|---" * (len(MEASURES) + 1) + "|")
    for arm in ARMS:
        cells = []
        for measure in MEASURES:
            values = found.values(arm, measure)
            cells.append(f"{values[:, 0].mean():.3f} → {values[:, -1].mean():.3f} ± {values[:, -1].std(ddof=1):.3f}")
        print(f"| {arm} | " + " | ".join(cells) + " |")
    print(f"\nThe feedback loop by itself, patience {options.patience}; hit rate: lists with an adoption\n")
    print("| seed | rounds | stopped by | first hit rate | best (round) | last |\n|---|---|---|---|---|---|")
    for seed in seeds:
        print("| " + " | ".join(stops(seed, options.patience)) + " |", flush=True)
    if options.plot:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(13, 4.6), layout="constrained")
        for axes, measure in zip(figure.subplots(1, 3), ("quality", "diversity", "concentration"), strict=True):
            found.plot(measure, axes=axes).get_legend().remove()
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(ARMS))
        figure.savefig(options.plot, dpi=100)


if __name__ == "__main__":
    main()
