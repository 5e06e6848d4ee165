"""What a search of a CosineIndex chose and did, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from aigc_fast import _core


@dataclass(frozen=True)
class Explanation:
    """What a search chose and did, segment by segment.

    Attributes
    ----------
    queries
        Number of queries.
    rows
        Rows of each segment.
    reports
        For each segment: ``way`` ("direct", "f32", "dense", "bf16", "int8" or "cascade"), the planner's estimates
        ``direct_cost``, ``f32_cost``, ``dense_cost``, ``bf16_cost``, ``int8_cost`` and ``cascade_cost`` (nanoseconds of
        one core), ``isa``, ``threads``, ``block_rows``, ``head_pairs`` and ``head_hits`` (pairs of queries and rows
        whose heads were scanned, and those that heads could not rule out), ``hits`` (rows that the scan could not rule
        out when it saw them), ``scored`` (canonical scores), ``scan_seconds`` and ``score_seconds``.
    survivors
        For each segment: the share of pairs that heads could not rule out of a sample when the index was built; None
        without heads.
    """

    queries: int
    rows: tuple[int, ...]
    reports: tuple[_core.SearchReport, ...]
    survivors: tuple[float | None, ...]

    def __str__(self) -> str:
        lines = [] if self.rows else [f"0 rows, {self.queries} queries"]
        for rows, r, survivors in zip(self.rows, self.reports, self.survivors, strict=True):
            costs = {way: getattr(r, f"{way}_cost") for way in ("direct", "f32", "dense", "bf16", "int8", "cascade")}
            estimates = ", ".join(f"{way} {cost / 1e6:.2f} ms" for way, cost in costs.items() if np.isfinite(cost))
            lines += [
                f"{rows:,} rows, {self.queries} queries: {r.way} on {r.isa}, {r.threads} threads,"
                f" blocks of {r.block_rows}",
                f"  estimated for one core: {estimates}",
                *([] if survivors is None else [_head_line(r, survivors, rows * self.queries)]),
                f"  scan {r.scan_seconds * 1e3:.2f} ms, {r.hits / max(1, self.queries):.1f} hits a query;"
                f" score {r.score_seconds * 1e3:.2f} ms, {r.scored / max(1, self.queries):.1f} scores a query",
            ]
        return "\n".join(lines)


def _head_line(report: _core.SearchReport, survivors: float, pairs: int) -> str:
    scanned, passed = report.head_pairs / max(1, pairs), report.head_hits / max(1, report.head_pairs)
    return f"  heads of {scanned:.0%} of the pairs, {passed:.2%} passed; {survivors:.2%} when the index was built"
