"""Time hard data against Gaussian rows of the same shape, and the building of indexes.

    python -m benchmarks.hard_data --output docs/figures/hard_data.json

Outlier dimensions spoil the scale of int8 codes, duplicates leave bounds nothing to tell apart (datasets.py). Searches
on both kinds of data take turns, and their answers are compared with float64. Index builds take turns with reading.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import aigc_fast
from benchmarks import datasets, exact, machine, timing
from benchmarks.results import Record, Results

HARD = ("outliers", "duplicates", "copies")
SHAPES = ((1_000_000, 128), (100_000, 768))
SMALL_SHAPES = ((2_000, 32), (1_500, 96))
BATCHES, KS = (1, 16, 256), (10, 100, 1000)
CHECKED_QUERIES = 8


def searches(name: str, items: int, dims: int, options: argparse.Namespace) -> list[Record]:
    """Compare one kind of data with Gaussian rows, for every batch and k."""
    loaded = {each: datasets.SYNTHETIC[each](items, dims, max(BATCHES)) for each in ("gaussian", name)}
    indexes = {
        each: aigc_fast.CosineIndex(data.items.raw, num_threads=options.threads) for each, data in loaded.items()
    }
    right = {
        each: exact.topk(data.queries.raw[:CHECKED_QUERIES], data.items.raw, max(KS)) for each, data in loaded.items()
    }
    records = []
    for batch in BATCHES:
        for k in KS:
            found: dict[str, Any] = {}

            def call(each: str, batch: int = batch, k: int = k, found: dict[str, Any] = found) -> None:
                queries = loaded[each].queries.raw[:batch]
                found[each] = indexes[each].topk(queries, k, num_threads=options.threads).ids

            calls: dict[str, Callable[[], Any]] = {each: lambda each=each: call(each) for each in loaded}
            taken = timing.medians(timing.interleaved(calls, options.rounds, options.budget))
            for each, ids in found.items():
                if not np.array_equal(ids[:CHECKED_QUERIES], right[each][:batch, :k]):
                    raise SystemExit(f"{each} {items}x{dims}, batch {batch}, k={k}: ids differ from float64")
            record = {"what": "search", "data": name, "items": items, "dims": dims, "queries": batch, "k": k}
            record |= {"seconds": taken[name], "gaussian_seconds": taken["gaussian"]}
            records.append(record | {"ratio": taken[name] / taken["gaussian"]})
    return records


def build(items: int, dims: int, options: argparse.Namespace) -> list[Record]:
    """Time the building of an index in turn with reading its rows once."""
    rows = datasets.gaussian(items, dims, 1).items.raw
    calls: dict[str, Callable[[], Any]] = {
        "build": lambda: aigc_fast.CosineIndex(rows, num_threads=options.threads),
        "read": machine.reader(rows, options.threads) or (lambda: rows.view(np.uint32).max()),
    }
    taken = timing.medians(timing.interleaved(calls, options.rounds, options.budget))
    index = aigc_fast.CosineIndex(rows, num_threads=options.threads)
    return [
        {
            "what": "build",
            "items": items,
            "dims": dims,
            "seconds": taken["build"],
            "gb_per_s": rows.nbytes / taken["build"] / 1e9,
            "share": taken["read"] / taken["build"],
            "extra_memory": index.nbytes / rows.nbytes,
        }
    ]


def show(record: Record) -> str:
    """Show a record as a line."""
    shape = f"{record['items']} x {record['dims']}"
    if record["what"] == "build":
        return (
            f"index of {shape}: {record['seconds'] * 1e3:.1f} ms, {record['gb_per_s']:.1f} GB/s of rows,"
            f" {100 * record['share']:.0f} % of read bandwidth, {100 * record['extra_memory']:.1f} % more memory"
        )
    cell = f"{record['data']} {shape}, batch {record['queries']}, k={record['k']}"
    return f"{cell}: {record['seconds'] * 1e3:.2f} ms, {record['ratio']:.2f}x the Gaussian time"


def main() -> None:
    """Run, print lines, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=aigc_fast.get_num_threads())
    parser.add_argument("--rounds", type=int, default=9, help="timed calls of each, at most")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each")
    parser.add_argument("--output", type=Path, help="JSON file, written after every kind of data")
    parser.add_argument("--resume", action="store_true", help="keep what the file has")
    parser.add_argument("--check", action="store_true", help="small data, for the answers; the times mean nothing")
    options = parser.parse_args()
    results = Results(machine.describe("hard_data", options.threads), options.output, options.resume)
    for items, dims in SMALL_SHAPES if options.check else SHAPES:
        if results.find({"what": "build", "items": items, "dims": dims}) is None:
            results.add(*build(items, dims, options))
        for name in HARD:
            if results.find({"what": "search", "data": name, "items": items, "dims": dims}) is None:
                results.add(*searches(name, items, dims, options))
            gc.collect()
    print("\n".join(show(record) for record in results.records))
    ratios = [record["ratio"] for record in results.records if record["what"] == "search"]
    print(f"largest ratio {max(ratios):.2f}, {sum(ratio > 2 for ratio in ratios)} of {len(ratios)} above 2")


if __name__ == "__main__":
    main()
