"""Compare threshold queries with faiss, scikit-learn, torch and NumPy, from no hits to a tenth of the rows.

    python -m benchmarks.thresholds --output docs/figures/thresholds.json

One threshold serves all queries of a batch, as faiss and scikit-learn want it; it is chosen so that the batch has the
wanted hits in the mean. Peers get unit rows and queries. All answers are compared with float64 scores, rounded to
float32 as ours are; ours must be equal or the run stops. Ours come sorted by score, those of the others by row.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import aigc_fast
from benchmarks import datasets, exact, machine, summary, timing
from benchmarks.exact import Hits, indptr_of, right_hits, threshold_for
from benchmarks.results import Record, Results
from benchmarks.rivals import OURS, Array, Rows, flat_index

SHAPES = ((100_000, 128, 16), (100_000, 128, 256), (100_000, 768, 16), (1_000_000, 128, 1), (1_000_000, 128, 16))
TENTH = 0.1  # of the rows
HITS = (0, 10, 1000, TENTH)


Find = Callable[[Rows, float], Hits]


def index(items: Rows, threads: int) -> Find:
    """Ours with a CosineIndex."""
    built = aigc_fast.CosineIndex(items.raw, num_threads=threads)
    return lambda queries, threshold: Hits(*built.threshold(queries.raw, threshold)[:2])


def one_shot(items: Rows, threads: int) -> Find:
    """Ours without an index."""
    return lambda queries, threshold: Hits(
        *aigc_fast.cosine_threshold(queries.raw, items.raw, threshold, num_threads=threads)[:2]
    )


def numpy(items: Rows, threads: int) -> Find:
    """Matrix product, comparison, nonzero; in chunks of queries."""
    chunk = max(1, (64 << 20) // (len(items.unit) * 4))

    def find(queries: Rows, threshold: float) -> Hits:
        counts, ids = [], []
        for start in range(0, len(queries.unit), chunk):
            scores = queries.unit[start : start + chunk] @ items.unit.T
            rows, columns = np.nonzero(scores >= np.float32(threshold))
            counts.append(np.bincount(rows, minlength=len(scores)))
            ids.append(columns)
            scores[rows, columns]  # the hits' scores, which others return too
        return Hits(indptr_of(np.concatenate(counts)), np.concatenate(ids))

    return find


def torch(items: Rows, threads: int) -> Find:
    """Do the same in torch."""
    import torch as library

    library.set_num_threads(threads)
    columns = library.from_numpy(items.unit).T
    chunk = max(1, (256 << 20) // (len(items.unit) * 4))

    def find(queries: Rows, threshold: float) -> Hits:
        counts, ids = [], []
        for part in library.from_numpy(queries.unit).split(chunk):
            scores = part @ columns
            reached = scores >= threshold
            counts.append(reached.sum(1))
            ids.append(reached.nonzero()[:, 1])
            scores[reached]
        return Hits(indptr_of(library.cat(counts).numpy()), library.cat(ids).numpy())

    return find


def faiss(items: Rows, threads: int) -> Find:
    """IndexFlatIP.range_search."""
    flat = flat_index(items, threads)

    def find(queries: Rows, threshold: float) -> Hits:
        indptr, _, ids = flat.range_search(queries.unit, threshold)
        return Hits(indptr.astype(np.int64), ids)

    return find


def sklearn(items: Rows, threads: int) -> Find:
    """radius_neighbors over unit rows by squared Euclidean distance, which it computes in its fused way."""
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(algorithm="brute", metric="sqeuclidean").fit(items.unit)

    def find(queries: Rows, threshold: float) -> Hits:
        with threadpool_limits(threads):
            _, ids = neighbours.radius_neighbors(queries.unit, max(0.0, 2 - 2 * threshold))
        return Hits(indptr_of(np.array([len(each) for each in ids])), np.concatenate(ids))

    return find


FINDERS: dict[str, Callable[[Rows, int], Find]] = {
    "index": index,
    "aigc_fast": one_shot,
    "NumPy": numpy,
    "torch": torch,
    "faiss": faiss,
    "scikit-learn": sklearn,
}


def wrong_hits(found: Hits, right: Hits, n_items: int) -> int:
    """Count hits that are missing or should not be there, in whatever order they came."""
    keys = [
        np.repeat(np.arange(len(hits.indptr) - 1), np.diff(hits.indptr)) * n_items + hits.ids for hits in (found, right)
    ]
    return len(np.setxor1d(*keys))


def run_cell(
    finders: dict[str, Find], queries: Rows, n_items: int, scores: Array, hits: int, rounds: int, budget: float
) -> Record:
    """Time one threshold, and check the answers that were timed."""
    threshold = threshold_for(scores, hits)
    right = right_hits(scores, threshold)
    found: dict[str, Hits] = {}

    def call(name: str) -> None:
        found[name] = finders[name](queries, threshold)

    times = timing.interleaved({name: lambda name=name: call(name) for name in finders}, rounds, budget)
    for name in OURS:
        if not all(np.array_equal(mine, exactly) for mine, exactly in zip(found[name], right, strict=True)):
            raise SystemExit(f"threshold {threshold}: the hits of {name} differ from float64")
    return {
        "threshold": threshold,
        "hits_per_query": len(right.ids) / len(queries.raw),
        "seconds": timing.medians(times),
        "wrong_hits": {name: wrong_hits(hits, right, n_items) for name, hits in found.items()},
    }


def main() -> None:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=aigc_fast.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7, help="timed calls of each library in a cell, at most")
    parser.add_argument("--budget", type=float, default=2.0, help="seconds for each library in a cell")
    parser.add_argument("--output", type=Path, help="JSON file, written after every cell")
    parser.add_argument("--resume", action="store_true", help="keep the cells that the file has")
    parser.add_argument("--check", action="store_true", help="small cells, for the answers; the times mean nothing")
    options = parser.parse_args()
    if not options.check:
        machine.refuse_slowed_peers()
    results = Results(machine.describe("thresholds", options.threads), options.output, options.resume)
    print(f"{'items x dims, batch, hits a query':<36}" + "".join(f"{name:>14}" for name in FINDERS) + "   ms")
    for count, dims, batch in ((5_000, 64, 1), (5_000, 64, 40)) if options.check else SHAPES:
        key = {"items": count, "dims": dims, "queries": batch}
        missing = [hits for hits in HITS if results.find({**key, "wanted_hits": hits}) is None]
        if not missing:
            continue
        items, queries = datasets.gaussian(count, dims, batch)
        scores = exact.scores(queries.raw, items.raw)
        with threadpool_limits(options.threads):
            finders = {name: build(items, options.threads) for name, build in FINDERS.items()}
            for hits in missing:
                total = int(batch * (count * hits if hits == TENTH else hits))
                cell = run_cell(finders, queries, count, scores, total, options.rounds, options.budget)
                results.add({**key, "wanted_hits": hits, **cell})
                columns = "".join(
                    f"{taken * 1e3:.2f}{'†' if cell['wrong_hits'][name] else ''}".rjust(14)
                    for name, taken in cell["seconds"].items()
                )
                gain = f"{summary.speedup(cell, 'index'):8.2f}x {summary.fastest_peer(cell)}"
                print(
                    f"{count} x {dims}, {batch}, {cell['hits_per_query']:<14.1f}".ljust(36) + columns + gain, flush=True
                )
    for name in OURS:
        gains = [summary.speedup(record, name) for record in results.records]
        print(f"{name}: {summary.geometric_mean(gains):.2f}x the fastest peer, least {min(gains):.2f}x")


if __name__ == "__main__":
    main()
