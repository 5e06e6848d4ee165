"""Fashion-MNIST, and made-up people with tastes for its kinds of clothes.

The images (Xiao, Rasul and Vollgraf, 2017, MIT licence) come with Debian as the package ``dataset-fashion-mnist``.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast.arrays import as_count, integers

FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_MNIST_KINDS = (
    "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
SIDE = 28

_FILES = {"train": "train", "test": "t10k"}


class Images(NamedTuple):
    """Grey images and their kinds."""

    pixels: npt.NDArray[np.float32]  # (n, 784), whole numbers from 0 to 255, row by row
    kinds: npt.NDArray[np.int64]  # (n,), from 0 to 9


def load_fashion_mnist(part: Literal["train", "test"] = "train", folder: str | Path = FASHION_MNIST_FOLDER) -> Images:
    """Load 60,000 images to train on, or 10,000 to test with.

    Parameters
    ----------
    part
        "train" or "test".
    folder
        Where the four files are, named as their authors do.

    Returns
    -------
    Images

    Raises
    ------
    FileNotFoundError
        The folder lacks a file; the message says how to get it.
    ValueError
        Another part, or a file that is not what its name says.
    """
    if part not in _FILES:
        raise ValueError(f"part is {part!r}; 'train' or 'test' is taken")
    images = _read(Path(folder) / f"{_FILES[part]}-images-idx3-ubyte.gz", dimensions=3)
    kinds = _read(Path(folder) / f"{_FILES[part]}-labels-idx1-ubyte.gz", dimensions=1)
    if len(images) != len(kinds):
        raise ValueError(f"{folder} has {len(images)} images and {len(kinds)} labels of {part}")
    return Images(images.reshape(len(images), -1).astype(np.float32), kinds.astype(np.int64))


def tasteful_users(
    kinds: npt.NDArray[np.int64], n_users: int, *, tastes: int = 2, likes: int = 30, seed: int = 0
) -> tuple[csr_matrix, npt.NDArray[np.int64]]:
    """Make up users who like items of a few kinds, drawn at random.

    Parameters
    ----------
    kinds : (n_items,)
        Kind of each item.
    n_users
        Number of users.
    tastes
        Different kinds that each user likes.
    likes
        Items that each user likes, or fewer where their kinds have fewer.
    seed
        Same seed, same users.

    Returns
    -------
    likes : (n_users, n_items) CSR, float32
        1 for each item that a user likes.
    tastes : (n_users, tastes) int64
        The kinds, ascending.

    Raises
    ------
    ValueError, TypeError
        A number below 1, more tastes than kinds, or what is no integer.
    """
    kind_of = integers(kinds, "kinds")
    as_count(n_users, "n_users", 1)
    known = np.unique(kind_of)
    if as_count(tastes, "tastes", 1) > len(known):
        raise ValueError(f"tastes must be at most {len(known)}, the number of kinds, got {tastes}")
    as_count(likes, "likes", 1)
    rng = np.random.default_rng(as_count(seed, "seed", 0))
    liked = np.sort(np.stack([rng.choice(known, tastes, replace=False) for _ in range(n_users)]), axis=1)
    rows = []
    for own in liked:
        candidates = np.flatnonzero(np.isin(kind_of, own))
        rows.append(np.sort(rng.choice(candidates, min(likes, len(candidates)), replace=False)))
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    matrix = csr_matrix((np.ones(indptr[-1], np.float32), np.concatenate(rows), indptr), (n_users, len(kind_of)))
    return matrix, liked


def _read(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read bytes in the IDX format: two zeros, the type, the number of dimensions, their sizes, the array."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; Debian has it: apt-get install dataset-fashion-mnist")
    broken = ValueError(f"{path} is not a whole IDX file of bytes with {dimensions} dimensions")
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise broken from None
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < start:
        raise broken
    sizes = np.frombuffer(content, ">u4", offset=4, count=dimensions).tolist()
    if len(content) != start + math.prod(sizes):
        raise broken
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)
