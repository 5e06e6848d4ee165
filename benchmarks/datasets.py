"""Data to search: Gaussian rows, rows that are hard for a scan, and real embeddings."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import embeddings
from benchmarks.rivals import Rows

Array = np.ndarray[Any, Any]

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
OUTLIERS, OUTLIER_SIZE = 4, 50
COPIES = 10_000


class Data(NamedTuple):
    """Items, and queries of the same kind that are not among them (titles: the items themselves)."""

    items: Rows
    queries: Rows


class MissingDataError(RuntimeError):
    """A data set is not on this machine; the message says how it gets there."""


def gaussian(items: int, dims: int, queries: int) -> Data:
    """Independent normal rows: no structure that a scan could use or trip over."""
    rng = np.random.default_rng(0)
    draw = [rng.standard_normal((count, dims), dtype=np.float32) for count in (items, queries)]
    return Data(*map(Rows, draw))


def outliers(items: int, dims: int, queries: int) -> Data:
    """Gaussian rows, 4 coordinates of which are 50 times larger, as in the outputs of some language models."""
    data = gaussian(items, dims, queries)
    large = np.random.default_rng(1).choice(dims, min(OUTLIERS, dims), replace=False)
    for rows in data:
        rows.raw[:, large] *= OUTLIER_SIZE
    return data


def duplicates(items: int, dims: int, queries: int) -> Data:
    """Every row 10,000 times (a tenth of the items, where there are fewer), in random order."""
    times = min(COPIES, max(1, items // 10))
    data = gaussian(-(-items // times), dims, queries)
    order = np.random.default_rng(1).permutation(items) % len(data.items.raw)
    return Data(Rows(data.items.raw[order]), data.queries)


def copies(items: int, dims: int, queries: int) -> Data:
    """10,000 copies (a tenth of the items, where there are fewer) of one row among Gaussian ones, near every query."""
    data = gaussian(items, dims, queries)
    rng = np.random.default_rng(1)
    row = data.items.raw[0].copy()
    data.items.raw[rng.choice(items, min(COPIES, max(1, items // 10)), replace=False)] = row
    np.add(data.queries.raw, row, out=data.queries.raw)
    return data


def power_law(items: int, dims: int, queries: int) -> Data:
    """Variances that fall as 1/i along rotated axes, like those of many learned embeddings."""
    axes, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((dims, dims)))
    axes = (axes / np.sqrt(np.arange(1, dims + 1))[:, None]).astype(np.float32)
    return Data(*(Rows(rows.raw @ axes) for rows in gaussian(items, dims, queries)))


def titles(queries: int) -> Data:
    """MiniLM over 1,682 film titles: "more like this", so queries are items."""
    rows = embeddings.load("titles")
    return Data(Rows(rows), Rows(rows[:queries]))


def reviews(queries: int) -> Data:
    """MiniLM over some 22,600 reviews of a shop; the last ones are queries."""
    rows = embeddings.load("reviews")
    return Data(Rows(rows[:-queries]), Rows(rows[-queries:]))


def fashion_mnist(queries: int, folder: Path = FASHION_MNIST) -> Data:
    """60,000 images of 784 pixels, whole numbers from 0 to 255; test images are queries.

    Raises
    ------
    MissingDataError
        The folder has no such files.
    """
    sets = []
    for name in ("train", "t10k"):
        path = folder / f"{name}-images-idx3-ubyte.gz"
        if not path.exists():
            raise MissingDataError(f"{path} is missing (apt-get install dataset-fashion-mnist)")
        with gzip.open(path) as file:
            pixels = np.frombuffer(file.read(), np.uint8, offset=16)
        sets.append(pixels.reshape(-1, 784).astype(np.float32))
    return Data(Rows(sets[0]), Rows(sets[1][:queries]))


SYNTHETIC: dict[str, Callable[[int, int, int], Data]] = {
    "gaussian": gaussian,
    "power-law": power_law,
    "outliers": outliers,
    "duplicates": duplicates,
    "copies": copies,
}
REAL: dict[str, Callable[[int], Data]] = {"titles": titles, "reviews": reviews, "fashion-mnist": fashion_mnist}
