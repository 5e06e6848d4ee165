"""Compare exact top-K search with NumPy, torch, faiss, usearch and scikit-learn over a grid of sizes, in one run.

    python -m benchmarks.peers --output docs/figures/peers.json             # everything: about 25 minutes
    python -m benchmarks.peers --output docs/figures/peers.json --resume    # go on where it broke off
    python -m benchmarks.peers --data gaussian --items 100000 --dims 128    # part of the grid

Every library has the same threads, its best settings, rows that are normalized and an index that is built before the
clock starts (rivals.py). Calls take turns; figures are medians. A slow one is called less often: not again once it has
used the budget of the cell. usearch (one query at a time) and scikit-learn's cosine (NumPy's work and more) are left
out ("-") of large batches that would exceed the budget, where they took twice the fastest peer's time with the batch
before.

Answers are checked against float64 in every cell (exact.py): for the first 16 queries ids and order of ours must be
equal, and ours with and without an index must agree on all queries, or the run stops. Of others it shows "†" where ids
are missing (recall below 1) and "‡" where only their order differs.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import aigc_fast
from benchmarks import datasets, exact, machine, summary, timing
from benchmarks.datasets import Data
from benchmarks.embeddings import MissingEmbeddingsError
from benchmarks.results import Record, Results
from benchmarks.rivals import OURS, RIVALS, Array, Rows, Search

ITEMS, DIMS = (10_000, 100_000, 1_000_000), (64, 128, 384, 768)
BATCHES, KS = (1, 16, 256, 1024), (10, 100, 1000)
CHECKED_QUERIES = 16
HOPELESS = 2  # times the fastest peer's time
COPIES_IN_MEMORY = 5.5  # rows, unit rows, faiss's, scikit-learn's for a cosine call, bfloat16, codes and scratch


class Subject(NamedTuple):
    """What is searched in some cells: the key of its records, and how to load it."""

    key: Record
    load: Callable[[], Data]


def subjects(names: list[str], items: list[int], dims: list[int], queries: int) -> Iterator[Subject]:
    """Yield the synthetic data in each size, and the real data that are to be had on this machine."""
    for name in names:
        if name in datasets.SYNTHETIC:
            make = datasets.SYNTHETIC[name]
            for count, width in product(items, dims):
                key = {"data": name, "items": count, "dims": width}
                yield Subject(key, lambda make=make, n=count, d=width: make(n, d, queries))
            continue
        try:
            data = datasets.REAL[name](queries)
        except (MissingEmbeddingsError, datasets.MissingDataError) as error:
            print(f"left out: {error}", flush=True)
            continue
        shape = data.items.raw.shape
        yield Subject({"data": name, "items": shape[0], "dims": shape[1]}, lambda data=data: data)


def fits(key: Record) -> bool:
    """Say whether the memory that is free now holds what the libraries need."""
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable"))
        available = int(line.split()[1]) << 10
    return COPIES_IN_MEMORY * 4 * key["items"] * key["dims"] + (1 << 30) < available


def hopeless(before: Record | None, batch: int, budget: float) -> set[str]:
    """Name the peers that are left out of a batch, by their times with the smaller batch before."""
    if before is None or before["queries"] < 16:
        return set()
    fastest = before["seconds"][summary.fastest_peer(before)]
    growth = batch / before["queries"]
    return {
        name
        for name, rival in RIVALS.items()
        if rival.never_fastest
        and (
            name not in before["seconds"]
            or (before["seconds"][name] > HOPELESS * fastest and before["seconds"][name] * growth > budget)
        )
    }


def run_cell(
    searches: dict[str, Search], queries: Rows, k: int, expected: Array, rounds: int, budget: float, read: Any
) -> Record:
    """Time one cell, and check the answers that were timed."""
    found: dict[str, Array] = {}

    def call(name: str) -> None:
        found[name] = searches[name](queries, k)

    calls: dict[str, Callable[[], Any]] = {name: lambda name=name: call(name) for name in searches}
    if read is not None:  # beside the searches, since a shared machine's bandwidth changes by the minute
        calls["read"] = read
    times = timing.interleaved(calls, rounds, budget)
    checked = {name: ids[: len(expected)] for name, ids in found.items()}
    for name in OURS:
        if not np.array_equal(checked[name], expected):
            raise SystemExit(f"batch {len(queries.raw)}, k={k}: the ids of {name} differ from float64 brute force")
        if not np.array_equal(found[name], found[OURS[0]]):
            raise SystemExit(f"batch {len(queries.raw)}, k={k}: the ids of {name} differ from those of {OURS[0]}")
    return {
        "seconds": timing.medians(times),
        "calls": {name: len(taken) for name, taken in times.items()},
        "recall": {name: exact.recall(ids, expected) for name, ids in checked.items()},
        "same_order": {
            name: float(np.mean((ids == expected).all(axis=1))) for name, ids in checked.items()
        },
    }  # fmt: skip


def run_subject(subject: Subject, options: argparse.Namespace, results: Results) -> None:
    """Run the cells of one set of items that are still missing; what was built for it is freed at the end."""
    sizes = product(sorted(k for k in options.k if k <= subject.key["items"]), sorted(options.batch))
    missing = [(k, batch) for k, batch in sizes if results.find({**subject.key, "queries": batch, "k": k}) is None]
    if not missing:
        return
    if not fits(subject.key):
        print(f"left out: {subject.key} does not fit the free memory", flush=True)
        return
    items, queries = subject.load()
    expected = exact.topk(queries.raw[:CHECKED_QUERIES], items.raw, max(k for k, _ in missing))
    searches = {name: rival.build(items, options.threads) for name, rival in RIVALS.items()}
    for k, batch in missing:
        before = max(
            (cell for cell in results.records if {**subject.key, "k": k}.items() <= cell.items()),
            key=lambda cell: cell["queries"],
            default=None,
        )
        left_out = hopeless(before, batch, options.budget)
        called = {name: search for name, search in searches.items() if name not in left_out}
        read = machine.reader(items.raw, options.threads) if batch == 1 else None
        right = expected[: min(batch, CHECKED_QUERIES), :k]
        cell = run_cell(called, queries.first(batch), k, right, options.rounds, options.budget, read)
        results.add({**subject.key, "queries": batch, "k": k, **cell})
        print(row(results.records[-1]), flush=True)


def header() -> str:
    """Head the table."""
    return f"{'data items x dims, batch, k':<46}" + "".join(f"{name:>14.13}" for name in RIVALS) + "   ms, index : peer"


def row(record: Record) -> str:
    """Show a cell as a line of the table."""
    marks, taken = summary.differing(record), record["seconds"]
    columns = [f"{taken[name] * 1e3:.2f}{marks.get(name, '')}" if name in taken else "-" for name in RIVALS]
    gain = f"{summary.speedup(record, 'index'):8.2f}x {summary.fastest_peer(record)}"
    return f"{summary.name_of(record):<46}" + "".join(f"{column:>14}" for column in columns) + gain


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [*datasets.SYNTHETIC, *datasets.REAL]
    parser.add_argument("--data", nargs="+", choices=every, default=["gaussian", *datasets.REAL])
    parser.add_argument("--items", nargs="+", type=int, default=ITEMS, help="of synthetic data")
    parser.add_argument("--dims", nargs="+", type=int, default=DIMS, help="of synthetic data")
    parser.add_argument("--batch", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--k", nargs="+", type=int, default=KS)
    parser.add_argument("--threads", type=int, default=aigc_fast.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5, help="timed calls of each library in a cell, at most")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each library in a cell")
    parser.add_argument("--output", type=Path, help="JSON file, written after every cell")
    parser.add_argument("--resume", action="store_true", help="keep the cells that the file has")
    parser.add_argument("--check", action="store_true", help="small cells, for the answers; the times mean nothing")
    options = parser.parse_args()
    if options.check:
        options.data, options.items, options.dims = ["gaussian", "copies"], [5_000], [64]
        options.batch, options.k = [1, 40], [10, 100]
    return options


def main() -> None:
    """Run, print a table and a summary, write JSON."""
    options = parse()
    if not options.check:
        machine.refuse_slowed_peers()
    results = Results(machine.describe("peers", options.threads), options.output, options.resume)
    print(json.dumps(results.about, indent=1))
    print(header())
    with threadpool_limits(options.threads):
        for subject in subjects(options.data, options.items, options.dims, max(options.batch)):
            run_subject(subject, options, results)
            gc.collect()
    print("\n".join(summary.lines(results.records, results.about["limits"])))


if __name__ == "__main__":
    main()
