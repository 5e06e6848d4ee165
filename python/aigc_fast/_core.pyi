"""
The compiled kernels of aigc_fast; the public functions are in the package itself.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

__all__: list[str] = [
    "BASIS_COLUMNS",
    "ItemCodes",
    "ItemSet",
    "MAX_CODED_COLUMNS",
    "ROW_ALIGNMENT",
    "SearchReport",
    "SparseRows",
    "available_isas",
    "get_num_threads",
    "isa",
    "normalize",
    "override_plan",
    "override_sparse_plan",
    "set_isa",
    "set_num_threads",
    "similarity",
    "sparse_topk",
    "threshold",
    "topk",
    "unit_rows",
]

class ItemCodes:
    """
    int8 codes of rows, with the bounds that keep scans exact.
    """
    @staticmethod
    def encode(
        rows: numpy.ndarray,
        ids: typing.Annotated[numpy.typing.ArrayLike, numpy.int64] | None,
        metric: str,
        num_threads: typing.SupportsInt | typing.SupportsIndex,
        progress: collections.abc.Callable[[int], None] | None = None,
        basis: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    ) -> ItemCodes:
        """
        Encode rows, or their heads along a basis, in the space with the smallest residuals on a sample.
        """
    def __init__(
        self,
        rows: typing.SupportsInt | typing.SupportsIndex,
        dim: typing.SupportsInt | typing.SupportsIndex,
        metric: str,
        mean: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None,
        rotated: bool,
        codes: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
        scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        residual: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        reach: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        kinds: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
        basis: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
        by_row: bool = False,
    ) -> None:
        """
        Codes from stored arrays; by_row: as they lie where there are heads.
        """
    def arrays(self) -> dict[str, numpy.ndarray]:
        """
        The arrays, by name; mean only where the space is centred, basis only of heads, row_codes in the place of codes where there are heads.
        """
    def surviving_share(
        self,
        queries: numpy.ndarray,
        rows: numpy.ndarray,
        cutoffs: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    ) -> float:
        """
        Of heads of these rows: the share of pairs that they cannot rule out, with a score to reach each query.
        """
    def with_head(
        self,
        head: ItemCodes,
        survivors: typing.SupportsFloat | typing.SupportsIndex,
        num_threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> ItemCodes:
        """
        The same codes, laid out row after row, with a head that scans look at first.
        """
    @property
    def head(self) -> ItemCodes:
        """
        The codes of the heads, or None.
        """
    @property
    def rotated(self) -> bool:
        """
        Whether the code space is rotated.
        """
    @property
    def survivors(self) -> float:
        """
        The share of rows that heads could not rule out when the index was built.
        """

class ItemSet:
    """
    Rows, and what an index knows of them.
    """
    @typing.overload
    def __init__(self, rows: numpy.ndarray) -> None: ...
    @typing.overload
    def __init__(
        self,
        rows: numpy.ndarray,
        ids: typing.Annotated[numpy.typing.ArrayLike, numpy.int64] | None,
        codes: ItemCodes | None,
        removed_at: typing.Annotated[numpy.typing.ArrayLike, numpy.uint32] | None,
        version: typing.SupportsInt | typing.SupportsIndex,
        removed_count: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...

class SearchReport:
    """
    What a search chose and did.
    """
    def __init__(self) -> None: ...
    @property
    def bf16_cost(self) -> float: ...
    @property
    def block_rows(self) -> int: ...
    @property
    def cascade_cost(self) -> float: ...
    @property
    def dense_cost(self) -> float: ...
    @property
    def direct_cost(self) -> float: ...
    @property
    def f32_cost(self) -> float: ...
    @property
    def head_hits(self) -> int: ...
    @property
    def head_pairs(self) -> int: ...
    @property
    def hits(self) -> int: ...
    @property
    def int8_cost(self) -> float: ...
    @property
    def isa(self) -> str: ...
    @property
    def scan_seconds(self) -> float: ...
    @property
    def score_seconds(self) -> float: ...
    @property
    def scored(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def way(self) -> str: ...

class SparseRows:
    """
    The arrays of a CSR matrix.
    """
    def __init__(
        self,
        indptr: numpy.ndarray,
        columns: numpy.ndarray,
        values: numpy.ndarray,
        cols: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...

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
    way: str | None = None,
    threads: typing.SupportsInt | typing.SupportsIndex = 0,
    block_rows: typing.SupportsInt | typing.SupportsIndex = 0,
    first_stride: typing.SupportsInt | typing.SupportsIndex = 0,
) -> None:
    """
    For tests: make small inputs take the ways of large ones ('direct', 'f32', 'dense', 'bf16', 'int8', 'cascade'); without arguments, let the planner choose again.
    """

def override_sparse_plan(
    way: typing.SupportsInt | typing.SupportsIndex = 0,
    no_integers: bool = False,
    block_rows: typing.SupportsInt | typing.SupportsIndex = 0,
) -> None:
    """
    For tests: make small inputs take the ways of large ones (1: queries one by one, 2: panels, 3: panels that score a pair once for both); without arguments, let the planner choose again.
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

def sparse_topk(
    queries: SparseRows,
    items: SparseRows,
    k: typing.SupportsInt | typing.SupportsIndex,
    thresholds: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None,
    metric: str,
    shrink: typing.SupportsFloat | typing.SupportsIndex,
    min_overlap: typing.SupportsInt | typing.SupportsIndex,
    exclude_self: bool,
    num_threads: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64]]:
    """
    The best k items of each query among those that share columns with it: (indptr, ids, float64 scores).
    """

def threshold(
    queries: numpy.ndarray,
    items: ItemSet,
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
    items: ItemSet,
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
    report: SearchReport | None = None,
) -> None:
    """
    Write the best k items of each query into scores, ids and counts.
    """

def unit_rows(rows: numpy.ndarray, metric: str) -> numpy.typing.NDArray[numpy.float32]:
    """
    Rows as scans see them: float32, unit rows for cosine, centred ones for Pearson.
    """

BASIS_COLUMNS: int = 32
MAX_CODED_COLUMNS: int = 32768
ROW_ALIGNMENT: int = 64
