"""Print what a call costs beside its arithmetic, as a Markdown table.

python -m benchmarks.overhead
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

import aigc_fast
from benchmarks import datasets, machine, report, timing


def microseconds(call: Callable[[], Any], calls: int = 300, rounds: int = 40) -> float:
    """Return the median over rounds of the mean time of a call."""
    call()
    times = [timing.seconds(lambda: [call() for _ in range(calls)]) / calls for _ in range(rounds)]
    return statistics.median(times) * 1e6


def main() -> None:
    """Time one query against few items, and print the table."""
    machine.refuse_slowed_peers()
    data = datasets.gaussian(1000, 128, 1)
    items, query = data.items.raw, data.queries.raw
    index = aigc_fast.CosineIndex(items)
    calls: dict[str, Callable[[], Any]] = {
        "`cosine_topk`, 1 item × 128": lambda: aigc_fast.cosine_topk(query, items[:1], 1),
        "`cosine_topk`, 1,000 items × 128": lambda: aigc_fast.cosine_topk(query, items, 10),
        "`CosineIndex.topk`, 1,000 items × 128": lambda: index.topk(query, 10),
        "NumPy `argpartition(X @ q)` on 1,000 × 128": lambda: np.argpartition(items @ query[0], -10),
    }
    print(report.table(["call", "µs"], [[name, f"{microseconds(call):.1f}"] for name, call in calls.items()]))


if __name__ == "__main__":
    main()
