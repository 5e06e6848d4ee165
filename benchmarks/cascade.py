"""Compare searches that look at heads first with plain int8 scans of the same codes, data by data.

    python -m benchmarks.cascade --output docs/figures/cascade.json

Both search the same rows in turn, in one process, the plain scan with codes as an index without heads has them; ids and
scores must have the same bits. The exact peers of
benchmarks.peers take turns with them; the fastest is kept. Data without a subspace of few dimensions are there too:
they get no heads, so what may differ is the time that it takes to find that out.
"""

from __future__ import annotations

import argparse
import gc
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import aigc_fast
from aigc_fast import _core
from aigc_fast.data import load_ml100k
from benchmarks import datasets, embeddings, machine, report, timing
from benchmarks.results import Record, Results
from benchmarks.rivals import RIVALS

BATCHES, KS = (1, 16, 256), (10, 100)
SINGLE_QUERIES = 8  # of batch 1, one after the other: what heads let through differs from query to query
PEERS = {name: rival for name, rival in RIVALS.items() if rival.kind == "exact" and not rival.never_fastest}


def spectrum_exponent() -> float:
    """Fit the power of i by which the variances of the reviews' embeddings fall."""
    rows = embeddings.load("reviews")
    values = np.linalg.eigvalsh(np.cov(rows, rowvar=False))[::-1]
    place = np.arange(1, len(values) + 1)
    middle = slice(4, len(values) // 2)
    return -float(np.polyfit(np.log(place[middle]), np.log(values[middle]), 1)[0])


def power_law(items: int, dims: int, queries: int) -> datasets.Data:
    """Draw normal rows whose variances fall like those of the reviews."""
    scale = (np.arange(1, dims + 1) ** (-spectrum_exponent() / 2)).astype(np.float32)
    axes, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((dims, dims)))
    turn = scale[:, None] * axes.astype(np.float32)
    return datasets.Data(*(datasets.Rows(rows.raw @ turn) for rows in datasets.gaussian(items, dims, queries)))


def trained_factors(items: int, dims: int, queries: int) -> datasets.Data:
    """Draw factors as graph models train them: normal, with variances that fall by half over the dimensions."""
    data = datasets.gaussian(items, dims, queries)
    for rows in data:
        rows.raw[:] *= np.linspace(1.0, 0.7, dims, dtype=np.float32)
    return data


def ml100k(queries: int) -> datasets.Data:
    """Return the users of MovieLens-100K as rows of ratings; the first are the queries."""
    rows = load_ml100k().user_items.toarray().astype(np.float32)
    return datasets.Data(datasets.Rows(rows), datasets.Rows(rows[:queries]))


DATA: dict[str, Callable[[int], datasets.Data]] = {
    "fashion-mnist": datasets.fashion_mnist,
    "reviews": datasets.reviews,
    "power-law": lambda queries: power_law(1_000_000, 768, queries),
    "gaussian": lambda queries: datasets.gaussian(1_000_000, 128, queries),
    "gaussian-wide": lambda queries: datasets.gaussian(100_000, 768, queries),
    "factors": lambda queries: trained_factors(100_000, 64, queries),
    "ml-100k": ml100k,
}
SMALL: dict[str, Callable[[int], datasets.Data]] = {
    "power-law": lambda queries: datasets.power_law(20_000, 128, queries),
    "gaussian": lambda queries: datasets.gaussian(20_000, 128, queries),
}


def median_ratio(a: list[float], b: list[float]) -> float:
    """Compare calls that took turns, pair by pair; the faster one may have had more of them."""
    return statistics.median(x / y for x, y in zip(a, b, strict=False))


def without_heads(rows: Any, threads: int) -> aigc_fast.CosineIndex:
    """Build an index whose rows get no heads, whatever they are."""
    codes = _core.ItemCodes.encode(rows, None, "cosine", threads)
    facts = {"metric": "cosine", "next_id": str(len(rows)), "rotated": str(int(codes.rotated))}
    return aigc_fast.CosineIndex._from_state({"rows": rows, **codes.arrays()}, facts)


def searches(name: str, data: datasets.Data, options: argparse.Namespace) -> list[Record]:
    """Time the planner's choice in turn with a plain scan of the same rows and with peers, for every batch and k."""
    index = aigc_fast.CosineIndex(data.items.raw, num_threads=options.threads)
    indexes = {None: index, "int8": without_heads(data.items.raw, options.threads)}
    peers = {peer: rival.build(data.items, options.threads) for peer, rival in PEERS.items()}
    records = []
    for batch in BATCHES:
        searched = batch if batch > 1 else SINGLE_QUERIES
        parts = [datasets.Rows(data.queries.raw[at : at + batch]) for at in range(0, searched, batch)]
        for k in KS:
            found: dict[str, list[aigc_fast.TopK]] = {}

            def call(way: str | None, parts: Any = parts, k: int = k, found: Any = found) -> None:
                _core.override_plan(way)
                found[str(way)] = [indexes[way].topk(part.raw, k, num_threads=options.threads) for part in parts]

            calls: dict[str, Callable[[], Any]] = {str(way): lambda way=way: call(way) for way in indexes}
            calls |= {
                peer: lambda search=search, parts=parts, k=k: [search(part, k) for part in parts]
                for peer, search in peers.items()
            }
            try:
                times = timing.interleaved(calls, options.rounds, options.budget)
            finally:
                _core.override_plan()
            for ours, plain in zip(found["None"], found["int8"], strict=True):
                if not all(map(np.array_equal, ours, plain)):
                    raise SystemExit(f"{name}, batch {batch}, k={k}: results differ from the plain scan's")
            explained = [index.explain(part.raw, k, num_threads=options.threads) for part in parts]
            did = [each.reports[0] for each in explained]
            pairs = sum(report.head_pairs for report in did)
            shape = {"data": name, "items": len(data.items.raw), "dims": data.items.raw.shape[1]}
            taken = {way: seconds / len(parts) for way, seconds in timing.medians(times).items()}
            peer = min(peers, key=lambda name: taken[name])
            records.append(
                {"what": "search", **shape, "queries": batch, "k": k, "way": did[0].way}
                | {"survivors": explained[0].survivors[0]}
                | {"passed": sum(report.head_hits for report in did) / pairs if pairs else None}
                | {"seconds": taken["None"], "plain_seconds": taken["int8"]}
                | {"ratio": median_ratio(times["int8"], times["None"])}
                | {"peer": peer, "peer_seconds": taken[peer], "peer_ratio": taken[peer] / taken["None"]}
            )
    return records


def build(name: str, data: datasets.Data, options: argparse.Namespace) -> Record:
    """Time the building of an index in turn with coding its rows, which is all that it takes without heads."""
    rows = data.items.raw
    calls: dict[str, Callable[[], Any]] = {
        "index": lambda: aigc_fast.CosineIndex(rows, num_threads=options.threads),
        "codes": lambda: _core.ItemCodes.encode(rows, None, "cosine", options.threads),
    }
    times = timing.interleaved(calls, options.rounds, options.budget)
    index = aigc_fast.CosineIndex(rows, num_threads=options.threads)
    heads = index.head_columns
    taken = timing.medians(times)
    return {
        "what": "build",
        "data": name,
        "items": len(rows),
        "dims": rows.shape[1],
        "columns": heads,
        "seconds": taken["index"],
        "plain_seconds": taken["codes"],
        "ratio": median_ratio(times["index"], times["codes"]),
        "extra_memory": index.nbytes / rows.nbytes,
    }


def main() -> None:
    """Run, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--threads", type=int, default=aigc_fast.get_num_threads())
    parser.add_argument("--rounds", type=int, default=31, help="timed calls of each, at most")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each")
    parser.add_argument("--output", type=Path, help="JSON file, written after every kind of data")
    parser.add_argument("--resume", action="store_true", help="keep what the file has")
    parser.add_argument("--check", action="store_true", help="small data, for the answers; the times mean nothing")
    options = parser.parse_args()
    if not options.check:
        machine.refuse_slowed_peers()
    results = Results(machine.describe("cascade", options.threads), options.output, options.resume)
    with threadpool_limits(options.threads):
        for name, load in SMALL.items() if options.check else ((name, DATA[name]) for name in options.data):
            if results.find({"what": "build", "data": name}) is not None:
                continue
            try:
                data = load(max(BATCHES))
            except (datasets.MissingDataError, embeddings.MissingEmbeddingsError) as error:
                print(f"left out: {error}")
                continue
            results.add(build(name, data, options), *searches(name, data, options))
            del data
            gc.collect()
    print(report.cascade(results.about, results.records))


if __name__ == "__main__":
    main()
