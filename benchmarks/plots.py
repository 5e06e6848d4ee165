"""Draw the figures of docs/performance.md from the JSON file of ``benchmarks.peers``, as PNG files beside it.

    python -m benchmarks.plots docs/figures/peers.json

- throughput.png: queries a second against the batch; time.png: time against the number of items;
- limits.png: shares of the machine's limits; speedup.png: every cell against its fastest exact peer.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks import results, summary
from benchmarks.results import Record
from benchmarks.rivals import RIVALS

COLOURS = {
    "index": "#d1495b",
    "aigc_fast": "#edae49",
    "NumPy": "#30638e",
    "torch": "#00798c",
    "faiss": "#6a4c93",
    "scikit-learn": "#5c8a3a",
    "scikit-learn cosine": "#a3b18a",
    "usearch": "#7f7f7f",
    "torch bf16": "#8ecae6",
}
LABELS = {"index": "aigc_fast, index", "aigc_fast": "aigc_fast, no index", "torch bf16": "torch bf16 (inexact)"}
STYLE: dict[str, Any] = {
    "figure.facecolor": "white",
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#e4e4e4",
    "font.size": 9,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "savefig.dpi": 150,
}


def label(name: str, cells: list[Record]) -> str:
    """Name a library in a legend, with what was wrong with its answers in any of the cells drawn."""
    marks = {summary.differing(cell).get(name, "") for cell in cells}
    mark = "†" if "†" in marks else "‡" if "‡" in marks else ""
    return LABELS.get(name, name) + (f" {mark}" if mark and name != "torch bf16" else "")


def curves(
    panels: list[tuple[str, list[Record]]], x: str, y: Callable[[Record, str], float], names: tuple[str, str]
) -> Figure:
    """Draw small multiples of one curve for each library, logarithmic both ways."""
    figure = Figure(figsize=(2.9 * len(panels) + 0.6, 4.1), layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    drawn = [cell for _, cells in panels for cell in cells]
    for axes, (title, cells) in zip(all_axes, panels, strict=True):
        for name, rival in RIVALS.items():
            points = sorted((cell[x], y(cell, name)) for cell in cells if name in cell["seconds"])
            if points:
                style = {"linewidth": 2.4, "markersize": 5, "zorder": 3} if rival.kind == "ours" else {"markersize": 3}
                style |= {"linestyle": ":"} if rival.kind == "inexact" else {}
                axes.plot(
                    *zip(*points, strict=True), marker="o", color=COLOURS[name], label=label(name, drawn), **style
                )
        ticks = sorted({cell[x] for cell in cells})
        axes.set(xscale="log", yscale="log", title=title, xlabel=names[0])
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    all_axes[0].set_ylabel(names[1])
    handles, texts = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=5 if len(panels) > 2 else 3, title=_answers(drawn))
    return figure


def _answers(cells: list[Record]) -> str:
    """Explain the marks that occur."""
    marks = {mark for cell in cells for name, mark in summary.differing(cell).items() if name != "torch bf16"}
    meanings = {"†": "† misses ids of the float64 answer", "‡": "‡ returns them in another order"}
    said = [meaning for mark, meaning in meanings.items() if mark in marks]
    return ";  ".join(said) or "all exact ones return the float64 answer"


def throughput(records: list[Record], about: Record) -> Figure | None:
    """Draw queries a second against the batch, for the largest set of each number of dimensions, k=10."""
    items = max(record["items"] for record in records)
    cells = [record for record in records if record["items"] == items and record["k"] == 10]
    panels = [
        (f"{items:,} × {dims}, k = 10", [cell for cell in cells if cell["dims"] == dims])
        for dims in sorted({cell["dims"] for cell in cells})
    ]
    rate: Callable[[Record, str], float] = lambda cell, name: cell["queries"] / cell["seconds"][name]  # noqa: E731
    return curves(panels, "queries", rate, ("batch (queries in a call)", "queries per second")) if panels else None


def time_by_items(records: list[Record], about: Record) -> Figure | None:
    """Draw the time of a call against the number of items, for each batch, 128 dimensions (or the fewest), k=10."""
    widths = {record["dims"] for record in records}
    dims = 128 if 128 in widths else min(widths)
    cells = [record for record in records if record["dims"] == dims and record["k"] == 10]
    panels = [
        (f"{dims} dimensions, batch {batch:,}, k = 10", [cell for cell in cells if cell["queries"] == batch])
        for batch in sorted({cell["queries"] for cell in cells})
    ]
    time: Callable[[Record, str], float] = lambda cell, name: cell["seconds"][name] * 1e3  # noqa: E731
    return curves(panels, "items", time, ("items", "milliseconds")) if panels else None


def limits(records: list[Record], about: Record) -> Figure | None:
    """Draw shares of read bandwidth (one query, bytes of codes) and of the int8 peak (large batches), k = 10, 100."""
    measures = [
        ("read bandwidth, in bytes of codes", summary.code_bandwidth, "read_gb_per_s", "GB/s"),
        ("int8 peak", summary.int8_share, "int8_gop_per_s", "Gop/s"),
    ]
    panels = []
    for title, share, name, unit in measures:
        shares = [
            (f"{cell['items']:,} × {cell['dims']}, batch {cell['queries']:,}", cell["k"], part)
            for cell in records
            if cell["k"] in (10, 100) and (part := share(cell, about["limits"])) is not None
        ]
        if shares:
            panels.append((f"Share of the {title} ({about['limits'][name]:,.0f} {unit})", shares))
    if not panels:
        return None
    heights = [len({where for where, _, _ in shares}) + 2 for _, shares in panels]
    figure = Figure(figsize=(7, 0.27 * sum(heights) + 0.6), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, shares) in zip(all_axes, panels, strict=True):
        places = list(dict.fromkeys(where for where, _, _ in shares))
        for k, colour, shift in ((10, COLOURS["index"], -0.19), (100, COLOURS["aigc_fast"], 0.19)):
            bars = [(places.index(where) + shift, 100 * part) for where, found_k, part in shares if found_k == k]
            if bars:
                drawn = axes.barh(*zip(*bars, strict=True), height=0.36, color=colour, label=f"k = {k}")
                axes.bar_label(drawn, fmt="%.0f", padding=2, fontsize=7)
        axes.set_yticks(range(len(places)), places)
        axes.set(title=title, xlabel="percent", ylim=(len(places) - 0.4, -0.6), xlim=(0, 108))
        axes.grid(axis="y", visible=False)
    handles, texts = all_axes[-1].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside upper right", ncols=2)
    return figure


def speedups(records: list[Record], about: Record) -> Figure:
    """Map every cell's fastest exact peer : index, the geometric mean in the title."""
    rows = sorted({(record["items"], record["dims"]) for record in records})
    columns = sorted({(record["k"], record["queries"]) for record in records})
    cells = {((r["items"], r["dims"]), (r["k"], r["queries"])): r for r in records}
    gains = np.full((len(rows), len(columns)), np.nan)
    figure = Figure(figsize=(0.78 * len(columns) + 2.6, 0.42 * len(rows) + 1.9), layout="constrained")
    axes = figure.subplots()
    for (i, size), (j, use) in product(enumerate(rows), enumerate(columns)):
        if (size, use) in cells:
            gains[i, j] = summary.speedup(cells[size, use], "index")
    scale = np.log2(gains)
    norm = TwoSlopeNorm(0, min(-1.0, float(np.nanmin(scale))), max(1.0, float(np.nanmax(scale))))
    image = axes.imshow(scale, cmap="RdYlBu", norm=norm, aspect="auto")
    for (i, size), (j, use) in product(enumerate(rows), enumerate(columns)):
        if (size, use) in cells:
            extreme = abs(norm(scale[i, j]) - 0.5) > 0.35
            text = f"{gains[i, j]:.1f}×\n{summary.fastest_peer(cells[size, use])}"
            axes.text(j, i, text, ha="center", va="center", fontsize=6.5, color="white" if extreme else "#222222")
    axes.set_yticks(range(len(rows)), [f"{items:,} × {dims}" for items, dims in rows])
    axes.set_xticks(range(len(columns)), [f"k={k}\nbatch {batch:,}" for k, batch in columns], fontsize=7)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    mean = summary.geometric_mean(summary.speedup(record, "index") for record in records)
    least = float(np.nanmin(gains))
    axes.set_title(f"Fastest exact peer (named) : index. Geometric mean {mean:.1f}×, least {least:.1f}×")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    ticks = np.arange(np.ceil(norm.vmin), np.floor(norm.vmax) + 1)
    bar.set_ticks(ticks, labels=[f"{2.0**tick:g}×" for tick in ticks])
    return figure


FIGURES: dict[str, Callable[[list[Record], Record], Figure | None]] = {
    "throughput": throughput,
    "time": time_by_items,
    "limits": limits,
    "speedup": speedups,
}


def main() -> None:
    """Draw all figures for the Gaussian grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--folder", type=Path, help="where the figures go; default: beside the file")
    options = parser.parse_args()
    about, records = results.read(options.file)
    grid = [record for record in records if record["data"] == "gaussian"]
    folder = options.folder or options.file.parent
    with mpl.rc_context(STYLE):
        for name, draw in FIGURES.items():
            figure = draw(grid, about)
            if figure is not None:
                figure.savefig(folder / f"{name}.png", metadata={"Software": None})
                print(folder / f"{name}.png")


if __name__ == "__main__":
    main()
