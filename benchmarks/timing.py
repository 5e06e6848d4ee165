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

    Each is called up to ``rounds + 1`` times, the first for warming up, but not again once it has used ``budget``
    seconds. A slow call may so be left with its first time as the only one, which is then counted.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            if sum(times[name]) < budget:
                time.sleep(PAUSE_S)
                times[name].append(seconds(call))
    return {name: taken[1:] or taken for name, taken in times.items()}


def medians(times: dict[str, list[float]]) -> dict[str, float]:
    """Return the median time of each call."""
    return {name: statistics.median(taken) for name, taken in times.items()}
