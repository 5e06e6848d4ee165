"""Compare the scans of rows without an index, each made to do the whole search, and say which the planner takes.

    python -m benchmarks.scans

Milliseconds of CPU time of one thread, medians of calls that take turns; all must return the same bits.
"""

from __future__ import annotations

import itertools
import statistics
import time

import numpy as np

from aigc_fast import _core, cosine_topk, isa
from aigc_fast.similarity import TopK
from benchmarks import datasets

WAYS = ("f32", "dense", "bf16", "int8") if isa() == "avx512_bf16" else ("f32", "dense", "int8")
ITEMS, DIMS, BATCHES, KS = (10_000, 100_000), (64, 128, 768), (16, 256), (100, 1000)
ROUNDS = 15  # calls of each way at most


def planned(queries: np.ndarray, items: np.ndarray, k: int) -> str:
    """Return the way that the planner takes for one thread."""
    shape = (len(queries), k)
    out = (np.empty(shape, np.float32), np.empty(shape, np.int64), np.empty(len(queries), np.int64))
    report = _core.SearchReport()
    _core.topk(queries, _core.ItemSet(items), k, None, "cosine", None, None, None, None, 1, *out, report)
    return str(report.way)


def measure(queries: np.ndarray, items: np.ndarray, k: int, budget: float = 2.0) -> dict[str, float]:
    """Return each way's median CPU time in milliseconds, of 3 calls and as many more as ``budget`` seconds hold."""
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    results: list[TopK] = []
    started = time.process_time()
    while len(times["f32"]) < 3 or (len(times["f32"]) < ROUNDS and time.process_time() - started < budget):
        for way in WAYS:
            _core.override_plan(way)
            before = time.process_time()
            results.append(cosine_topk(queries, items, k, num_threads=1))
            times[way].append(1e3 * (time.process_time() - before))
        _core.override_plan()
        for other in results[1:]:
            if not all(map(np.array_equal, results[0], other)):
                raise AssertionError("two ways return different results")
        del results[1:]
    return {way: statistics.median(values) for way, values in times.items()}


def main() -> None:
    """Print the table."""
    print(f"{isa()}\n\n| items × dims | batch | k | {' | '.join(WAYS)} | planner |\n|{' --- |' * (4 + len(WAYS))}")
    for count, dim in itertools.product(ITEMS, DIMS):
        items, queries = (rows.raw for rows in datasets.gaussian(count, dim, max(BATCHES)))
        for batch, k in itertools.product(BATCHES, KS):
            times = measure(queries[:batch], items, k)
            figures = " | ".join(f"{times[way]:.3g}" for way in WAYS)
            print(
                f"| {count:,} × {dim} | {batch} | {k:,} | {figures} | {planned(queries[:batch], items, k)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
