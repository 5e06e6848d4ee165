"""Where a run ran: versions, instruction set, threads, memory."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import sys

import aigc_fast

#: Distributions whose versions matter to the figures.
PACKAGES = ("numpy", "scipy", "torch")


def environment() -> dict[str, str]:
    """Return a description of this process, in the order to show it in."""
    described = {
        "aigc_fast": aigc_fast.__version__,
        "Instruction set": aigc_fast.isa(),
        "Kernel threads": str(aigc_fast.get_num_threads()),
        "CPU": _cpu_model(),
        "CPUs for this process": str(len(os.sched_getaffinity(0))),
        "System": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            described[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            described[package] = "not installed"
    return described | {"GPU": gpu()}


def gpu() -> str:
    """Name the GPUs that ``device="cuda"`` can use, or say why there are none."""
    from aigc_fast import _cuda

    try:
        return ", ".join(_cuda.device_name(device) for device in range(_cuda.device_count()))
    except aigc_fast.CudaUnavailable as error:
        return f"none: {str(error).partition(';')[0]}"


def peak_memory_mib() -> float:
    """Return the largest resident size that this process has had."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 2**20 if sys.platform == "darwin" else size / 2**10  # bytes there, KiB here


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
