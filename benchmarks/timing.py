"""Times of calls that take turns, so that drift of the machine meets all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

PAUSE_S = 0.03  # OpenMP's threads go on spinning for a while after a call


def seconds(call: Callable[[], Any]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleaved(calls: dict[str, Callable[[], Any]], rounds: int, budget: float) -> dict[str, list[float]]:
    """Time the calls in turn.

    Each is called once to warm up, then up to ``rounds`` times, but not again once it has used ``budget`` seconds.
    Where the first call alone took that long, it is the only one, and is counted.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            taken = times[name]
            if not taken or (taken[0] < budget and sum(taken[1:]) < budget):
                time.sleep(PAUSE_S)
                taken.append(seconds(call))
    return {name: taken[1:] or taken for name, taken in times.items()}


def medians(times: dict[str, list[float]]) -> dict[str, float]:
    """Return the median time of each call."""
    return {name: statistics.median(taken) for name, taken in times.items()}
