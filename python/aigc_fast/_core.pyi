"""
The compiled kernels of aigc_fast; the public functions are in the package itself.
"""

from __future__ import annotations

import typing

import numpy
import numpy.typing

__all__: list[str] = [
    "available_isas",
    "get_num_threads",
    "isa",
    "normalize",
    "override_plan",
    "set_isa",
    "set_num_threads",
    "similarity",
    "threshold",
    "topk",
]

def available_isas() -> list[str]:
    """
    The instruction sets that this machine and build have, best first.
    """

def get_num_threads() -> int:
    """
    Threads used where a call names none.
    """

def isa() -> str:
    """
    The instruction set in use.
    """

def normalize(
    x: numpy.ndarray,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
    out: numpy.ndarray,
    norms: numpy.ndarray | None,
) -> None:
    """
    Write the rows divided by their norms into out, and the norms.
    """

def override_plan(
    direct: bool | None = None,
    threads: typing.SupportsInt | typing.SupportsIndex = 0,
    block_rows: typing.SupportsInt | typing.SupportsIndex = 0,
) -> None:
    """
    For tests: make small inputs take the ways of large ones; without arguments, let the planner choose again.
    """

def set_isa(name: str) -> None:
    """
    Use another instruction set from the next call on (for tests and comparisons).
    """

def set_num_threads(count: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Set the number of threads used where a call names none.
    """

def similarity(
    a: numpy.ndarray,
    b: numpy.ndarray,
    metric: str,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
    out: numpy.ndarray,
) -> None:
    """
    Write all canonical scores into out.
    """

def threshold(
    queries: numpy.ndarray,
    items: numpy.ndarray,
    thresholds: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    metric: str,
    exclude: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.int64], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ]
    | None,
    allow: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.int64], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ]
    | None,
    allow_ids: typing.Annotated[numpy.typing.ArrayLike, numpy.int64] | None,
    after: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.float64], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ]
    | None,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64]]:
    """
    All items that reach their query's threshold: (indptr, ids, float64 scores).
    """

def topk(
    queries: numpy.ndarray,
    items: numpy.ndarray,
    k: typing.SupportsInt | typing.SupportsIndex,
    thresholds: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None,
    metric: str,
    exclude: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.int64], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ]
    | None,
    allow: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.int64], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ]
    | None,
    allow_ids: typing.Annotated[numpy.typing.ArrayLike, numpy.int64] | None,
    after: tuple[
        typing.Annotated[numpy.typing.ArrayLike, numpy.float64], typing.Annotated[numpy.typing.ArrayLike, numpy.int64]
    ]
    | None,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
    scores: numpy.ndarray,
    ids: numpy.typing.NDArray[numpy.int64],
    counts: numpy.typing.NDArray[numpy.int64],
) -> None:
    """
    Write the best k items of each query into scores, ids and counts.
    """
