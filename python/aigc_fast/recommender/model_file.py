"""The file of a recommender, see :mod:`aigc_fast.array_file`.

Tensors: each learned array under its attribute's name; a CSR matrix as ``name.data``, ``name.indices``,
``name.indptr`` and ``name.shape``. Facts: ``class`` and, as JSON, the ``parameters`` of its constructor.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, issparse

from aigc_fast import array_file

_FORMAT = array_file.Format("aigc_fast.Recommender", "1", "recommender")
_CSR_PARTS = ("data", "indices", "indptr", "shape")


def save(path: str | os.PathLike[str], kind: str, parameters: Mapping[str, Any], learned: Mapping[str, Any]) -> None:
    """Write a model, whole or not at all."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, value in learned.items():
        if issparse(value):
            arrays |= {f"{name}.{part}": np.asarray(getattr(value, part)) for part in _CSR_PARTS}
        else:
            arrays[name] = value
    array_file.save(path, _FORMAT, arrays, {"class": kind, "parameters": json.dumps(parameters)})


def load(path: str | os.PathLike[str], kind: str, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read (parameters, learned).

    Raises
    ------
    ValueError
        The file is damaged, of another version, or of another class than ``kind``.
    """
    arrays, facts = array_file.load(path, _FORMAT, arrays=set(), facts={"class", "parameters"})
    if facts["class"] != kind:
        raise ValueError(f"{path} holds a fitted {facts['class']}; {kind} is taken")
    learned: dict[str, Any] = {}
    for name in names:
        if name in arrays:
            learned[name] = arrays[name]
            continue
        parts = [arrays.get(f"{name}.{part}") for part in _CSR_PARTS]
        if any(part is None for part in parts):
            raise ValueError(f"{path} is damaged: it lacks {name}")
        data, indices, indptr, shape = parts
        learned[name] = csr_matrix((data, indices, indptr), shape=tuple(shape.tolist()))  # type: ignore[union-attr]
    return json.loads(facts["parameters"]), learned
