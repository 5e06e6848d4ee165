"""The tables beside a rating file: items (title, year, genres) and users (age, gender, occupation)."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from aigc_fast.data.delimited import Labels, fail
from aigc_fast.data.ratings import UNKNOWN, Items, Users

#: The 19 flags of ml-100k's u.item, in the order of its u.genre.
ML100K_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip

#: Occupation codes 0 to 20 of ml-1m's users.dat, as its README lists them.
ML1M_OCCUPATIONS = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service",
    "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer",
    "programmer", "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer",
    "tradesman/craftsman", "unemployed", "writer",
)  # fmt: skip

#: What the files write where they know nothing ("unkonwn" is RecBole's spelling in ml-100k.item).
_NO_TITLE = frozenset({"unknown", "unkonwn"})
_NO_GENRE = frozenset({"", "unknown", "(no genres listed)"})

#: "Toy Story (1995)", "Land Before Time III (1995) (V)", "Cosmos (1980–1981)": the year of a title.
_YEAR_IN_TITLE = re.compile(r"\s*\((\d{4})(?:[-–]\d{0,4})?\)\s*(?:\(\w+\))?\s*$")


class ItemRow(NamedTuple):
    """One line of an item table."""

    label: str
    title: str
    year: int
    genres: tuple[str, ...]


class UserRow(NamedTuple):
    """One line of a user table."""

    label: str
    age: int
    gender: str
    occupation: str


Row = TypeVar("Row", ItemRow, UserRow)


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, with their numbers; a byte order mark is left out."""
    mark = codecs.BOM_UTF8.decode(encoding)
    with path.open(encoding=encoding, newline="\n") as file:
        try:
            for number, line in enumerate(file, start=1):
                if text := line.removeprefix(mark if number == 1 else "").rstrip("\r\n"):
                    yield number, text
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not {encoding} text ({error.reason} at byte {error.start})") from None


def _fields(path: Path, delimiter: str, encoding: str, n_fields: int) -> Iterator[tuple[int, list[str]]]:
    for number, line in _lines(path, encoding):
        fields = line.split(delimiter)
        if len(fields) != n_fields:
            fail(path, number, f"{len(fields)} field(s); a row of {path.name} has {n_fields}")
        yield number, fields


def _split_title(text: str) -> tuple[str, int]:
    if match := _YEAR_IN_TITLE.search(text):
        return text[: match.start()].strip(), int(match[1])
    return "" if text in _NO_TITLE else text.strip(), UNKNOWN


def _genres(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in _NO_GENRE)


def read_u_item(path: Path) -> Iterator[tuple[int, ItemRow]]:
    """ml-100k: id|title (year)|release date|video date|IMDb address|19 flags, latin-1."""
    genre_file = path.with_name("u.genre")
    names: tuple[str, ...] = ML100K_GENRES
    if genre_file.is_file():
        names = tuple(name for _, (name, _) in _fields(genre_file, "|", "latin-1", 2))
    for number, fields in _fields(path, "|", "latin-1", 5 + len(names)):
        if bad := [flag for flag in fields[5:] if flag not in ("0", "1")]:
            fail(path, number, f"genre flag {bad[0]!r} is neither 0 nor 1")
        genres = _genres([name for name, flag in zip(names, fields[5:], strict=True) if flag == "1"])
        yield number, ItemRow(fields[0], *_split_title(fields[1]), genres)


def read_movies_dat(path: Path) -> Iterator[tuple[int, ItemRow]]:
    """ml-1m, ml-10m: id::title (year)::genre|genre. ml-1m is latin-1, ml-10m UTF-8."""
    for number, fields in _fields(path, "::", _encoding_of(path), 3):
        yield number, ItemRow(fields[0], *_split_title(fields[1]), _genres(fields[2].split("|")))


def _encoding_of(path: Path) -> str:
    """UTF-8 if the (small) file is valid UTF-8, else latin-1: accented latin-1 text almost never is."""
    try:
        path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def read_movies_csv(path: Path) -> Iterator[tuple[int, ItemRow]]:
    """ml-20m and later, ml-latest: movieId,title,genres with a header, quotes as in RFC 4180, UTF-8."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True)
        try:
            header = [name.strip().lower() for name in next(rows, [])]
            if not {"movieid", "title", "genres"} <= set(header):
                fail(path, 1, f"the header {','.join(header)!r} must name movieId, title and genres")
            label, title, genres = (header.index(name) for name in ("movieid", "title", "genres"))
            for row in rows:
                if not row:
                    continue
                if len(row) != len(header):
                    fail(path, rows.line_num, f"{len(row)} field(s); the header has {len(header)}")
                yield (
                    rows.line_num,
                    ItemRow(row[label], *_split_title(row[title]), _genres(row[genres].split("|"))),
                )
        except csv.Error as error:
            fail(path, rows.line_num, f"bad quotes ({error})")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def _recbole_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a RecBole atomic file by column name; its header is name:type, tab-separated, UTF-8."""
    names: list[str] = []
    for number, line in _lines(path, "utf-8-sig"):
        fields = line.split("\t")
        if not names:
            names = [field.partition(":")[0] for field in fields]
            continue
        if len(fields) != len(names):
            fail(path, number, f"{len(fields)} field(s); the header has {len(names)}")
        yield number, dict(zip(names, fields, strict=True))


def read_recbole_items(path: Path) -> Iterator[tuple[int, ItemRow]]:
    """RecBole: item_id, *title*, release_year, and genres under one of three names, separated by spaces."""
    for number, row in _recbole_rows(path):
        title, year = _split_title(next((text for name, text in row.items() if "title" in name), ""))
        if re.fullmatch(r"\d{4}", text := row.get("release_year", "")):
            year = int(text)
        genres = next((row[name] for name in ("class", "genre", "genres") if name in row), "")
        words = [] if genres in _NO_GENRE else genres.split(" ")
        yield number, ItemRow(row.get("item_id", ""), title, year, _genres(words))


def read_u_user(path: Path) -> Iterator[tuple[int, UserRow]]:
    """ml-100k: id|age|gender|occupation|zip code, latin-1."""
    for number, (label, age, gender, occupation, _) in _fields(path, "|", "latin-1", 5):
        yield number, UserRow(label, _age(path, number, age), gender, occupation)


def read_users_dat(path: Path) -> Iterator[tuple[int, UserRow]]:
    """ml-1m: id::gender::age group::occupation code::zip code, latin-1."""
    for number, (label, gender, age, code, _) in _fields(path, "::", "latin-1", 5):
        if not (code.isdecimal() and int(code) < len(ML1M_OCCUPATIONS)):
            fail(path, number, f"occupation {code!r} is no code from 0 to {len(ML1M_OCCUPATIONS) - 1}")
        yield number, UserRow(label, _age(path, number, age), gender, ML1M_OCCUPATIONS[int(code)])


def read_recbole_users(path: Path) -> Iterator[tuple[int, UserRow]]:
    """RecBole: user_id, age, gender, occupation; any but the first may be absent."""
    for number, row in _recbole_rows(path):
        age = _age(path, number, row.get("age", ""))
        yield number, UserRow(row.get("user_id", ""), age, row.get("gender", ""), row.get("occupation", ""))


def _age(path: Path, number: int, text: str) -> int:
    if not text:
        return UNKNOWN
    if not text.isdecimal():
        fail(path, number, f"age {text!r} is not a number")
    return int(text)


def by_label(path: Path, rows: Iterator[tuple[int, Row]]) -> dict[str, Row]:
    """All rows of a table by label; an empty label or a second row for one label is an error."""
    table: dict[str, Row] = {}
    for number, row in rows:
        if not row.label:
            fail(path, number, "empty id")
        if row.label in table:
            fail(path, number, f"a second row for id {row.label}")
        table[row.label] = row
    return table


def build_items(labels: Labels, table: dict[str, ItemRow]) -> Items:
    """Arrange an item table in the order of ``labels``; what it lacks stays unknown."""
    names = tuple(sorted({genre for row in table.values() for genre in row.genres}))
    column = {name: position for position, name in enumerate(names)}
    blank = ItemRow("", "", UNKNOWN, ())
    rows = [table.get(str(label), blank) for label in labels.tolist()]
    genres = np.zeros((len(rows), len(names)), np.bool_)
    for position, row in enumerate(rows):
        genres[position, [column[genre] for genre in row.genres]] = True
    return Items(
        np.array([row.title for row in rows], np.str_),
        genres,
        names,
        np.array([row.year for row in rows], np.int64),
    )


def build_users(labels: Labels, table: dict[str, UserRow]) -> Users:
    """Arrange a user table in the order of ``labels``; what it lacks stays unknown."""
    blank = UserRow("", UNKNOWN, "", "")
    rows = [table.get(str(label), blank) for label in labels.tolist()]
    return Users(
        np.array([row.age for row in rows], np.int64),
        np.array([row.gender for row in rows], np.str_),
        np.array([row.occupation for row in rows], np.str_),
    )
