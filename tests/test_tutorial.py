"""The notebooks run from top to bottom, and are kept without outputs."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parent.parent / "docs"
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")


@pytest.mark.parametrize("name", ["tutorial", "images"])
def test_it_is_valid_and_without_outputs(name):
    notebook = nbformat.read(DOCS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) >= 5
    assert not any(cell.outputs or cell.execution_count for cell in cells)


def outputs_of(name: str, folder: Path) -> list:
    """Run a notebook in a folder; return the outputs of its cells."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    pytest.importorskip("typer", reason="the extra demo is not installed")
    notebook = nbformat.read(DOCS / f"{name}.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    return outputs


def images_in(outputs: list) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_tutorial_runs(tmp_path):
    outputs = outputs_of("tutorial", tmp_path)
    assert images_in(outputs) == 3
    assert "Generative" in outputs[-1].data["text/plain"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_pictures_run_on_a_few_made_up_images(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 10, 500, dtype=np.uint8)
    pixels = rng.integers(0, 40, (500, 28, 28), dtype=np.uint8) + 20 * kinds[:, None, None]
    for name, array in (("images-idx3", pixels), ("labels-idx1", kinds)):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        (tmp_path / f"train-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    monkeypatch.setenv("AIGC_FAST_FASHION_MNIST", str(tmp_path))
    monkeypatch.setenv("AIGC_FAST_QUICK", "1")
    outputs = outputs_of("images", tmp_path)
    assert images_in(outputs) == 1
    assert "chance: 0.2" in "".join(output.get("text", "") for output in outputs)
