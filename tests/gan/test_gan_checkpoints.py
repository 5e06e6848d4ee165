import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from aigc_fast import array_file
from aigc_fast.gan import ContentGAN
from aigc_fast.gan.checkpoints import Checkpoint, read_checkpoint, write_checkpoint

from .small import assert_same_state, small_gan


def test_round_trip_keeps_every_bit(fitted, tmp_path):
    last = fitted._state.snapshot()
    best = {name: tensor + 1 for name, tensor in last.tensors.items()}
    written = Checkpoint({"config": {"hidden": [1, 2], "penalty": 0.1}}, last, best)
    write_checkpoint(tmp_path / "file", written)
    read = read_checkpoint(tmp_path / "file")
    assert read.about == written.about
    assert_same_state(read.last, last)
    assert read.best.keys() == best.keys()
    assert all(torch.equal(read.best[name], tensor) for name, tensor in best.items())


def test_best_epoch_may_share_its_tensors_with_the_last(fitted, tmp_path):
    last = fitted._state.snapshot()
    write_checkpoint(tmp_path / "file", Checkpoint({}, last, last.tensors))
    assert read_checkpoint(tmp_path / "file").best.keys() == last.tensors.keys()


def test_restoring_does_not_share_memory_with_the_snapshot(fitted, pairs):
    snapshot = fitted._state.snapshot()
    kept = {name: tensor.clone() for name, tensor in snapshot.tensors.items()}
    fitted._state.restore(snapshot)
    fitted.partial_fit(*pairs)
    assert all(torch.equal(snapshot.tensors[name], tensor) for name, tensor in kept.items())


def test_save_and_load_keep_output_curves_and_further_training(fitted, pairs, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    loaded = ContentGAN.load(str(tmp_path / "model.safetensors"))
    assert loaded.get_params() == {**fitted.get_params(), "hidden": (16,)}
    assert np.array_equal(loaded.generate(pairs[1]), fitted.generate(pairs[1]))
    assert_same_state(
        loaded.partial_fit(*pairs, epochs=2)._state.snapshot(), fitted.partial_fit(*pairs, epochs=2)._state.snapshot()
    )


def test_a_changed_bit_is_noticed(fitted, tmp_path):
    path = tmp_path / "model"
    fitted.save(path)
    content = bytearray(path.read_bytes())
    content[-50] ^= 8
    path.write_bytes(content)
    with pytest.raises(ValueError, match="its checksum does not match"):
        ContentGAN.load(path)


def test_arrays_are_all_of_a_model(fitted, pairs):
    about, arrays = fitted.to_arrays()
    copied = ContentGAN.from_arrays(json.loads(json.dumps(about)), {name: row.copy() for name, row in arrays.items()})
    assert_same_state(copied._state.snapshot(), fitted._state.snapshot())
    assert np.array_equal(copied.generate(pairs[1]), fitted.generate(pairs[1]))
    del arrays["average.module.output.weight"]
    with pytest.raises(ValueError, match="arrays does not hold the tensors"):
        ContentGAN.from_arrays(about, arrays)


def test_numpy_settings_can_be_saved(pairs, tmp_path):
    gan = small_gan(epochs=np.int64(1), learning_rate=np.float32(1e-3), hidden=[np.int32(8)])
    gan.fit(*pairs, progress=False).save(tmp_path / "model")
    assert ContentGAN.load(tmp_path / "model").hidden == (8,)


@pytest.mark.parametrize("fsync_fails", [True, False])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(fitted, tmp_path, monkeypatch, fsync_fails):
    path = tmp_path / "model"
    fitted.save(path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError("no space left on device")

    if fsync_fails:
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(array_file.Path, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        fitted.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_synced_before_it_gets_its_name(fitted, tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: events.append(("sync", os.fstat(descriptor).st_size)))
    original = array_file.Path.replace
    monkeypatch.setattr(
        array_file.Path, "replace", lambda self, target: events.append(("name", target)) or original(self, target)
    )
    path = tmp_path / "model"
    fitted.save(path)
    assert events[:2] == [("sync", path.stat().st_size), ("name", path)]
    assert [what for what, _ in events[2:]] == ["sync"]  # the folder, for the name


@pytest.mark.parametrize("size", [0, 5, 100, 5000, -1])
def test_a_truncated_file_is_refused(size, fitted, tmp_path):
    path = tmp_path / "model"
    fitted.save(path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=f"{path} is truncated, damaged, or not a safetensors file"):
        ContentGAN.load(path)


@pytest.mark.parametrize("content", [b"\x80\x04pickle" * 100, b"{}", bytes(64), b"userId,movieId,rating\n1,2,3\n"])
def test_a_file_of_another_kind_is_refused(content, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is truncated, damaged, or not a safetensors file"):
        ContentGAN.load(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_safetensors_of_another_kind_are_refused(metadata, tmp_path):
    path = tmp_path / "model"
    save_file({"weight": torch.zeros(3)}, path, metadata)
    with pytest.raises(ValueError, match=f"{path} is a safetensors file, but not of a ContentGAN"):
        ContentGAN.load(path)


@pytest.mark.parametrize("change", ["missing", "of another shape"])
def test_a_checkpoint_without_its_tensors_is_refused(change, fitted, tmp_path):
    path = tmp_path / "model"
    fitted.save(path)
    about, last, _ = read_checkpoint(path)
    if change == "missing":
        del last.tensors["generator.output.weight"]
    else:
        last.tensors["generator.output.weight"] = torch.zeros(2, 2)
    write_checkpoint(path, Checkpoint(about, last, None))
    with pytest.raises(ValueError, match="does not hold the tensors"):
        ContentGAN.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        ContentGAN.load(tmp_path / "nothing")
