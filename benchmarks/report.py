"""Print the tables of docs/performance.md from the JSON files of the benchmarks, so that no figure is typed by hand.

python -m benchmarks.report docs/figures/peers.json docs/figures/thresholds.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks import results, summary
from benchmarks.results import Record
from benchmarks.rivals import RIVALS


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def milliseconds(record: Record, name: str, marks: dict[str, str]) -> str:
    """Return a time with three figures, "–" where the library was left out."""
    if name not in record["seconds"]:
        return "–"
    return f"{record['seconds'][name] * 1e3:.3g}{marks.get(name, '')}"


def overview(records: list[Record]) -> str:
    """Return the geometric means over dimensions and k: with an index, and without one."""
    batches = sorted({record["queries"] for record in records})
    rows = []
    for data, items in dict.fromkeys((record["data"], record["items"]) for record in records):
        cells = [record for record in records if (record["data"], record["items"]) == (data, items)]
        row = [data, f"{items:,}"]
        for batch in batches:
            some = [cell for cell in cells if cell["queries"] == batch]
            gains = [[summary.speedup(cell, ours) for cell in some] for ours in ("index", "aigc_fast")]
            row.append(", ".join(f"{summary.geometric_mean(each):.1f}×" for each in gains) if some else "–")
        rows.append(row)
    return table(["data", "items", *(f"batch {batch}: index, no index" for batch in batches)], rows)


def peers(about: Record, records: list[Record]) -> str:
    """Return the grid and what it says."""
    rows = []
    for record in records:
        marks = summary.differing(record)
        shape = f"{record['items']:,} × {record['dims']}"
        gains = [f"{summary.speedup(record, name):.1f}×" for name in ("index", "aigc_fast")]
        times = [milliseconds(record, name, marks) for name in RIVALS]
        rows.append([record["data"], shape, str(record["queries"]), str(record["k"]), *times, *gains])
    head = ["data", "items × dims", "batch", "k", *RIVALS, "index : fastest peer", "no index : fastest peer"]
    said = "\n".join(summary.lines(records, about["limits"]))
    return (
        f"Milliseconds. †: ids are missing against float64; ‡: only their order differs; –: left out as too slow.\n\n"
        f"```\n{said}\n```\n\n{overview(records)}\n\n{table(head, rows)}"
    )


def isas(about: Record, records: list[Record]) -> str:
    """Return how each instruction set does against the same peers."""
    rows = []
    for isa in dict.fromkeys(record["isa"] for record in records):
        cells = [record for record in records if record["isa"] == isa]
        for ours, label in (("index", "index"), ("aigc_fast", "no index")):
            gains = [summary.speedup(cell, ours) for cell in cells]
            rows.append([isa, label, str(len(cells)), f"{summary.geometric_mean(gains):.2f}×", f"{min(gains):.2f}×"])
    return table(["instruction set", "", "cells", "geometric mean", "least"], rows)


def thresholds(about: Record, records: list[Record]) -> str:
    """Return the times of threshold queries."""
    names = list(dict.fromkeys(name for record in records for name in record["seconds"]))
    rows = []
    for record in records:
        marks = {name: "†" for name, wrong in record["wrong_hits"].items() if wrong}
        times = [milliseconds(record, name, marks) for name in names]
        gains = [f"{summary.speedup(record, name):.1f}×" for name in ("index", "aigc_fast")]
        shape = f"{record['items']:,} × {record['dims']}"
        rows.append([shape, str(record["queries"]), f"{record['hits_per_query']:,.0f}", *times, *gains])
    head = ["items × dims", "batch", "hits a query", *names, "index : fastest peer", "no index : fastest peer"]
    return "Milliseconds. †: hits are missing or too many against float64.\n\n" + table(head, rows)


def hard_data(about: Record, records: list[Record]) -> str:
    """Return the times on hard data beside those on Gaussian rows, and what building an index costs."""
    searches = [
        [f"{r['items']:,} × {r['dims']}", str(r["queries"]), str(r["k"]), r["data"],
         f"{r['seconds'] * 1e3:.3g}", f"{r['gaussian_seconds'] * 1e3:.3g}", f"{r['ratio']:.2f}"]
        for r in records if r["what"] == "search"
    ]  # fmt: skip
    builds = [
        [f"{r['items']:,} × {r['dims']}", f"{r['seconds'] * 1e3:.3g}", f"{r['gb_per_s']:.1f}",
         f"{100 * r['share']:.0f} %", f"{100 * r['extra_memory']:.1f} %"]
        for r in records if r["what"] == "build"
    ]  # fmt: skip
    return "\n\n".join(
        [
            table(["items × dims", "batch", "k", "data", "ms", "ms, Gaussian", "ratio"], searches),
            table(["index of", "ms", "GB/s of rows", "of read bandwidth", "memory beside the rows"], builds),
        ]
    )


def cascade(about: Record, records: list[Record]) -> str:
    """Return the times with heads beside those of plain scans of the same codes, and what building heads costs."""
    builds = [
        [r["data"], f"{r['items']:,} × {r['dims']}", str(r["columns"] or "–"), f"{r['seconds'] * 1e3:.3g}",
         f"{r['plain_seconds'] * 1e3:.3g}", f"{r['ratio']:.2f}", f"{100 * r['extra_memory']:.0f} %"]
        for r in records if r["what"] == "build"
    ]  # fmt: skip
    searches = [
        [r["data"], str(r["queries"]), str(r["k"]), r["way"],
         "–" if r["passed"] is None else f"{100 * r['passed']:.2f} %",
         f"{r['seconds'] * 1e3:.3g}", f"{r['plain_seconds'] * 1e3:.3g}", f"{r['ratio']:.2f}×",
         f"{r['peer_seconds'] * 1e3:.3g} ({r['peer']})", f"{r['peer_ratio']:.1f}×"]
        for r in records if r["what"] == "search"
    ]  # fmt: skip
    return "\n\n".join(
        [
            table(
                ["data", "items × dims", "columns", "build, ms", "codes alone, ms", "ratio", "memory : rows"], builds
            ),
            table(
                ["data", "batch", "k", "way", "passed", "ms", "plain scan, ms", "speed-up", "fastest peer, ms", "ours"],
                searches,
            ),
        ]
    )


SECTIONS: dict[str, Callable[[Record, list[Record]], str]] = {
    "peers": peers,
    "isas": isas,
    "thresholds": thresholds,
    "hard_data": hard_data,
    "cascade": cascade,
}


def machine(about: Record) -> str:
    """Say on what the figures were measured."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    limits = ", ".join(
        f"{name.replace('_per_', '/').replace('_', ' ')} {value:g}" for name, value in about["limits"].items()
    )
    return (
        f"{about['cpu']}, {about['threads']} threads, {about['isa']}, Python {about['python']},"
        f" commit {about['commit']}; {versions}. Limits of this machine, measured in the same run: {limits}."
    )


def main() -> None:
    """Print the sections of the files, chosen by what each benchmark wrote."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    for path in parser.parse_args().files:
        about, records = results.read(path)
        print(f"{machine(about)}\n\n{SECTIONS[about['benchmark']](about, records)}\n")


if __name__ == "__main__":
    main()
