"""Pictures for users with tastes: the way from images to the drawing, on patterns that are quick to learn."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")

from typer.testing import CliRunner

from aigc_fast import commands
from aigc_fast.data.images import Images
from aigc_fast.demo.pictures import FIGURES_NAME, PICTURES_NAME, Pictures, make_pictures
from aigc_fast.demo.report import render
from aigc_fast.demo.results import write_bytes

KINDS = 10


def patterns(n: int) -> Images:
    """Ten kinds of images, each a bright stripe of its own on some noise."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, KINDS, n)
    pixels = rng.integers(0, 40, (n, 28, 28))
    for image, kind in zip(pixels, kinds, strict=True):
        image[4 + 2 * kind : 6 + 2 * kind] += 200
    return Images(pixels.reshape(n, 784).astype(np.float32), kinds)


@pytest.fixture(scope="module")
def made() -> Pictures:
    return make_pictures(patterns(300), n_items=300, n_users=50, epochs=5)


def test_pictures_follow_the_tastes(made):
    assert made.share_of_taste(4) > 0.4  # of ten kinds a user likes two: chance is 0.2
    generated, nearest = made.generate(np.arange(3), 4)
    assert generated.shape == (3, 4, 784)
    assert (generated >= 0).all()
    cosines = generated.reshape(12, 784).astype(np.float64) @ made.items.T.astype(np.float64)
    assert np.array_equal(nearest.ids[:, 0], cosines.argmax(axis=1))


def test_users_and_items_are_those_drawn(made):
    assert made.items.shape == (300, 784)
    np.testing.assert_allclose(np.linalg.norm(made.items, axis=1), 1, atol=1e-6)
    liked = made.kinds[made.likes.indices]
    of = np.repeat(made.tastes, np.diff(made.likes.indptr), axis=0)
    assert (liked[:, None] == of).any(axis=1).all()
    quality = made.quality()
    assert {"precision", "coverage", "share_of_taste"} <= set(quality)
    cosines = made.items.astype(np.float64) @ made.items.T.astype(np.float64)
    np.fill_diagonal(cosines, -1)
    nearest = made.kinds[cosines.argmax(axis=1)[made.likes.indices]]
    assert quality["real_share_of_taste"] == pytest.approx((nearest[:, None] == of).any(axis=1).mean())


def write_images(folder: Path, images: Images) -> None:
    for name, array in (
        ("images-idx3", images.pixels.reshape(-1, 28, 28).astype(np.uint8)),
        ("labels-idx1", images.kinds.astype(np.uint8)),
    ):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        (folder / f"train-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))


def test_the_command_and_the_report(tmp_path, result):
    write_images(tmp_path, patterns(200))
    options = {"--folder": tmp_path, "--output": tmp_path / "out", "--items": 200, "--users": 20, "--epochs": 1}
    arguments = ["pictures", *(str(part) for option in options.items() for part in option)]
    done = CliRunner().invoke(commands.app, arguments)
    assert done.exit_code == 0, done.output
    drawing = (tmp_path / "out" / PICTURES_NAME).read_bytes()
    assert drawing.startswith(b"\x89PNG")
    figures = json.loads((tmp_path / "out" / FIGURES_NAME).read_text())
    assert f"{figures['coverage']:.4f}" in done.output
    assert 'src="data:image/png;base64,iVBORw0KGgo' in render(result, pictures=drawing)
    assert 'id="pictures"' not in render(result)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / PICTURES_NAME
    write_bytes(path, b"old")

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_images_are_named(tmp_path):
    done = CliRunner().invoke(commands.app, ["pictures", "--folder", str(tmp_path)])
    assert isinstance(done.exception, FileNotFoundError)
    assert "apt-get install dataset-fashion-mnist" in str(done.exception)
