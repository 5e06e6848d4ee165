"""Compare exact sparse cosine neighbours with sparse_dot_topn, implicit and scikit-learn, in one run.

    python -m benchmarks.sparse                  # MovieLens-100K where it is found, and 1,000,000 synthetic ratings
    python -m benchmarks.sparse --check          # small, for the answers; the times mean nothing

The synthetic ratings follow a power law of items and a log-normal law of users. Each rival gets what it likes best
beforehand (unit rows in float32, the transpose); ours gets the ratings and does everything within the time. Scores are
compared with SciPy's float64 product; calls are interleaved; figures are medians of wall-clock milliseconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix

import aigc_fast
from aigc_fast.data import find_ml100k, load_ml100k
from benchmarks import machine, timing


def power_law(users: int, items: int, ratings: int, seed: int = 0) -> csr_matrix:
    """Distinct (user, item) pairs with ratings from 1 to 5."""
    rng = np.random.default_rng(seed)
    popularity = np.cumsum(1 / (np.arange(items) + items / 300))
    activity = np.cumsum(np.exp(rng.normal(0, 1.1, users)))
    keys = np.empty(0, np.int64)
    while len(keys) < ratings:
        draws = ratings // 2
        user = np.searchsorted(activity, rng.random(draws) * activity[-1])
        item = np.searchsorted(popularity, rng.random(draws) * popularity[-1])
        keys = np.unique(np.concatenate([keys, user * items + item]))
    keys = np.sort(rng.permutation(keys)[:ratings])
    values = rng.integers(1, 6, ratings).astype(np.float32)
    return csr_matrix((values, (keys // items, rng.permutation(items)[keys % items])), (users, items))


def rivals(rows: csr_matrix, k: int, threads: int) -> dict[str, Callable[[], csr_matrix]]:
    """Make calls that find the k nearest rows of each row, those themselves included."""
    import sparse_dot_topn
    from implicit.nearest_neighbours import all_pairs_knn
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    unit = normalize(rows).astype(np.float32)
    transposed = unit.T.tocsr()
    columns = normalize(rows).T.astype(np.float64).tocsr()  # implicit compares columns
    neighbours = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute", n_jobs=threads).fit(unit)

    def sklearn() -> csr_matrix:
        with threadpool_limits(threads):
            graph = neighbours.kneighbors_graph(unit, mode="distance")
        graph.data = 1 - graph.data
        return graph

    return {
        "aigc_fast": lambda: aigc_fast.sparse_cosine_topk(rows, k=k, num_threads=threads),
        "sparse_dot_topn": lambda: sparse_dot_topn.sp_matmul_topn(
            unit, transposed, top_n=k, sort=True, n_threads=threads
        ),
        "implicit": lambda: all_pairs_knn(columns, k, num_threads=threads, show_progress=False).tocsr(),
        "scikit-learn": sklearn,
    }


def difference(found: csr_matrix, rows: csr_matrix, k: int, sample: int = 100) -> float:
    """Largest difference of the sorted scores of the first rows from the right ones: ties may have any ids."""
    norms = np.sqrt(np.asarray(rows.astype(np.float64).power(2).sum(axis=1)).ravel())
    norms[norms == 0] = 1
    unit = csr_matrix(rows.astype(np.float64).multiply(1 / norms[:, None]))
    right = -np.sort(-(unit[:sample] @ unit.T).toarray(), axis=1)[:, :k]
    scores = -np.sort(-found[:sample].toarray(), axis=1)[:, :k]
    return float(np.abs(scores - right).max())


def main() -> None:
    """Print the machine and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=aigc_fast.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-k", type=int, default=50)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    sets = {"synthetic 20,000": power_law(500, 400, 20_000)}
    if not options.check:
        machine.refuse_slowed_peers()
        sets = {"MovieLens-100K": load_ml100k().user_items} if find_ml100k() is not None else {}
        sets["synthetic 1,000,000"] = power_law(6040, 3706, 1_000_000)
    about = machine.describe("sparse", options.threads)
    about["versions"] |= machine.versions(["scipy", "sparse-dot-topn", "implicit"])
    print(json.dumps(about, indent=1))
    for name, ratings in sets.items():
        for what, rows in (("users", ratings), ("items", ratings.T.tocsr())):
            calls = rivals(rows, options.k, options.threads)
            for rival, call in calls.items():
                if (error := difference(call(), rows, options.k)) > rows.shape[1] * 2.0**-24:  # float32 sums
                    raise SystemExit(f"{name}, {what}: the scores of {rival} are wrong by {error:.1e}")
            times = timing.interleaved(calls, options.rounds, budget=60.0)
            ms = {rival: statistics.median(t) * 1e3 for rival, t in times.items()}
            ratio = min(value for rival, value in ms.items() if rival != "aigc_fast") / ms["aigc_fast"]
            row = "  ".join(f"{rival} {value:.1f}" for rival, value in ms.items())
            print(
                f"{name}, {what} {rows.shape[0]} x {rows.shape[1]}: {row}  {ratio:.1f}x the fastest other", flush=True
            )


if __name__ == "__main__":
    main()
