"""The table that every reader of rating files returns: users, items and the matrix between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, csr_matrix

CSR: TypeAlias = csr_matrix | csr_array

#: Year or age that the file does not tell.
UNKNOWN = -1


@dataclass(frozen=True)
class Items:
    """What is known of the items, one entry per item, in the order of the columns of the rating matrix.

    Attributes
    ----------
    titles : (n_items,) str array
        Title without its year; empty where unknown.
    genres : (n_items, n_genres) bool array
        All False where no genre is known.
    genre_names : tuple of str
        One name per column of ``genres``.
    years : (n_items,) int64 array
        Year of release, `UNKNOWN` (-1) where the file tells none.
    """

    titles: npt.NDArray[np.str_]
    genres: npt.NDArray[np.bool_]
    genre_names: tuple[str, ...]
    years: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        n = len(self.titles)
        if self.genres.shape != (n, len(self.genre_names)):
            raise ValueError(
                f"genres has shape {self.genres.shape}; {n} titles and {len(self.genre_names)} genre names "
                f"take {(n, len(self.genre_names))}"
            )
        if self.years.shape != (n,):
            raise ValueError(f"years has shape {self.years.shape}; {n} titles take {(n,)}")

    def __len__(self) -> int:
        return len(self.titles)


@dataclass(frozen=True)
class Users:
    """What is known of the users, one entry per user, in the order of the rows of the rating matrix.

    Attributes
    ----------
    ages : (n_users,) int64 array
        `UNKNOWN` (-1) where the file tells none. MovieLens-1M gives the lower end of an age group.
    genders, occupations : (n_users,) str arrays
        Empty where unknown.
    """

    ages: npt.NDArray[np.int64]
    genders: npt.NDArray[np.str_]
    occupations: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        shapes = {self.ages.shape, self.genders.shape, self.occupations.shape}
        if len(shapes) != 1:
            raise ValueError(f"ages, genders and occupations differ in shape: {sorted(shapes)}")

    def __len__(self) -> int:
        return len(self.ages)


@dataclass(frozen=True)
class Ratings:
    """Ratings of items by users, with the original labels and whatever the files tell of both.

    Attributes
    ----------
    user_ids : (n_users,) int64 or str array
        Label of each row of ``user_items``, ascending. int64 if every label is a decimal number.
    item_ids : (n_items,) int64 or str array
        Label of each column, ascending. Items that an item table lists are there even if nobody rated them.
    user_items : (n_users, n_items) CSR, float32
        The ratings; 1 where the file has none. Its pattern holds one entry per line of the file, a rating
        of 0 included (as an explicit zero), with sorted indices.
    timestamps : (n_users, n_items) CSR, int64, or None
        Time of each rating in the file's unit (MovieLens: seconds since 1970), same pattern.
    items : Items or None
    users : Users or None
    """

    user_ids: npt.NDArray[np.int64] | npt.NDArray[np.str_]
    item_ids: npt.NDArray[np.int64] | npt.NDArray[np.str_]
    user_items: CSR
    timestamps: CSR | None = None
    items: Items | None = None
    users: Users | None = None

    def __post_init__(self) -> None:
        shape = (len(self.user_ids), len(self.item_ids))
        if self.user_items.shape != shape:
            raise ValueError(f"user_items has shape {self.user_items.shape}; the labels take {shape}")
        if self.timestamps is not None and not (
            self.timestamps.shape == shape
            and np.array_equal(self.timestamps.indptr, self.user_items.indptr)
            and np.array_equal(self.timestamps.indices, self.user_items.indices)
        ):
            raise ValueError("timestamps must have the shape and the pattern of user_items")
        if self.items is not None and len(self.items) != shape[1]:
            raise ValueError(f"items describes {len(self.items)} items; user_items has {shape[1]} columns")
        if self.users is not None and len(self.users) != shape[0]:
            raise ValueError(f"users describes {len(self.users)} users; user_items has {shape[0]} rows")

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.item_ids)

    @property
    def n_ratings(self) -> int:
        """Number of ratings."""
        return int(self.user_items.nnz)
