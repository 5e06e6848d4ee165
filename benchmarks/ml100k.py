"""Recommenders on MovieLens-100K by the protocol of CFGAN: levels with intervals, paired tests, times.

    python -m benchmarks.ml100k                    # prints the tables of docs/recommendation.md
    python -m benchmarks.ml100k --plot FILE.png

Random 80/20 splits of our own, one a seed; every rating is positive; all items but those in train are ranked; means
over the users with test items. A fifth of train chooses the parameters (NDCG@20; RMSE for ratings), all of train is
fitted again, test reports. Intervals and tests are over users, each the mean of its seeds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from functools import partial
from itertools import combinations, product
from typing import Any

import numpy as np

from aigc_fast.data import load_ml100k
from aigc_fast.recommender import (
    EASE,
    ItemKNN,
    PureSVD,
    TopPop,
    UserKNN,
    random_split,
    rating_errors,
    run_experiment,
)
from benchmarks import machine

SEEDS = (0, 1, 2, 3, 4)
METRICS = [f"{metric}@{n}" for n in (5, 20) for metric in ("P", "R", "NDCG", "MRR")]
SECONDS = ("fit_seconds", "recommend_seconds")
RANKING = {
    "EASE": (EASE, {"regularization": [100, 200, 300, 400, 600]}),
    "PureSVD": (PureSVD, {"factors": [10, 15, 20, 30, 50]}),
    "UserKNN": (UserKNN, {"k": [50, 100, 200], "shrink": [0, 10]}),
    "ItemKNN": (ItemKNN, {"k": [50, 200, 400], "shrink": [0, 20, 50]}),
    "TopPop": TopPop,
}
RATINGS = {
    "UserKNN": (partial(UserKNN, metric="pearson"), {"k": [100, 200, 400, 800], "shrink": [0, 20]}),
    "ItemKNN": (partial(ItemKNN, metric="pearson"), {"k": [100, 200, 400, 800], "shrink": [0, 20]}),
}


def table(header: list[str], rows: Iterable[list[str]]) -> None:
    """Print a Markdown table."""
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(row) + " |")
    print()


def number(value: float) -> str:
    return f"{value:.4f}".lstrip("0")


def chosen(parameters: list[dict[str, Any]]) -> str:
    """Values of each parameter, those of the seeds in order."""
    values = {name: [of[name] for of in parameters] for name in parameters[0]}
    return "; ".join(f"{name} {', '.join(map(str, found))}" for name, found in values.items()) or "–"


def rate(ratings: Any, seed: int, make: Any, grid: dict[str, list[Any]]) -> tuple[dict[str, Any], dict[str, float]]:
    """Choose by RMSE on a fifth of train; errors on test."""
    train, test = random_split(ratings, 0.2, seed)

    def errors(parameters: dict[str, Any], fit: Any, held_out: Any) -> dict[str, float]:
        pairs = held_out.tocoo()
        return rating_errors(make(**parameters).fit(fit).predict(pairs.row, pairs.col), pairs.data)

    candidates = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    parts = random_split(train, 0.2, seed)
    best = min(candidates, key=lambda parameters: errors(parameters, *parts)["RMSE"])
    return best, errors(best, train, test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", metavar="FILE", help="draw NDCG@20 with its intervals")
    options = parser.parse_args()
    machine.refuse_slowed_peers()
    ratings = load_ml100k().user_items
    positive = ratings.copy()
    positive.data[:] = 1
    start, cpu = time.perf_counter(), time.process_time()
    found = run_experiment(RANKING, positive, seeds=SEEDS)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    fits = len(found.candidates) + len(found.rows)
    print(f"{len(RANKING)} models, {fits} fits: {seconds:.0f} s ({cpu:.0f} s of CPU time); seeds {SEEDS}\n")
    summary = found.summary()
    table(
        ["", *METRICS, "fit s", "lists s"],
        (
            [name, *(number(row[metric]) for metric in METRICS), *(f"{row[of]:.2f}" for of in SECONDS)]
            for name, row in summary.iterrows()
        ),
    )
    rows = []
    for name in found.models:
        interval = found.interval(name, "NDCG@20")
        parameters = [row["parameters"] for row in found.rows if row["model"] == name]
        rows.append(
            [name, number(interval.mean), f"{number(interval.low)} to {number(interval.high)}", chosen(parameters)]
        )
    table(["", "NDCG@20", "95 % interval", "chosen by validation, by seed"], rows)
    pairs = list(combinations(found.models, 2))
    rows = []
    for first, second in pairs:
        test = found.compare(first, second, "NDCG@20")
        p_value = min(1.0, test.p_value * len(pairs))  # Bonferroni
        rows.append(
            [f"{first} − {second}", f"{test.mean:+.4f}", f"{test.low:+.4f} to {test.high:+.4f}", f"{p_value:.3f}"]
        )
    table(["NDCG@20", "difference", "95 % interval", f"p × {len(pairs)}"], rows)
    rows = []
    for name, (make, grid) in RATINGS.items():
        results = [rate(ratings, seed, make, grid) for seed in SEEDS]
        errors = {error: np.array([of[error] for _, of in results]) for error in ("RMSE", "MAE")}
        means = [f"{values.mean():.4f} ± {values.std(ddof=1):.4f}" for values in errors.values()]
        rows.append([name, *means, chosen([parameters for parameters, _ in results])])
    table(["predicted ratings", "RMSE ± SD of seeds", "MAE", "chosen by validation, by seed"], rows)
    if options.plot:
        found.plot("NDCG@20").figure.savefig(options.plot, dpi=120)


if __name__ == "__main__":
    main()
