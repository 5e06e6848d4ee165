"""What a figure depends on: the machine, its limits as measured here, and the versions of everything compared."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import aigc_fast

BLAS_OVERRIDES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def refuse_slowed_peers() -> None:
    """Stop where the environment slows NumPy down: a comparison would flatter us."""
    present = [name for name in BLAS_OVERRIDES if name in os.environ]
    if present:
        raise SystemExit(f"unset {' and '.join(present)}: they slow NumPy, SciPy, faiss and scikit-learn down")


def seconds(call: Callable[[], Any]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleaved(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Time the calls in turn, after a warm-up of each, so that drift of the machine meets all alike."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return times


def read_bandwidth(threads: int, megabytes: int = 512) -> float:
    """Return the bytes/s at which all threads together read memory (a sum, by NumPy's vectorized loops)."""
    from concurrent.futures import ThreadPoolExecutor

    block = np.ones(megabytes * (1 << 20) // 8, dtype=np.int64)
    parts = np.array_split(block, threads * 4)
    with ThreadPoolExecutor(threads) as pool:
        times = [seconds(lambda: list(pool.map(np.bitwise_or.reduce, parts))) for _ in range(9)]
    return block.nbytes / statistics.median(times)


def versions(names: list[str]) -> dict[str, str]:
    """Return the versions of installed distributions."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe(threads: int) -> dict[str, Any]:
    """Return everything about this machine that a figure depends on."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "threads": threads,
        "isa": aigc_fast.isa(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip() or None,
        "read_gb_per_s": round(read_bandwidth(threads) / 1e9, 1),
        "versions": versions(["aigc-fast", "numpy", "torch", "faiss-cpu", "scikit-learn"]),
    }
