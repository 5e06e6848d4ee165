"""Lists for all users from factors, seen items left out: `cosine_topk` beside implicit's `recommend`, time and memory.

    python -m benchmarks.recommend                     # 100,000 users × 100,000 items × 64
    python -m benchmarks.recommend --users 2000 --items 3000 --rounds 1

Both get the same factors and the same CSR of seen items, and all users in one call. implicit searches batches of users
in threads of its own; BLAS below them has one thread, as it asks for, or all, whichever is faster for 2,000 users.
Calls take turns. CPU seconds are those of all threads, and tell more than wall-clock time where others use the machine.
Memory is the highest resident set during a call less that before it, the result included. The first 200 lists are
compared with float64 products.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

import aigc_fast
from benchmarks import machine, timing

N = 10
SAMPLE = 200
Float32 = npt.NDArray[np.float32]
Call = Callable[[], npt.NDArray[Any]]


def gaussian(users: int, items: int, dims: int, rng: np.random.Generator) -> tuple[Float32, Float32]:
    """Factors without any structure."""
    return rng.standard_normal((users, dims), np.float32), rng.standard_normal((items, dims), np.float32)


def decaying(users: int, items: int, dims: int, rng: np.random.Generator) -> tuple[Float32, Float32]:
    """Factors as a factorization gives them: later ones smaller, popular items longer."""
    scale = (1 / np.sqrt(1 + np.arange(dims))).astype(np.float32)
    left, right = gaussian(users, items, dims, rng)
    return left * scale, right * scale * np.exp(rng.normal(0, 0.7, (items, 1))).astype(np.float32)


def seen_items(users: int, items: int, each: int, rng: np.random.Generator) -> csr_matrix:
    """About ``each`` items of every user."""
    ids = np.sort(rng.integers(items, size=(users, each)), axis=1)
    matrix = csr_matrix((np.ones(ids.size, np.float32), ids.ravel(), np.arange(users + 1) * each), (users, items))
    matrix.sum_duplicates()
    return matrix


def calls(users: Float32, items: Float32, seen: csr_matrix, threads: int) -> dict[str, Call]:
    """Make a call for each library that returns the ids."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    model = AlternatingLeastSquares(factors=users.shape[1], num_threads=threads)
    model.user_factors, model.item_factors = users, items

    def implicit(blas_threads: int, count: int) -> npt.NDArray[Any]:
        with threadpool_limits(blas_threads, user_api="blas"):
            return np.asarray(model.recommend(np.arange(count), seen[:count], N=N)[0])

    def ours() -> npt.NDArray[Any]:
        return aigc_fast.cosine_topk(users, items, N, metric="inner_product", exclude=seen, num_threads=threads).ids

    few = min(len(users), 2000)
    tries = timing.interleaved(
        {str(blas): lambda blas=blas: implicit(blas, few) for blas in {1, threads}}, rounds=2, budget=30
    )
    blas = int(min(tries, key=lambda name: min(tries[name])))
    return {"aigc_fast": ours, f"implicit, BLAS on {blas}": lambda: implicit(blas, len(users))}


def memory(name: str) -> float:
    """Resident set of this process in MiB, now ("VmRSS") or at most since `forget_peak` ("VmHWM")."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def wrong_lists(ids: npt.NDArray[Any], users: Float32, items: Float32, seen: csr_matrix) -> int:
    """How many of the first lists have other scores than the best ones: ties may have any ids."""
    scores = users[:SAMPLE].astype(np.float64) @ items.astype(np.float64).T
    scores[seen[:SAMPLE].nonzero()] = -np.inf
    best = -np.sort(-scores, axis=1)[:, :N]
    found = np.take_along_axis(scores, ids[:SAMPLE].astype(np.int64), axis=1)
    return int((np.abs(found - best).max(axis=1) > 1e-5 * np.abs(best).max(axis=1)).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dims", type=int, default=64)
    parser.add_argument("--seen", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=aigc_fast.get_num_threads())
    parser.add_argument("--factors", nargs="*", default=["gaussian", "decaying"], choices=["gaussian", "decaying"])
    options = parser.parse_args()
    machine.refuse_slowed_peers()
    about = machine.describe("recommend", options.threads)
    about["versions"] |= machine.versions(["implicit"])
    print(json.dumps(about, indent=1), flush=True)
    for kind in (kind for kind in (gaussian, decaying) if kind.__name__ in options.factors):
        rng = np.random.default_rng(0)
        users, items = kind(options.users, options.items, options.dims, rng)
        seen = seen_items(options.users, options.items, options.seen, rng)
        print(f"\n{kind.__name__} factors, {options.users:,} × {options.items:,} × {options.dims}, top {N}\n")
        print("| | wall s | CPU s | MiB beyond the inputs | lists of the sample that differ |\n|---|---|---|---|---|")
        asked = calls(users, items, seen, options.threads)
        wall: dict[str, list[float]] = {name: [] for name in asked}
        cpu: dict[str, list[float]] = {name: [] for name in asked}
        peak, wrong = {}, {}
        for _ in range(options.rounds):
            for name, call in asked.items():
                forget_peak()
                before, start, used = memory("VmRSS"), time.perf_counter(), time.process_time()
                ids = call()
                wall[name].append(time.perf_counter() - start)
                cpu[name].append(time.process_time() - used)
                peak.setdefault(name, memory("VmHWM") - before)  # of the first call: the others reuse its memory
                wrong[name] = wrong_lists(ids, users, items, seen)
        for name in asked:
            print(
                f"| {name} | {statistics.median(wall[name]):.2f} | {statistics.median(cpu[name]):.2f} "
                f"| {peak[name]:.0f} | {wrong[name]} of {SAMPLE} |"
            )
        ratios = [
            min(statistics.median(taken[name]) for name in asked if name != "aigc_fast")
            / statistics.median(taken["aigc_fast"])
            for taken in (wall, cpu)
        ]
        print(f"\naigc_fast: {ratios[0]:.1f}× by wall-clock time, {ratios[1]:.1f}× by CPU time", flush=True)


if __name__ == "__main__":
    main()
