"""Read MovieLens ratings in the four forms they come in.

============================  ==========================================  ==========================
file                          row                                         tables beside it
============================  ==========================================  ==========================
``NAME.inter`` (RecBole)      named columns, tab                          ``NAME.item``, ``NAME.user``
``u.data`` (ml-100k)          user, item, rating, timestamp, tab          ``u.item``, ``u.user``
``ratings.dat`` (1M, 10M)     user::item::rating::timestamp               ``movies.dat``, ``users.dat``
``ratings.csv`` (20M, …)      userId,movieId,rating,timestamp, header     ``movies.csv``
============================  ==========================================  ==========================
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast.data import tables
from aigc_fast.data.delimited import MAX_INT_DIGITS, Labels, Layout, Rows, fail, line_of_row, read_rows
from aigc_fast.data.ratings import Ratings

ItemReader = Callable[[Path], Iterator[tuple[int, tables.ItemRow]]]
UserReader = Callable[[Path], Iterator[tuple[int, tables.UserRow]]]

#: Names that a header may give each column (lower case, without underscores).
_COLUMNS = {
    "user": ("userid", "user"),
    "item": ("itemid", "movieid", "item", "movie"),
    "rating": ("rating",),
    "timestamp": ("timestamp",),
}


class _Form(NamedTuple):
    """How one form is recognised and read."""

    layout: Callable[[Path], Layout]
    item_table: str  # name of the table beside the file; * stands for the file's own stem
    item_reader: ItemReader
    user_table: str | None
    user_reader: UserReader | None


def _plain_layout(delimiter: str) -> Callable[[Path], Layout]:
    layout = Layout(delimiter, n_fields=4, user=0, item=1, rating=2, timestamp=3, encoding="latin-1")
    return lambda _: layout


def _header_layout(delimiter: str, quotes: bool) -> Callable[[Path], Layout]:
    """Layout by the names in the first line; RecBole's types (``user_id:token``) are cut off."""

    def layout(path: Path) -> Layout:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            line = file.readline().rstrip("\r\n")
        fields = next(csv.reader([line], delimiter=delimiter), []) if quotes else line.split(delimiter)
        names = [field.partition(":")[0].strip().lower().replace("_", "") for field in fields]
        at: dict[str, int | None] = {}
        for column, accepted in _COLUMNS.items():
            found = [position for position, name in enumerate(names) if name in accepted]
            if len(found) > 1:
                fail(path, 1, f"the header {line[:80]!r} names several columns {'/'.join(accepted)}")
            at[column] = found[0] if found else None
        user, item = at["user"], at["item"]
        if user is None or item is None:
            wanted = " and ".join("/".join(_COLUMNS[column]) for column in ("user", "item") if at[column] is None)
            fail(path, 1, f"the header {line[:80]!r} names no column {wanted}")
        return Layout(delimiter, len(names), user, item, at["rating"], at["timestamp"], 1, quotes)

    return layout


_FORMS: dict[str, _Form] = {
    ".inter": _Form(
        _header_layout("\t", quotes=False),
        "*.item", tables.read_recbole_items, "*.user", tables.read_recbole_users,
    ),
    ".data": _Form(_plain_layout("\t"), "*.item", tables.read_u_item, "*.user", tables.read_u_user),
    ".dat": _Form(
        _plain_layout("::"),
        "movies.dat", tables.read_movies_dat, "users.dat", tables.read_users_dat,
    ),
    ".csv": _Form(_header_layout(",", quotes=True), "movies.csv", tables.read_movies_csv, None, None),
}  # fmt: skip

#: The rating file looked for in a folder, per form.
_IN_FOLDER = ("*.inter", "u.data", "ratings.dat", "ratings.csv")


def load_movielens(path: str | os.PathLike[str]) -> Ratings:
    """Load a rating file, and the item and user tables that lie beside it.

    Parameters
    ----------
    path
        A file whose name ends in ``.inter``, ``.data``, ``.dat`` or ``.csv`` (the forms are listed at the
        top of this module), or a folder that holds one rating file under its usual name. A header may name
        its columns in any order and have more of them; without a rating column every rating is 1, without a
        time column ``timestamps`` is None.

    Returns
    -------
    Ratings
        Rows and columns in ascending order of their labels, whatever the order of the lines.

    Raises
    ------
    FileNotFoundError
        Nothing is there, or a folder has no rating file.
    ValueError
        The form is not known, the file has no rows, or a row is broken: another number of fields, an empty
        label, a rating or time that is no finite number, or a second rating of an item by a user (a file
        that holds a history of events has to be reduced to one row a pair first: which one counts is the
        caller's choice). The message names file, line and reason.

    Notes
    -----
    A million rows take one to two seconds; the peak of memory is about 100 bytes a row.

    Examples
    --------
    >>> ratings = load_movielens("ml-1m/ratings.dat")  # doctest: +SKIP
    >>> ratings.user_items.shape, ratings.items.titles[0]  # doctest: +SKIP
    ((6040, 3883), 'Toy Story')
    """
    file = _rating_file(Path(path))
    form = _FORMS.get(file.suffix.lower())
    if form is None:
        raise ValueError(f"path: {file} ends in none of {', '.join(_FORMS)}")
    layout = form.layout(file)
    rows = read_rows(file, layout)
    if len(rows.users) == 0:
        raise ValueError(f"{file} holds no ratings")
    item_table = _table(file, form.item_table, form.item_reader)
    user_table = _table(file, form.user_table, form.user_reader)
    user_ids, row_of = _index(rows.users, user_table)
    item_ids, column_of = _index(rows.items, item_table)
    user_items, timestamps = _matrices(file, layout, rows, row_of, column_of, (len(user_ids), len(item_ids)))
    return Ratings(
        user_ids,
        item_ids,
        user_items,
        timestamps,
        None if item_table is None else tables.build_items(item_ids, item_table),
        None if user_table is None else tables.build_users(user_ids, user_table),
    )


def _rating_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(file for pattern in _IN_FOLDER for file in path.glob(pattern))
    if not found:
        raise FileNotFoundError(f"path: the folder {path} holds none of {', '.join(_IN_FOLDER)}")
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise ValueError(f"path: the folder {path} holds several rating files ({names}); give one of them")
    return found[0]


def _table(
    file: Path, name: str | None, reader: Callable[[Path], Iterator[tuple[int, tables.Row]]] | None
) -> dict[str, tables.Row] | None:
    """Read the table beside a rating file; None if there is none."""
    if name is None or reader is None:
        return None
    path = file.with_name(name.replace("*", file.stem))
    return tables.by_label(path, reader(path)) if path.is_file() else None


def _index(labels: Labels, table: dict[str, tables.Row] | None) -> tuple[Labels, npt.NDArray[np.intp]]:
    """All distinct labels of the rows and the table, ascending, and the position of each row's label."""
    listed: Labels = np.array(list(table or ()), np.str_)
    if labels.dtype == np.int64:
        numbers = np.array(
            [int(text) if text.isdecimal() and len(text) <= MAX_INT_DIGITS else -1 for text in listed.tolist()],
            np.int64,
        )
        if np.array_equal(numbers.astype(np.str_), listed):  # all canonical
            listed = numbers
        else:
            labels = labels.astype(np.str_)
    distinct = np.union1d(labels, listed)
    return distinct, np.searchsorted(distinct, labels)


def _matrices(
    file: Path,
    layout: Layout,
    rows: Rows,
    row_of: npt.NDArray[np.intp],
    column_of: npt.NDArray[np.intp],
    shape: tuple[int, int],
) -> tuple[csr_matrix, csr_matrix | None]:
    """Ratings and times as CSR of one pattern; a second rating of a pair is an error."""
    pair = row_of * shape[1] + column_of
    order = np.argsort(pair, kind="stable")
    again = np.flatnonzero(pair[order][1:] == pair[order][:-1]) + 1
    if len(again):
        second = again[np.argmin(order[again])]  # the first line of the file that repeats a pair
        row, before = int(order[second]), int(order[second - 1])
        fail(
            file,
            line_of_row(file, layout, row),
            f"user {rows.users[row]} has rated item {rows.items[row]} already in line "
            f"{line_of_row(file, layout, before)}; one row a pair is taken",
        )
    indptr = np.zeros(shape[0] + 1, np.int64)
    np.cumsum(np.bincount(row_of, minlength=shape[0]), out=indptr[1:])
    indices = column_of[order]
    values = np.ones(len(order), np.float32) if rows.ratings is None else rows.ratings[order]
    user_items = csr_matrix((values, indices, indptr), shape=shape)
    if rows.timestamps is None:
        return user_items, None
    return user_items, csr_matrix((rows.timestamps[order], indices, indptr), shape=shape)
