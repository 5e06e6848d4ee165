"""Compare exact top-K search with NumPy, torch, faiss, usearch and scikit-learn, each at its best settings, in one run.

    python -m benchmarks.peers                      # the cells of docs/performance.md
    python -m benchmarks.peers --cells 200000x128x256x10

A cell is items x dims x queries x k, on Gaussian rows. Every library gets rows that are already normalized where it
needs them, and its index built (that time is not counted for it), the same threads, and answers that are checked
against float64. Calls are interleaved; figures are medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import aigc_fast
from benchmarks import machine

Search = Callable[[], "np.ndarray[Any, Any]"]  # returns ids, shape (queries, k)


class Cell(NamedTuple):
    """One problem size."""

    items: int
    dims: int
    queries: int
    k: int


DEFAULT_CELLS = [
    Cell(1_000_000, 128, 1, 10),
    Cell(200_000, 128, 16, 10),
    Cell(1_000_000, 128, 16, 10),
    Cell(200_000, 128, 256, 10),
    Cell(200_000, 128, 256, 100),
    Cell(100_000, 768, 1, 10),
    Cell(100_000, 768, 64, 100),
]


def aigc_fast_search(queries: Any, items: Any, k: int, threads: int) -> Search:
    """Ours: no index, rows as they come, norms computed in the same pass."""
    return lambda: aigc_fast.cosine_topk(queries, items, k, num_threads=threads).ids


def aigc_fast_index(queries: Any, items: Any, k: int, threads: int) -> Search:
    """Ours with a CosineIndex."""
    index = aigc_fast.CosineIndex(items, num_threads=threads)
    return lambda: index.topk(queries, k, num_threads=threads).ids


def numpy_search(queries: Any, items: Any, k: int, threads: int) -> Search:
    """Matrix product, partial sort, sort of the rest; in chunks of queries that keep scores small."""
    unit = aigc_fast.normalize(items)
    unit_queries = aigc_fast.normalize(queries)
    chunk = max(1, (64 << 20) // (items.shape[0] * 4))

    def search() -> Any:
        found = np.empty((queries.shape[0], k), np.int64)
        for start in range(0, queries.shape[0], chunk):
            scores = unit_queries[start : start + chunk] @ unit.T
            best = np.argpartition(scores, -k, axis=1)[:, -k:]
            order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
            found[start : start + chunk] = np.take_along_axis(best, order, 1)
        return found

    return search


def torch_search(queries: Any, items: Any, k: int, threads: int) -> Search:
    """Matrix product and topk, in chunks of queries."""
    import torch

    torch.set_num_threads(threads)
    unit = torch.from_numpy(aigc_fast.normalize(items))
    unit_queries = torch.from_numpy(aigc_fast.normalize(queries))
    chunk = max(1, (256 << 20) // (items.shape[0] * 4))
    return lambda: torch.cat(
        [torch.topk(part @ unit.T, k, dim=1).indices for part in unit_queries.split(chunk)]
    ).numpy()


def faiss_search(queries: Any, items: Any, k: int, threads: int) -> Search:
    """IndexFlatIP over unit rows."""
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(aigc_fast.normalize(items))
    unit_queries = aigc_fast.normalize(queries)
    return lambda: index.search(unit_queries, k)[1]


def usearch_search(queries: Any, items: Any, k: int, threads: int) -> Search:
    """Exact search over unit rows."""
    from usearch.index import MetricKind, search

    unit, unit_queries = aigc_fast.normalize(items), aigc_fast.normalize(queries)
    return lambda: search(unit, unit_queries, k, MetricKind.IP, exact=True, threads=threads).keys.reshape(-1, k)


def sklearn_search(queries: Any, items: Any, k: int, threads: int) -> Search:
    """Compare unit rows by Euclidean distance, scikit-learn's fused way (cosine has none); threads by threadpoolctl."""
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    neighbours = NearestNeighbors(n_neighbors=k, algorithm="brute", metric="sqeuclidean")
    neighbours.fit(aigc_fast.normalize(items))
    unit_queries = aigc_fast.normalize(queries)

    def search() -> Any:
        with threadpool_limits(threads):
            return neighbours.kneighbors(unit_queries, return_distance=False)

    return search


OURS = ("index", "aigc_fast")
RIVALS: dict[str, Callable[[Any, Any, int, int], Search]] = {
    "index": aigc_fast_index,
    "aigc_fast": aigc_fast_search,
    "NumPy": numpy_search,
    "torch": torch_search,
    "faiss": faiss_search,
    "usearch": usearch_search,
    "scikit-learn": sklearn_search,
}


def exact_ids(queries: Any, items: Any, k: int) -> Any:
    """Return the answer by float64 scores, for the first queries (enough to find a wrong library)."""
    rows = items.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    scores = queries.astype(np.float64) @ rows.T  # a query's own norm does not change its order
    best = np.argpartition(scores, -k, axis=1)[:, -k:]
    order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
    return np.take_along_axis(best, order, 1)


def run_cell(cell: Cell, threads: int, rounds: int) -> dict[str, Any]:
    """Time one cell."""
    rng = np.random.default_rng(0)
    items = rng.standard_normal((cell.items, cell.dims), dtype=np.float32)
    queries = rng.standard_normal((cell.queries, cell.dims), dtype=np.float32)
    expected = exact_ids(queries[:16], items, cell.k)
    searches = {name: make(queries, items, cell.k, threads) for name, make in RIVALS.items()}
    recall = {
        name: float(np.mean([len(set(a) & set(b)) / cell.k for a, b in zip(search()[:16], expected, strict=True)]))
        for name, search in searches.items()
    }
    for name in OURS:
        if not np.array_equal(searches[name]()[:16], expected):
            raise SystemExit(f"{cell}: the ids of {name} differ from float64 brute force")
    calls: dict[str, Any] = dict(searches)
    read = machine.reader(items, threads) if cell.queries == 1 else None
    if read is not None:  # beside the searches, since a shared machine's bandwidth changes by the minute
        calls["read"] = read
    times = machine.interleaved(calls, rounds)
    return {
        "cell": cell._asdict(),
        "milliseconds": {name: round(statistics.median(t) * 1e3, 3) for name, t in times.items()},
        "recall": recall,
    }


def fractions(cell: Cell, ms: dict[str, float], limits: dict[str, float]) -> str:
    """Say how much faster ours is than the fastest other, and what part of the machine's limits it reaches."""
    best = min(value for name, value in ms.items() if name not in (*OURS, "read"))
    parts = [f"{name} {best / ms[name]:.1f}x the fastest other" for name in OURS]
    if "read" in ms:
        row_bytes = 4 * cell.items * cell.dims
        bandwidth = max(limits["read_gb_per_s"], row_bytes / ms["read"] / 1e6)  # the best seen in this run
        parts.append(f"rows read at {100 * row_bytes / ms['aigc_fast'] / 1e6 / bandwidth:.0f} % of bandwidth")
        parts.append(f"codes at {25 * row_bytes / ms['index'] / 1e6 / bandwidth:.0f} %")
    elif limits:
        operations = 2 * cell.items * cell.dims * cell.queries
        parts.append(f"{operations / ms['index'] / 1e6:.0f} Gop/s with the index")
        if limits["int8_gop_per_s"]:
            parts[-1] += f" = {100 * operations / ms['index'] / 1e6 / limits['int8_gop_per_s']:.0f} % of the int8 peak"
    return ", ".join(parts)


def main() -> None:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="*", help="items x dims x queries x k, such as 200000x128x256x10")
    parser.add_argument("--threads", type=int, default=aigc_fast.get_num_threads())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--check", action="store_true", help="small cells, for the answers; the times mean nothing")
    options = parser.parse_args()
    if options.check:
        cells = [Cell(20_000, 64, 1, 10), Cell(20_000, 64, 40, 10)]
    else:
        machine.refuse_slowed_peers()
        cells = [Cell(*map(int, text.split("x"))) for text in options.cells] if options.cells else DEFAULT_CELLS

    about = machine.describe(options.threads)
    print(json.dumps(about, indent=1))
    results = []
    print(f"{'items x dims x queries x k':>26} " + " ".join(f"{name:>12}" for name in RIVALS) + "   milliseconds")
    for cell in cells:
        result = run_cell(cell, options.threads, options.rounds)
        results.append(result)
        ms = result["milliseconds"]
        print(f"{'x'.join(map(str, cell)):>26} " + " ".join(f"{ms[name]:>12.2f}" for name in RIVALS), flush=True)
        print(" " * 27 + fractions(cell, ms, about["limits"]), flush=True)
    if options.output:
        options.output.write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
