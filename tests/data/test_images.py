from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from aigc_fast.data import load_fashion_mnist, tasteful_users


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write an array of bytes in the IDX format."""
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(head + array.tobytes()))


@pytest.fixture
def folder(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for name, n in (("train", 7), ("t10k", 3)):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte.gz", rng.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte.gz", rng.integers(0, 10, n, dtype=np.uint8))
    return tmp_path


def test_images_and_kinds_are_read(folder):
    rng = np.random.default_rng(0)
    images, kinds = load_fashion_mnist(folder=folder)
    assert np.array_equal(images, rng.integers(0, 256, (7, 28, 28), dtype=np.uint8).reshape(7, 784))
    assert np.array_equal(kinds, rng.integers(0, 10, 7, dtype=np.uint8))
    assert (images.dtype, kinds.dtype) == (np.float32, np.int64)
    assert len(load_fashion_mnist("test", folder).pixels) == 3


def test_missing_and_broken_files_are_named(folder):
    with pytest.raises(ValueError, match="part is 'validation'"):
        load_fashion_mnist("validation", folder)
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist"):
        load_fashion_mnist(folder=folder / "nowhere")
    labels = folder / "train-labels-idx1-ubyte.gz"
    write_idx(labels, np.zeros(6, np.uint8))
    with pytest.raises(ValueError, match="7 images and 6 labels"):
        load_fashion_mnist(folder=folder)
    for content in (b"", b"\0\0\x08\x01\0\0\0\x07123", b"\0\0\x0d\x01" + bytes(4)):
        labels.write_bytes(gzip.compress(content))
        with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte\.gz is not a whole IDX file"):
            load_fashion_mnist(folder=folder)
    whole = gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 7]) + bytes(7))
    changed = bytearray(whole)
    changed[-5] ^= 1  # in the checksum
    negative = gzip.compress(bytes([0, 0, 8, 3]) + np.array([-1, -7, 1], ">i4").tobytes() + bytes(7))
    for name, content in (("labels-idx1", whole[:-3]), ("labels-idx1", b"plain"), ("labels-idx1", changed)):
        (folder / f"train-{name}-ubyte.gz").write_bytes(content)
        with pytest.raises(ValueError, match=rf"train-{name}-ubyte\.gz is not a whole IDX file"):
            load_fashion_mnist(folder=folder)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(negative)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz is not a whole IDX file"):
        load_fashion_mnist(folder=folder)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_users": 0}, ValueError, "n_users must be at least 1, got 0"),
        ({"n_users": True}, TypeError, "n_users must be an integer"),
        ({"tastes": 0}, ValueError, "tastes must be at least 1, got 0"),
        ({"tastes": 6}, ValueError, "tastes must be at most 5, the number of kinds, got 6"),
        ({"likes": 0}, ValueError, "likes must be at least 1, got 0"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"kinds": np.zeros((2, 2), int)}, ValueError, "kinds must be one-dimensional"),
        ({"kinds": [0.5]}, TypeError, "kinds must hold integers"),
    ],
)
def test_tasteful_users_refuse_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        tasteful_users(**{"kinds": np.arange(50) % 5, "n_users": 3, **arguments})


def test_users_like_items_of_their_kinds():
    kinds = np.random.default_rng(1).integers(0, 6, 500)
    likes, tastes = tasteful_users(kinds, 40, tastes=2, likes=15, seed=3)
    assert likes.shape == (40, 500)
    assert (np.diff(likes.indptr) == 15).all()
    assert likes.has_canonical_format
    for user in range(40):
        assert set(kinds[likes[user].indices]) <= set(tastes[user])
        assert tastes[user, 0] < tastes[user, 1]
    assert len({tuple(own) for own in tastes}) > 8  # of 15 pairs
    again, _ = tasteful_users(kinds, 40, tastes=2, likes=15, seed=3)
    assert (again != likes).nnz == 0
    few, _ = tasteful_users(np.array([0, 1, 1]), 2, tastes=1, likes=5)
    assert set(np.diff(few.indptr)) <= {1, 2}
