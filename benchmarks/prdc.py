"""Compare precision, recall, density and coverage with the package prdc, in one run.

    python -m benchmarks.prdc                    # 50,000 x 50,000 x 64 ours alone, 10,000 beside the package
    python -m benchmarks.prdc --check            # small, for the answers; the times mean nothing

The package holds three matrices of all distances in float64: 50,000 rows would take 60 GB. The answers are compared;
calls take turns; figures are medians of wall-clock seconds and of the processor's.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import aigc_fast
from aigc_fast.gan.manifolds import prdc
from benchmarks import machine

K = 5
DIMS = 64
BOTH, OURS = 10_000, 50_000  # rows of each set: where the package's matrices fit, and what it is about


def rows(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of unit rows, one around a shifted centre."""
    rng = np.random.default_rng(0)
    real = rng.standard_normal((n, DIMS), dtype=np.float32)
    generated = rng.standard_normal((n, DIMS), dtype=np.float32) + np.float32(0.1)
    return aigc_fast.normalize(real), aigc_fast.normalize(generated)


def package(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """Ask the package, which prints and has chosen its number of processes."""
    with contextlib.redirect_stdout(io.StringIO()):
        found: dict[str, float] = importlib.import_module("prdc").compute_prdc(real, generated, K)
    return found


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the answer, seconds of wall clock and of the processor."""
    wall, used = time.perf_counter(), time.process_time()
    answer = call()
    return answer, time.perf_counter() - wall, time.process_time() - used


def main() -> None:
    """Print the machine and two lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    both, ours = (500, 2000) if options.check else (BOTH, OURS)
    if not options.check:
        machine.refuse_slowed_peers()
    about = machine.describe("prdc", aigc_fast.get_num_threads())
    about["versions"] |= machine.versions(["prdc"])
    print(json.dumps(about, indent=1))

    real, generated = rows(both)
    times: dict[str, list[tuple[float, float]]] = {"aigc_fast": [], "prdc": []}
    for _ in range(options.rounds):
        found, *taken = timed(lambda: prdc(real, generated, K)._asdict())
        times["aigc_fast"].append((taken[0], taken[1]))
        expected, *taken = timed(lambda: package(real, generated))
        times["prdc"].append((taken[0], taken[1]))
    # float32 distances of the package move a few points across a rim.
    worst = max(abs(found[name] - expected[name]) for name in expected)
    if worst > 5 / both:
        raise SystemExit(f"the answers differ by {worst:.1e}")
    medians = {
        name: [statistics.median(column) for column in zip(*taken, strict=True)] for name, taken in times.items()
    }
    line = "  ".join(f"{name} {wall:.2f} s ({used:.2f} s of processor)" for name, (wall, used) in medians.items())
    ratio = medians["prdc"][0] / medians["aigc_fast"][0]
    print(f"{both:,} x {both:,} x {DIMS}: {line}  {ratio:.1f}x  largest difference {worst:.1e}")

    real, generated = rows(ours)
    runs = [timed(lambda: prdc(real, generated, K)) for _ in range(options.rounds)]
    wall, used = (statistics.median(run[i] for run in runs) for i in (1, 2))
    print(f"{ours:,} x {ours:,} x {DIMS}: aigc_fast {wall:.2f} s ({used:.2f} s of processor)")


if __name__ == "__main__":
    main()
