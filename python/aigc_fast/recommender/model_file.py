"""The file of a recommender, see :mod:`aigc_fast.array_file`.

Tensors: each learned array under its attribute's name; a CSR matrix as ``name.data``, ``name.indices``,
``name.indptr`` and ``name.shape``; a dict of arrays as ``name.key`` each. Facts: ``class`` and, as JSON, the
``parameters`` of its constructor.
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
        elif isinstance(value, dict):
            arrays |= {f"{name}.{key}": array for key, array in value.items()}
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
        prefix = f"{name}."
        parts = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
        if not parts:
            raise ValueError(f"{path} is damaged: it lacks {name}")
        learned[name] = parts
        if parts.keys() == set(_CSR_PARTS):
            try:
                learned[name] = _csr(**parts)
            except ValueError as error:
                raise ValueError(f"{path} is damaged: {name} is no valid CSR matrix: {error}") from None
    return json.loads(facts["parameters"]), learned


def _csr(
    data: npt.NDArray[Any], indices: npt.NDArray[Any], indptr: npt.NDArray[Any], shape: npt.NDArray[Any]
) -> csr_matrix:
    matrix = csr_matrix((data, indices, indptr), shape=tuple(shape.tolist()))
    matrix.check_format(full_check=True)  # SciPy's products trust the indices
    return matrix
