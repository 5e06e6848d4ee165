"""What the grid says: how much faster than the fastest exact peer, and what part of the machine's limits."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmarks.results import Record
from benchmarks.rivals import PEERS

CACHED_BYTES = 256 << 20  # rows below this may come from a cache: bandwidth says nothing


def fastest_peer(record: Record) -> str:
    """Return the name of the fastest exact competitor of a cell."""
    return min((name for name in PEERS if name in record["seconds"]), key=record["seconds"].__getitem__)


def speedup(record: Record, ours: str) -> float:
    """Return the fastest peer's time divided by ours ("index" or "aigc_fast")."""
    return float(record["seconds"][fastest_peer(record)] / record["seconds"][ours])


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(list(values)))))


def code_bandwidth(record: Record, limits: dict[str, float]) -> float | None:
    """Return the share of read bandwidth with one query, in bytes of codes; None for other cells.

    Bandwidth is the better of what was measured at the start and beside this cell.
    """
    row_bytes = 4 * record["items"] * record["dims"]
    if record["queries"] != 1 or row_bytes < CACHED_BYTES or "read" not in record["seconds"]:
        return None
    available = max(limits["read_gb_per_s"] * 1e9, row_bytes / record["seconds"]["read"])
    return float(row_bytes / 4 / record["seconds"]["index"] / available)


def int8_share(record: Record, limits: dict[str, float]) -> float | None:
    """Return the share of the int8 peak for large batches; None for other cells, and where no peak is known."""
    if record["queries"] < 256 or record["items"] < 100_000 or not limits.get("int8_gop_per_s"):
        return None
    operations = 2 * record["items"] * record["dims"] * record["queries"]
    return float(operations / record["seconds"]["index"] / limits["int8_gop_per_s"] / 1e9)


def name_of(record: Record) -> str:
    """Name a cell: data, items x dims, batch, k."""
    return f"{record['data']} {record['items']}x{record['dims']}, batch {record['queries']}, k={record['k']}"


def differing(record: Record) -> dict[str, str]:
    """Name the competitors whose ids are not those of float64: "†" ids are missing, "‡" only their order differs."""
    return {
        name: "†" if record["recall"][name] < 1 else "‡"
        for name, same in record["same_order"].items()
        if same < 1 and name in record["seconds"]
    }


def lines(records: list[Record], limits: dict[str, float]) -> list[str]:
    """Summarize a run in a few lines."""
    said = []
    for data in dict.fromkeys(record["data"] for record in records):
        cells = [record for record in records if record["data"] == data]
        gains = {name_of(cell): speedup(cell, "index") for cell in cells}
        worst = min(gains, key=gains.__getitem__)
        said.append(
            f"{data}: index {geometric_mean(gains.values()):.2f}x the fastest exact peer (geometric mean of"
            f" {len(cells)} cells), least {gains[worst]:.2f}x ({worst})"
        )
        said += [f"  below 1.5x: {name} {gain:.2f}x" for name, gain in sorted(gains.items()) if gain < 1.5]
        batches = [speedup(cell, "aigc_fast") for cell in cells if cell["queries"] >= 16]
        if batches:
            said.append(
                f"  no index, batch 16 and more: {geometric_mean(batches):.2f}x, least {min(batches):.2f}x,"
                f" {sum(gain < 2 for gain in batches)} of {len(batches)} cells below 2x"
            )
        for what, share in (("read bandwidth, codes", code_bandwidth), ("int8 peak", int8_share)):
            shares = [(part, cell["k"], name_of(cell)) for cell in cells if (part := share(cell, limits)) is not None]
            for k in sorted({k for _, k, _ in shares}):
                parts = [(part, name) for part, found_k, name in shares if found_k == k]
                least, where = min(parts)
                said.append(f"  {what}, k={k}: {100 * least:.0f} to {100 * max(parts)[0]:.0f} %, least in {where}")
        names = {name: mark for cell in cells for name, mark in sorted(differing(cell).items(), key=lambda x: x[1])}
        for name in names:
            marks = [differing(cell).get(name) for cell in cells]
            said.append(
                f"  {name}: ids missing in {marks.count('†')} cells, only in another order in {marks.count('‡')}"
            )
    return said
