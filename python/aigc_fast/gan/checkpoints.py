"""Checkpoint files: everything that training changes, and what it trains, see :mod:`aigc_fast.array_file`.

Arrays: each tensor of a state under its name, the best epoch's under ``best.name``, the curves under ``history.name``.
Fact: ``about``, as JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aigc_fast import array_file
from aigc_fast.gan.inputs import Matrix
from aigc_fast.gan.state import Snapshot, TrainingState

_FORMAT = array_file.Format("aigc_fast.ContentGAN", "3", "gan")
_BEST, _CURVE = "best.", "history."

Arrays = dict[str, NDArray[Any]]


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
    about = json.dumps(checkpoint.about, allow_nan=False)
    array_file.save(path, _FORMAT, to_arrays(checkpoint), {"about": about})


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what :func:`write_checkpoint` wrote.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is damaged, of another version, or something else than a checkpoint of this package.
    """
    arrays, facts = array_file.load(path, _FORMAT, arrays=set(), facts={"about"})
    return from_arrays(json.loads(facts["about"]), arrays)


def to_arrays(checkpoint: Checkpoint) -> Arrays:
    """Return the arrays of a checkpoint under their names in a file."""
    arrays: Arrays = {name: tensor.numpy() for name, tensor in checkpoint.last.tensors.items()}
    arrays |= {_BEST + name: tensor.numpy() for name, tensor in (checkpoint.best or {}).items()}
    return arrays | {_CURVE + name: np.array(curve) for name, curve in checkpoint.last.history.items()}


def from_arrays(about: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Checkpoint:
    """Return the checkpoint whose arrays :func:`to_arrays` gave; it shares their memory."""
    last: dict[str, Tensor] = {}
    best: dict[str, Tensor] = {}
    history: dict[str, list[float]] = {}
    for name, array in arrays.items():
        if name.startswith(_CURVE):
            history[name.removeprefix(_CURVE)] = array.tolist()
        elif name.startswith(_BEST):
            best[name.removeprefix(_BEST)] = torch.from_numpy(array)
        else:
            last[name] = torch.from_numpy(array)
    return Checkpoint(about, Snapshot(last, history), best or None)


def fingerprint(*arrays: Matrix) -> str:
    """Return a digest of training data, which a checkpoint keeps in the place of the data."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(array.data)
    return digest.hexdigest()


def check_same_run(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise ValueError where a checkpoint is about other settings or data than those wanted."""
    old = found | found["config"]
    new = json.loads(json.dumps(wanted | wanted["config"]))  # as a file would give it back: lists for tuples
    differing = sorted(name for name in new if name != "config" and old.get(name) != new[name])
    if differing:
        raise ValueError(
            f"resume=True goes on with the run that wrote {path}, which had other {', '.join(differing)}; "
            "call fit with the same settings and data, or with resume=False to start anew"
        )


def restore(where: str, state: TrainingState, snapshot: Snapshot) -> None:
    """Put a snapshot into a state; ``where`` names its file where it does not fit."""
    try:
        state.restore(snapshot)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{where} does not hold the tensors that its settings call for: {error}") from error
