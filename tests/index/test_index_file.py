"""The file of an index: round trips, damage, and what a crash leaves."""

from __future__ import annotations

import json
import os
import pickle
import stat

import numpy as np
import pytest

from aigc_fast import CosineIndex, array_file, index_file

from .model import Model, assert_equal

pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(1).integers(-3, 4, (5000, 12)).astype(np.float32)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("metric", ["cosine", "inner_product", "pearson"])
def test_round_trip(tmp_path, rows, mmap, changed, metric):
    index, model = CosineIndex(rows, metric=metric), Model(range(5000), rows)
    if changed:
        index.remove([1, 2])
        model.remove([1, 2])
        model.add(index.add(rows[:9]), rows[:9])
    index.save(tmp_path / "items.index")
    loaded = CosineIndex.load(tmp_path / "items.index", mmap=mmap)
    assert loaded.metric == metric
    assert_equal(loaded, model, rows[:4], metric=metric)
    model.add(loaded.add(rows[:1]), rows[:1])
    loaded.remove([5])
    model.remove([5])
    assert_equal(loaded, model, rows[:4], metric=metric)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("count", [0, 9, 5000])
def test_an_index_of_no_rows_survives(tmp_path, rows, mmap, count):
    index = CosineIndex(rows[:count])
    index.remove(np.arange(count))
    index.save(tmp_path / "items.index")
    for loaded in (CosineIndex.load(tmp_path / "items.index", mmap=mmap), pickle.loads(pickle.dumps(index))):
        assert len(loaded) == 0
        assert (loaded.topk(rows[:1], 2).ids == -1).all()
        assert loaded.add(rows[:2]).tolist() == [count, count + 1]
        assert loaded.topk(rows[:1], 1).ids == count


def test_centred_and_rotated_codes_survive(tmp_path):
    rng = np.random.default_rng(2)
    rows = (rng.standard_normal((6000, 48)) + 4).astype(np.float32)
    rows[:, :2] *= 50
    index = CosineIndex(rows)
    arrays, facts = index._state()
    assert "mean" in arrays
    assert facts["rotated"] == "1"
    index.save(tmp_path / "items.index")
    queries = rows[:20] + rng.standard_normal((20, 48)).astype(np.float32)
    loaded = CosineIndex.load(tmp_path / "items.index")
    loaded.verify(50)
    np.testing.assert_array_equal(loaded.topk(queries, 9).ids, index.topk(queries, 9).ids)


def test_any_truncation_is_refused(tmp_path, rows):
    path = tmp_path / "items.index"
    CosineIndex(rows[:40]).save(path)
    whole = path.read_bytes()
    for size in [*range(40), *range(40, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="truncated, damaged, or not a safetensors file"):
            CosineIndex.load(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(ValueError, match="truncated, damaged"):
        CosineIndex.load(path)


def test_a_flipped_bit_is_refused(tmp_path, rows):
    path = tmp_path / "items.index"
    CosineIndex(rows).save(path)
    content = bytearray(path.read_bytes())
    content[-100] ^= 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match="checksum does not match"):
        CosineIndex.load(path)


@pytest.mark.parametrize("mmap", [False, True])
def test_any_flipped_bit_of_the_header_is_refused(tmp_path, rows, mmap):
    path = tmp_path / "items.index"
    CosineIndex(rows[:300], np.arange(300) * 3).save(path)
    whole = path.read_bytes()
    for at in range(8 + int.from_bytes(whole[:8], "little")):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=r"items\.index (is|has)"):
            CosineIndex.load(path, mmap=mmap)


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 200_000,
        b'{"__metadata__": null}',
        b'{"rows": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}',
        b'{"rows": {"dtype": "F32", "shape": [1180591620717411303424, 0], "data_offsets": [0, 0]}}',
        b'{"rows": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2, 4]}}',
        b'{"rows": {"dtype": "F32", "shape": [%s], "data_offsets": [0, 4]}}' % b", ".join([b"1"] * 99),
    ],
    ids=["nested", "no metadata", "negative", "huge", "offsets", "dimensions"],
)
def test_headers_of_no_sense_are_refused(tmp_path, header):
    path = tmp_path / "items.index"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    with pytest.raises(ValueError, match="damaged"):
        CosineIndex.load(path)


def test_foreign_files_are_refused(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "other.safetensors"
    safetensors.save_file({"rows": np.ones((2, 2), np.float32)}, path)
    with pytest.raises(ValueError, match="not of a CosineIndex"):
        CosineIndex.load(path)
    facts = {"format": "aigc_fast.CosineIndex", "format_version": "99"}
    safetensors.save_file({"rows": np.ones((2, 2), np.float32)}, path, metadata=facts)
    with pytest.raises(ValueError, match="format version 99"):
        CosineIndex.load(path)
    header = json.dumps({"rows": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    with pytest.raises(ValueError, match="damaged"):
        CosineIndex.load(path)


@pytest.fixture(scope="module")
def states():
    """States with heads and ids, with centred codes, and without codes."""
    rng = np.random.default_rng(3)
    flat = rng.standard_normal((16400, 8)) @ rng.standard_normal((8, 192)) + 0.01 * rng.standard_normal((16400, 192))
    centred = rng.standard_normal((6000, 48)) + 4
    indexes = {
        "heads": CosineIndex(flat.astype(np.float32), np.arange(16400) * 2),
        "centred": CosineIndex(centred.astype(np.float32)),
        "plain": CosineIndex(centred[:20].astype(np.float32), np.arange(20)[::-1] * 3),
    }
    states = {name: index._state() for name, index in indexes.items()}
    assert "head_basis" in states["heads"][0]
    assert "mean" in states["centred"][0]
    assert states["plain"][0].keys() == {"rows", "ids"}
    return states


def broken_states(arrays, facts):
    """Yield the state with one thing wrong each time, and the name of what is wrong."""
    for name, array in arrays.items():
        if name not in ("rows", "ids", "mean"):
            yield name, {key: value for key, value in arrays.items() if key != name}, facts
        wrong = (
            [array.astype(np.int32), array[None], array[:0]] if name != "rows" else [array.astype(np.int32), array[0]]
        )
        wrong += [np.concatenate([array, array[:1]])] if name != "rows" else []
        if name.endswith(("basis", "mean", "scale", "residual", "reach")):
            wrong.append(np.where(np.arange(array.size).reshape(array.shape) == 3, np.float32("nan"), array))
        if name.endswith("basis"):
            wrong += [array[:, :-1], array[:-1], array[:, :0], array.T]
        if name == "ids":
            wrong += [np.append(array[:-1], array[0]), np.append(array[:-1], -1)]
        for each in wrong:
            yield name, {**arrays, name: each}, facts
    values = {
        "metric": ["", "dot"],
        "next_id": ["", "x", "-1", "1.0", str(int(facts["next_id"]) - 1), "9" * 5000],
        "rotated": ["", "2"],
        "head_rotated": ["", "yes"],
        "survivors": ["", "nan", "-0.1", "inf"],
    }
    for name in facts:
        yield name, arrays, {key: value for key, value in facts.items() if key != name}
        for value in values[name]:
            yield name, arrays, {**facts, name: value}


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("kind", ["heads", "centred", "plain"])
def test_what_does_not_fit_together_is_refused(tmp_path, states, monkeypatch, kind, mmap):
    """Files with right checksums, each with one array or fact wrong."""
    monkeypatch.setattr(array_file, "_flush", lambda _: None)
    path = tmp_path / "items.index"
    for name, arrays, facts in broken_states(*states[kind]):
        index_file.save(path, arrays, facts)
        with pytest.raises(ValueError, match=r"items\.index is damaged: ") as refused:
            CosineIndex.load(path, mmap=mmap)
        assert name.removeprefix("row_") in str(refused.value)
    index_file.save(path, *states[kind])
    CosineIndex.load(path, mmap=mmap).verify(5)


def test_permissions_are_those_of_any_file(tmp_path, rows):
    """A new file follows the umask, a replaced one keeps what it had, and a link goes on naming it."""
    path, link = tmp_path / "items.index", tmp_path / "current"
    before = os.umask(0o027)
    try:
        CosineIndex(rows[:9]).save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        link.symlink_to(path)
        CosineIndex(rows[:5]).save(link)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert link.is_symlink()
    assert len(CosineIndex.load(path)) == 5


def test_a_failed_save_leaves_the_old_file(tmp_path, rows, monkeypatch):
    path = tmp_path / "items.index"
    CosineIndex(rows[:100]).save(path)
    before = path.read_bytes()

    def fail(_):
        raise OSError("disk full")

    monkeypatch.setattr(array_file, "_flush", fail)
    with pytest.raises(OSError, match="disk full"):
        CosineIndex(rows).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["items.index"]
