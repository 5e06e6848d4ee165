"""Checkpoint files: tensors in the safetensors format, everything else as JSON in its metadata.

Nothing in such a file is code, so that a file from elsewhere can be opened; it is written to a temporary name
and renamed, so that a path always holds a whole file, the old one or the new one.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aigc_fast.gan.state import Snapshot

FORMAT = "aigc_fast.gan 2"  # raise the number when older readers would misunderstand the file
BEST = "best."  # prefix of the best epoch's tensors


class Checkpoint(NamedTuple):
    """What a file holds."""

    about: dict[str, Any]  # what was trained, on what: anything JSON can hold
    last: Snapshot
    best: dict[str, Tensor] | None  # tensors of the epoch to end on; None before the first and after the last


@dataclass(frozen=True)
class CheckpointWriter:
    """Write snapshots of one run to one path."""

    path: Path
    about: dict[str, Any]

    def __call__(self, last: Snapshot, best: dict[str, Tensor] | None) -> None:
        """Replace the file, whole or not at all."""
        write_checkpoint(self.path, Checkpoint(self.about, last, best))


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to ``path``, whole or not at all."""
    tensors = dict(checkpoint.last.tensors)
    for name, tensor in (checkpoint.best or {}).items():
        tensors[BEST + name] = tensor.clone()  # the best epoch may be the last: the format takes no shared memory
    metadata = {
        "format": FORMAT,
        "about": json.dumps(checkpoint.about, allow_nan=False),
        "history": json.dumps(checkpoint.last.history, allow_nan=False),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(save(tensors, metadata))
            file.flush()
            os.fsync(file.fileno())  # or a crash could leave the new name on an empty file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what :func:`write_checkpoint` wrote.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is truncated, or something else than a checkpoint of this package.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(
                    f"{path} is a safetensors file of another kind: "
                    f"its format is {metadata.get('format')!r}, not {FORMAT!r}"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole checkpoint of aigc_fast.gan: {error}") from error
    last = {name: tensor for name, tensor in tensors.items() if not name.startswith(BEST)}
    best = {name.removeprefix(BEST): tensor for name, tensor in tensors.items() if name.startswith(BEST)}
    return Checkpoint(json.loads(metadata["about"]), Snapshot(last, json.loads(metadata["history"])), best or None)
