"""A small made-up data set with structure to find, as a table and as files."""

from pathlib import Path

import numpy as np

from aigc_fast.data import Ratings, load_movielens

N_USERS, N_ITEMS = 90, 60
GENRES = ("Comedy", "Drama", "Horror")


def write_files(folder: Path) -> Path:
    """Write ratings.csv and movies.csv; users like one genre, and popular films. Returns the rating file."""
    rng = np.random.default_rng(0)
    genre = np.arange(N_ITEMS) % len(GENRES)
    taste = np.arange(N_USERS) % len(GENRES)
    chance = np.where(genre == taste[:, None], 0.55, 0.12) * rng.uniform(0.5, 1, N_ITEMS)
    users, items = np.nonzero(rng.random((N_USERS, N_ITEMS)) < chance)
    lines = ["userId,movieId,rating,timestamp"]
    lines += [
        f"{user + 1},{item + 100},{rng.integers(2, 6)},{rng.integers(10**9)}"
        for user, item in zip(users, items, strict=True)
    ]
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    films = ["movieId,title,genres"]
    films += [f'{item + 100},"Film & <{item}> ({1950 + item})",{GENRES[genre[item]]}' for item in range(N_ITEMS)]
    (folder / "movies.csv").write_text("\n".join(films) + "\n", encoding="utf-8")
    return folder / "ratings.csv"


def load(folder: Path) -> Ratings:
    return load_movielens(write_files(folder))
