"""What a figure depends on: the machine, its limits as measured here, and the versions of everything compared."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import aigc_fast
from benchmarks.timing import seconds

BLAS_OVERRIDES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def refuse_slowed_peers() -> None:
    """Stop where the environment slows NumPy down: a comparison would flatter us."""
    present = [name for name in BLAS_OVERRIDES if name in os.environ]
    if present:
        raise SystemExit(f"unset {' and '.join(present)}: they slow NumPy, SciPy, faiss and scikit-learn down")


@functools.cache
def _peaks() -> ctypes.CDLL | None:
    """Compile peaks.c for this machine; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or platform.machine() != "x86_64":
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "peaks.so")
        source = Path(__file__).with_name("peaks.c")
        command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", str(source), "-o", str(library)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return None
        peaks = ctypes.CDLL(str(library))
    for name in ("f32_multiply_adds", "int8_multiply_adds"):
        getattr(peaks, name).argtypes = [ctypes.c_uint64]
        getattr(peaks, name).restype = ctypes.c_uint64
    peaks.read_memory.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    peaks.read_memory.restype = ctypes.c_uint64
    return peaks


def reader(rows: Any, threads: int) -> Callable[[], Any] | None:
    """Return a call that reads an array once with all threads, as fast as this machine can."""
    peaks = _peaks()
    if peaks is None:
        return None
    parts = np.array_split(rows, threads)
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(lambda part: peaks.read_memory(part.ctypes.data, part.nbytes // 8), parts))


def limits(threads: int) -> dict[str, float]:
    """Measure what this machine can do at most with these threads: reading memory, and multiply-adds in registers."""
    peaks = _peaks()
    if peaks is None:
        return {}
    rounds = 4_000_000
    block = np.ones(1 << 26, dtype=np.int64)  # 512 MiB
    parts = np.array_split(block, threads)
    work: dict[str, Callable[[int], Any]] = {
        "read_gb_per_s": lambda i: peaks.read_memory(parts[i].ctypes.data, parts[i].size),
        "f32_gflop_per_s": lambda i: peaks.f32_multiply_adds(rounds),
        "int8_gop_per_s": lambda i: peaks.int8_multiply_adds(rounds),
    }
    amounts = {
        "read_gb_per_s": float(block.nbytes),
        "f32_gflop_per_s": float(threads * peaks.f32_multiply_adds(rounds)),
        "int8_gop_per_s": float(threads * peaks.int8_multiply_adds(rounds)),
    }
    found = {}
    with ThreadPoolExecutor(threads) as pool:
        for name, run in work.items():
            times = [seconds(lambda run=run: list(pool.map(run, range(threads)))) for _ in range(9)]
            found[name] = round(amounts[name] / statistics.median(times) / 1e9, 1)
    return found


def versions(names: list[str]) -> dict[str, str]:
    """Return the versions of installed distributions."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Return the processor's name, and on Linux its family and model, since virtual machines often hide the rest."""
    cpuinfo = Path("/proc/cpuinfo")
    facts: dict[str, str] = {}
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    known = [f"{name} {facts[key]}" for name, key in (("family", "cpu family"), ("model", "model")) if key in facts]
    return " ".join([facts.get("model name", platform.processor()), *([f"({', '.join(known)})"] if known else [])])


def describe(benchmark: str, threads: int) -> dict[str, Any]:
    """Return the name of the benchmark, and everything about this machine that its figures depend on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return {
        "benchmark": benchmark,
        "cpu": processor(),
        "cpus": os.cpu_count(),
        "threads": threads,
        "isa": aigc_fast.isa(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip() or None,
        "limits": limits(threads),
        "versions": versions(["aigc-fast", "numpy", "torch", "faiss-cpu", "usearch", "scikit-learn"]),
    }
