"""Matplotlib figures as inline SVG whose colours and font are those of the page they stand in."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Each colour is a marker that becomes a CSS variable of the page, so that one figure serves light and dark mode.
INK, MUTED, GRID, SURFACE = "#010101", "#020202", "#030303", "#040404"
ACCENT, SECOND, THIRD, QUIET = "#0a0101", "#0a0202", "#0a0303", "#0a0404"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    SURFACE: "--surface",
    ACCENT: "--accent",
    SECOND: "--second",
    THIRD: "--third",
    QUIET: "--quiet",
}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: selectable, searchable, in the page's font
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


class Drawing:
    """One figure in the making; ``axes`` to draw on, ``svg`` when it is done."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height), layout="constrained")  # no pyplot, no global state
        self.axes: Axes = self.figure.add_subplot()
        self.svg = ""


@contextmanager
def drawing(name: str, width: float, height: float, label: str) -> Iterator[Drawing]:
    """Draw a figure of a size in inches; after the block ``svg`` holds it.

    Parameters
    ----------
    name
        Makes the ids of the figure its own within the page.
    width, height
        72 units of the drawing an inch; the page scales it to its column.
    label
        What a screen reader says of it.
    """
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}):
        sketch = Drawing(width, height)
        yield sketch
        buffer = io.StringIO()
        sketch.figure.savefig(buffer, format="svg", metadata={"Date": None})
    sketch.svg = _inline(buffer.getvalue(), name, label)


def _inline(svg: str, name: str, label: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    viewbox = re.search(r'viewBox="([^"]*)"', svg)
    if viewbox is None:
        raise RuntimeError("Matplotlib wrote an SVG without a viewBox")
    opening = f'<svg role="img" aria-label="{_escaped(label)}" viewBox="{viewbox[1]}">'
    svg = opening + svg[svg.index(">") + 1 :]
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit-font", svg)
    svg = svg.replace("inherit-font", "system-ui, sans-serif")
    for marker, variable in _VARIABLES.items():
        svg = svg.replace(marker, f"var({variable})")
    return re.sub(r"\n\s*", "\n", svg)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
