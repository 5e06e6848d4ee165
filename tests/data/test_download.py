"""Finding and fetching MovieLens-100K, with invented stand-ins for the archive and the wheel; no network."""

import importlib
import importlib.metadata
import importlib.util
import logging
import os
import sys
import zipfile
from pathlib import Path

import pytest

from aigc_fast.data import DatasetUnavailableError, data_folder, download, find_ml100k, load_ml100k
from aigc_fast.data.download import fetch_ml100k

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t1\t5\t10\n2\t1\t3\t20\n2\t2\t4\t30\n"
ITEM = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n1\tA\t1990\tX\n2\tB\t1991\tY\n"
USER = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t30\tF\ta\t0\n2\t40\tM\tb\t0\n"
WHEEL_FILES = {"ml-100k.inter": INTER, "ml-100k.item": ITEM, "ml-100k.user": USER}


@pytest.fixture(autouse=True)
def _nothing_to_find(monkeypatch, tmp_path):
    """Neither the real archive nor an installed copy nor a cache is within reach of these tests."""
    monkeypatch.setattr(download, "ARCHIVE_URL", (tmp_path / "absent.zip").as_uri())
    monkeypatch.setattr(download, "_installed_copies", list)
    monkeypatch.setenv("AIGC_FAST_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)


@pytest.fixture
def small(monkeypatch):
    """Take the invented data set for the whole one."""
    monkeypatch.setattr(download, "ML100K_COUNTS", (2, 2, 3))


def make_archive(tmp_path, monkeypatch, names=("u.data", "u.item", "u.user", "u.genre", "README")):
    content = {
        "u.data": "1\t1\t5\t10\n2\t1\t3\t20\n2\t2\t4\t30\n",
        "u.item": "1|A (1990)|d||x|1|0\n2|B (1991)|d||x|0|1\n",
        "u.genre": "X|0\nY|1\n",
        "u.user": "1|30|F|a|0\n2|40|M|b|0\n",
        "README": "terms of use",
    }
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        for name in names:
            archive.writestr(f"ml-100k/{name}", content[name])
        archive.writestr("ml-100k/u1.base", "not wanted")
    monkeypatch.setattr(download, "ARCHIVE_URL", (tmp_path / "ml.zip").as_uri())


def make_wheel(folder: Path):
    """A wheel of the right name that pip takes, with the invented data set inside."""
    folder.mkdir()
    info = "recbole-1.2.1.dist-info"
    with zipfile.ZipFile(folder / "recbole-1.2.1-py3-none-any.whl", "w") as wheel:
        for name, text in WHEEL_FILES.items():
            wheel.writestr(f"recbole/dataset_example/ml-100k/{name}", text)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.mark.usefixtures("small")
def test_archive_is_fetched_once_and_kept(tmp_path, monkeypatch, caplog):
    make_archive(tmp_path, monkeypatch)
    with caplog.at_level(logging.WARNING):
        ratings = load_ml100k()
    assert (ratings.n_users, ratings.n_items, ratings.n_ratings) == (2, 2, 3)
    assert ratings.items.titles.tolist() == ["A", "B"]
    assert "GroupLens" in caplog.text
    assert "Harper" in caplog.text
    folder = tmp_path / "cache" / "ml-100k"
    assert sorted(file.name for file in folder.iterdir()) == ["README", "u.data", "u.genre", "u.item", "u.user"]
    assert [file.name for file in folder.parent.iterdir()] == ["ml-100k"]  # no temporary folder is left
    (tmp_path / "ml.zip").unlink()
    assert load_ml100k().n_ratings == 3


@pytest.mark.usefixtures("small")
@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="this environment has no pip to download with")
def test_wheel_is_the_second_source(tmp_path, monkeypatch):
    make_wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    ratings = load_ml100k(tmp_path / "own")
    assert ratings.users.occupations.tolist() == ["a", "b"]
    assert sorted(file.name for file in (tmp_path / "own" / "ml-100k").iterdir()) == sorted(WHEEL_FILES)
    assert find_ml100k(tmp_path / "own") == tmp_path / "own" / "ml-100k" / "ml-100k.inter"


def test_failure_says_what_was_tried_and_what_to_do(tmp_path):
    with pytest.raises(DatasetUnavailableError) as caught:
        load_ml100k()
    message = str(caught.value)
    assert "absent.zip" in message
    assert "pip download --no-deps recbole==1.2.1: " in message
    assert f"unpack ml-100k.zip into {tmp_path / 'cache' / 'ml-100k'}" in message
    assert "load_movielens" in message
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_broken_archive_is_not_kept(tmp_path, monkeypatch):
    make_archive(tmp_path, monkeypatch, names=("u.data", "u.item"))
    with pytest.raises(DatasetUnavailableError, match=r"u\.user"):
        load_ml100k()
    (tmp_path / "ml.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(DatasetUnavailableError, match="BadZipFile"):
        load_ml100k()
    assert find_ml100k() is None


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    make_archive(tmp_path, monkeypatch)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetUnavailableError, match="writing to"):
        load_ml100k(tmp_path / "file" / "below")


def test_a_part_of_the_data_set_is_not_taken_for_it(tmp_path, monkeypatch):
    make_archive(tmp_path, monkeypatch)
    with pytest.raises(
        ValueError, match=r"holds 2 users, 2 items and 3 ratings; MovieLens-100K has 943, 1682 and 100000"
    ):
        load_ml100k()


def _install(folder: Path):
    """An installed recbole that must not be imported."""
    data = folder / "recbole" / "dataset_example" / "ml-100k"
    data.mkdir(parents=True)
    (folder / "recbole" / "__init__.py").write_text("raise RuntimeError('recbole was imported')\n")
    for name, text in WHEEL_FILES.items():
        (data / name).write_text(text)
    return data / "ml-100k.inter"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("recorded", [True, False], ids=["by its record", "by its place"])
def test_installed_wheel_is_read_without_importing_it(tmp_path, monkeypatch, recorded):
    monkeypatch.undo()  # look for installed copies again
    monkeypatch.setattr(download, "ML100K_COUNTS", (2, 2, 3))
    monkeypatch.setenv("AIGC_FAST_DATA", str(tmp_path / "cache"))
    file = _install(tmp_path / "site")
    if recorded:
        info = tmp_path / "site" / "recbole-1.2.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n")
        (info / "RECORD").write_text("".join(f"recbole/dataset_example/ml-100k/{name},,\n" for name in WHEEL_FILES))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    else:

        def not_recorded(name):
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(importlib.metadata, "files", not_recorded)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    importlib.invalidate_caches()
    assert find_ml100k() == file
    assert load_ml100k().n_ratings == 3
    assert "recbole" not in sys.modules


def test_data_folder(monkeypatch, tmp_path):
    assert data_folder() == tmp_path / "cache"
    monkeypatch.delenv("AIGC_FAST_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert data_folder() == tmp_path / "xdg" / "aigc_fast"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("", "relative/path"):  # the specification asks to ignore both
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert data_folder() == tmp_path / "home" / ".cache" / "aigc_fast"


def test_fetch_survives_a_rival(tmp_path, monkeypatch):
    """Another process may have put the files there in the meantime."""
    make_archive(tmp_path, monkeypatch)
    first = fetch_ml100k()
    assert fetch_ml100k() == first
    assert first.read_text().startswith("1\t1\t5\t10")
