"""What a call costs beside its arithmetic, and what building an index costs.

python -m benchmarks.overhead
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

import aigc_fast
from benchmarks import machine


def microseconds(call: Callable[[], Any], calls: int = 300, rounds: int = 40) -> float:
    """Return the median over rounds of the mean time of a call."""
    call()
    times = [machine.seconds(lambda: [call() for _ in range(calls)]) / calls for _ in range(rounds)]
    return statistics.median(times) * 1e6


def main() -> None:
    """Print both tables."""
    machine.refuse_slowed_peers()
    rng = np.random.default_rng(0)
    items = rng.standard_normal((1000, 128), dtype=np.float32)
    query = rng.standard_normal((1, 128), dtype=np.float32)
    index = aigc_fast.CosineIndex(items)
    calls: dict[str, Callable[[], Any]] = {
        "cosine_topk, 1 item x 128": lambda: aigc_fast.cosine_topk(query, items[:1], 1),
        "cosine_topk, 1000 items x 128": lambda: aigc_fast.cosine_topk(query, items, 10),
        "CosineIndex.topk, 1000 items x 128": lambda: index.topk(query, 10),
        "NumPy argpartition(X @ q), 1000 x 128": lambda: np.argpartition(items @ query[0], -10),
    }
    for name, call in calls.items():
        print(f"{name:>40} {microseconds(call):8.1f} us")
    rows = rng.standard_normal((1_000_000, 128), dtype=np.float32)
    built = aigc_fast.CosineIndex(rows)
    seconds = statistics.median([machine.seconds(lambda: aigc_fast.CosineIndex(rows)) for _ in range(5)])
    rate = rows.nbytes / seconds / 1e9
    print(f"{'CosineIndex of 1000000 x 128':>40} {seconds * 1e3:8.1f} ms, {rate:.1f} GB/s of rows", end="")
    print(f", {100 * built.nbytes / rows.nbytes:.1f} % more memory")


if __name__ == "__main__":
    main()
