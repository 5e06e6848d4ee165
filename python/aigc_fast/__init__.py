"""Exact cosine top-K and threshold search at scan speed, with a GAN and a recommender built on it.

The functions here need NumPy alone. ``aigc_fast.gan``, ``aigc_fast.recommender`` and ``aigc_fast.data`` are imported
on first use and name the extra that brings what they need.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from aigc_fast._core import available_isas, get_num_threads, isa, set_num_threads
from aigc_fast._version import __version__
from aigc_fast.errors import CudaUnavailable, MissingExtraError
from aigc_fast.graph import knn_graph
from aigc_fast.index import CosineIndex
from aigc_fast.similarity import (
    ThresholdHits,
    TopK,
    cosine_similarity,
    cosine_threshold,
    cosine_topk,
    normalize,
)
from aigc_fast.sparse import sparse_cosine_topk

__all__ = [
    "CosineIndex",
    "CudaUnavailable",
    "MissingExtraError",
    "ThresholdHits",
    "TopK",
    "__version__",
    "available_isas",
    "cosine_similarity",
    "cosine_threshold",
    "cosine_topk",
    "get_num_threads",
    "isa",
    "knn_graph",
    "normalize",
    "set_num_threads",
    "sparse_cosine_topk",
]

_SUBPACKAGES = ("data", "gan", "recommender")


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_SUBPACKAGES]
