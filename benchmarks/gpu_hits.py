"""Count what the bound of the int8 scan on GPUs lets through, in NumPy: hits of a wave, and rows that are scored.

    python -m benchmarks.gpu_hits           # 2**20 rows of 768 columns: some minutes
    python -m benchmarks.gpu_hits --check   # small sizes

It follows cuda/kernels (codes.cuh, settle_codes.cuh) and the waves of cuda/host/plan.cpp: 64 rows share a scale, a wave
sees three times what was seen before, then the k-th largest lower bound among its hits raises the cutoff, and rows with
an upper bound that reaches it are scored. Beside it stand codes of two parts, high and low, for rows and queries. Times
are what the H100's data sheet gives for 1,024 queries: products of int8, and reading the rows that are scored.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from benchmarks import report
from benchmarks.exact import Array

ROWS, COLUMNS, QUERIES, KS = 1 << 20, 768, 8, (10, 100)
BLOCK, TILE, SPARE, GROWTH = 64, 128, 1024, 4  # rows, rows, candidates of a first wave, plan.cpp's kCodedGrowth
LEVELS = 254  # steps of the low codes in one of the high
BATCH, BYTES_A_SECOND, OPERATIONS_A_SECOND = 1024, 3.35e12, 1979e12


class Scan(NamedTuple):
    """Scores of each query and row in the order of the waves, their estimates, and how far these may be wrong."""

    scores: Array
    estimates: Array
    bounds: Array


def iid(count: int, seed: int) -> Array:
    """Gaussian rows."""
    return np.random.default_rng(seed).standard_normal((count, COLUMNS), dtype=np.float32)


def hard(count: int, seed: int) -> Array:
    """Rows whose coordinates fall off as i^(-1/2), around a mean that has 0.6 of the energy."""
    scales = np.arange(1, COLUMNS + 1, dtype=np.float32) ** np.float32(-0.5)
    signs = np.sign(np.random.default_rng(0).standard_normal(COLUMNS)).astype(np.float32)
    return iid(count, seed) * scales + np.float32(1.2 * np.sqrt(np.mean(scales**2))) * signs


KINDS = {"iid": iid, "hard": hard}


def coded(x: Array, rows_of_scale: int, parts: int) -> tuple[Array, Array, Array]:
    """Return what codes of one or two parts say of rows; the lengths of what they leave, and of themselves."""
    blocks = x.reshape(-1, rows_of_scale, x.shape[1])
    step = np.maximum(np.abs(blocks).max((1, 2), keepdims=True), np.float32(1e-30)) / 127
    said = np.rint(blocks / step) * step
    if parts == 2:
        said += np.clip(np.rint((blocks - said) / step * LEVELS), -127, 127) * (step / LEVELS)
    lengths = [np.linalg.norm(each, axis=2).max(1) for each in (blocks - said, said)]
    return said.reshape(x.shape), *(np.repeat(each, rows_of_scale) for each in lengths)


def unit(x: Array) -> Array:
    """Divide rows by their lengths."""
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def scan(kind: str, count: int, parts: int) -> Scan:
    """Code and compare rows a part at a time."""
    queries = unit(KINDS[kind](QUERIES, 1))
    said_of_queries, left_of_queries, _ = coded(queries, 1, parts)
    found = []
    for seed in range(count // TILE):
        rows = unit(KINDS[kind](TILE, 2 + seed))
        said, left, reach = coded(rows, BLOCK, parts)
        bounds = left + np.outer(left_of_queries, reach)
        found.append(Scan(queries @ rows.T, said_of_queries @ said.T, bounds))
    return Scan(*(np.concatenate(parts_of, axis=1) for parts_of in zip(*found, strict=True)))


def waves(count: int, k: int) -> Iterator[slice]:
    """Return the rows of each wave."""
    spare = max(SPARE, -(-8 * k // TILE) * TILE)
    seen = 0
    while seen < count:
        end = min(count, seen + max(spare, seen * (GROWTH - 1)))
        yield slice(seen, end)
        seen = end


def counted(scores: Array, estimates: Array, bounds: Array, k: int) -> tuple[int, int]:
    """Return the most hits of a wave but the first, and how many rows are scored, for one query."""
    cutoff, best, hits, scored = -np.inf, np.empty(0, np.float32), [], 0
    for wave in waves(len(scores), k):
        hit = wave.start + np.flatnonzero(estimates[wave] + bounds[wave] >= cutoff)
        if len(hit) >= k:
            cutoff = max(cutoff, np.partition(estimates[hit] - bounds[hit], -k)[-k])
        hit_scores = scores[hit[estimates[hit] + bounds[hit] >= cutoff]]
        best = np.sort(np.concatenate([best, hit_scores]))[-k:]
        cutoff = max(cutoff, best[0])
        hits.append(len(hit))
        scored += len(hit_scores)
    if not np.array_equal(best, np.sort(scores)[-k:]):
        raise SystemExit("the bound lost a result")
    return max(hits[1:], default=0), scored


def main() -> None:
    """Count, and print a table."""
    parser = argparse.ArgumentParser(description="What the int8 bound on GPUs lets through.")
    parser.add_argument("--check", action="store_true", help="small sizes")
    count = 1 << 13 if parser.parse_args().check else ROWS
    table = []
    for kind in KINDS:
        for parts in (1, 2):
            found = scan(kind, count, parts)
            for k in KS:
                hits, scored = zip(*(counted(*of_query, k) for of_query in zip(*found, strict=True)), strict=True)
                products = {1: 1, 2: 3}[parts] * 2 * COLUMNS * count * BATCH / OPERATIONS_A_SECOND
                reading = float(np.median(scored)) * BATCH * COLUMNS * 4 / BYTES_A_SECOND
                times = [f"{1e3 * seconds:.2f}" for seconds in (products, reading)]
                table.append([kind, str(parts), str(k), str(max(hits)), f"{np.median(scored):.0f}", *times])
    print(
        report.table(["rows", "parts", "k", "most hits of a wave", "scored (median)", "scan ms", "reading ms"], table)
    )


if __name__ == "__main__":
    main()
