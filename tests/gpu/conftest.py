"""A fake driver whose launches the PTX simulator runs, and stand-ins for torch and CuPy on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aigc_fast import _cuda
from aigc_fast.gpu import image

from .device import ptx
from .fake_driver import FakeDriver
from .frameworks import frameworks


@pytest.fixture
def shipped_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image that every fake driver takes, whatever this build has."""
    (tmp_path / "kernels.fatbin").write_bytes(b"fake")
    monkeypatch.setattr(image, "KERNELS", tmp_path)
    return tmp_path / "kernels.fatbin"


@pytest.fixture
def driver(shipped_image: Path) -> Iterator[FakeDriver]:
    with FakeDriver(ptx()) as fake:
        yield fake
    _cuda.override_plan()


@pytest.fixture
def fakes(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    with frameworks(driver, monkeypatch) as made:
        yield made


def on_host(result: Any) -> Any:
    """A result of fake arrays, as NumPy arrays."""
    return type(result)(*(part.numpy() for part in result))
