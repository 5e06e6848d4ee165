"""Compare exact sparse cosine neighbours with sparse_dot_topn, implicit and scikit-learn, in one run.

    python -m benchmarks.sparse                  # MovieLens-100K where it is found, and 1,000,000 synthetic ratings
    python -m benchmarks.sparse --sets 20m       # 20,000,000 synthetic ratings; 2,000 of the users are queries
    python -m benchmarks.sparse --check          # small, for the answers; the times mean nothing

The synthetic ratings follow a power law of items and a log-normal law of users. Each rival gets what it likes best
beforehand (unit rows in float32, the transpose); ours gets the ratings and does everything within the time. implicit
only compares all rows with all, so it is left out where a part of them are queries. Scores are compared with SciPy's
float64 product; calls take turns; figures are medians of milliseconds, wall-clock and CPU time of all threads: the
latter tell more where others use the machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix

import aigc_fast
from aigc_fast.data import find_ml100k, load_ml100k
from benchmarks import machine


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


SETS: dict[str, Callable[[], csr_matrix]] = {
    "20k": lambda: power_law(500, 400, 20_000),
    "ml100k": lambda: load_ml100k().user_items,
    "1m": lambda: power_law(6040, 3706, 1_000_000),
    "20m": lambda: power_law(138_493, 26_744, 20_000_000),
}


def rivals(queries: csr_matrix | None, rows: csr_matrix, k: int, threads: int) -> dict[str, Callable[[], csr_matrix]]:
    """Make calls that find the k nearest rows of each query; None: of each row, those themselves included."""
    import sparse_dot_topn
    from implicit.nearest_neighbours import all_pairs_knn
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    unit = normalize(rows).astype(np.float32)
    unit_queries = unit if queries is None else normalize(queries).astype(np.float32)
    transposed = unit.T.tocsr()
    columns = normalize(rows).T.astype(np.float64).tocsr()  # implicit compares columns
    neighbours = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute", n_jobs=threads).fit(unit)

    def sklearn() -> csr_matrix:
        with threadpool_limits(threads):
            graph = neighbours.kneighbors_graph(unit_queries, mode="distance")
        graph.data = 1 - graph.data
        return graph

    ours = (rows, None) if queries is None else (queries, rows)
    calls = {
        "aigc_fast": lambda: aigc_fast.sparse_cosine_topk(*ours, k, num_threads=threads),
        "sparse_dot_topn": lambda: sparse_dot_topn.sp_matmul_topn(
            unit_queries, transposed, top_n=k, sort=True, n_threads=threads
        ),
        "implicit": lambda: all_pairs_knn(columns, k, num_threads=threads, show_progress=False).tocsr(),
        "scikit-learn": sklearn,
    }
    if queries is not None:
        del calls["implicit"]
    return calls


def normalize_exactly(rows: csr_matrix) -> csr_matrix:
    norms = np.sqrt(np.asarray(rows.astype(np.float64).power(2).sum(axis=1)).ravel())
    norms[norms == 0] = 1
    return csr_matrix(rows.astype(np.float64).multiply(1 / norms[:, None]))


def difference(found: csr_matrix, queries: csr_matrix, rows: csr_matrix, k: int, sample: int = 100) -> float:
    """Largest difference of the sorted scores of the first queries from the right ones: ties may have any ids."""
    left, right = (normalize_exactly(part) for part in (queries[:sample], rows))
    right = -np.sort(-(left @ right.T).toarray(), axis=1)[:, :k]
    scores = -np.sort(-found[:sample].toarray(), axis=1)[:, :k]
    return float(np.abs(scores - right).max())


def milliseconds(calls: dict[str, Callable[[], csr_matrix]], rounds: int) -> dict[str, np.ndarray]:
    """Medians of each call's wall-clock and CPU time."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: np.median(taken, axis=0) * 1e3 for name, taken in times.items()}


def main() -> None:
    """Print the machine and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=aigc_fast.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-k", type=int, default=50)
    parser.add_argument("--sets", nargs="*", default=["ml100k", "1m"], choices=["ml100k", "1m", "20m"])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if not options.check:
        machine.refuse_slowed_peers()
    about = machine.describe("sparse", options.threads)
    about["versions"] |= machine.versions(["scipy", "sparse-dot-topn", "implicit"])
    print(json.dumps(about, indent=1))
    for name in ["20k"] if options.check else options.sets:
        if name == "ml100k" and find_ml100k() is None:
            continue
        ratings = SETS[name]()
        for what, rows in (("users", ratings), ("items", ratings.T.tocsr())):
            few = name == "20m" and what == "users"
            queries = rows[np.random.default_rng(1).permutation(rows.shape[0])[:2000]] if few else None
            calls = rivals(queries, rows, options.k, options.threads)
            asked = rows if queries is None else queries
            for rival, call in calls.items():
                if (error := difference(call(), asked, rows, options.k)) > rows.shape[1] * 2.0**-24:  # float32 sums
                    raise SystemExit(f"{name}, {what}: the scores of {rival} are wrong by {error:.1e}")
            ms = milliseconds(calls, options.rounds)
            best = np.min([of for rival, of in ms.items() if rival != "aigc_fast"], axis=0) / ms["aigc_fast"]
            figures = "  ".join(f"{rival} {wall:.1f} ({cpu:.1f})" for rival, (wall, cpu) in ms.items())
            print(
                f"{name}, {asked.shape[0]} of {rows.shape[0]} {what}: {figures}  {best[0]:.1f}x ({best[1]:.1f}x)",
                flush=True,
            )


if __name__ == "__main__":
    main()
