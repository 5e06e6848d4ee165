"""
The host side of the CUDA kernels; the public functions are in the package itself.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import typing_extensions

__all__: list[str] = [
    "DeviceMemory",
    "DlpackArray",
    "Matrix",
    "NoImageError",
    "Plan",
    "Request",
    "Segment",
    "compute_capability",
    "count_hits",
    "describe",
    "description_bytes",
    "device_count",
    "device_name",
    "device_of",
    "download",
    "driver_version",
    "fill_hits",
    "kernels_loaded",
    "load_kernels",
    "normalize",
    "override_plan",
    "read_dlpack",
    "replace_driver",
    "similarity",
    "synchronize",
    "topk",
    "upload",
    "wait_for",
]

class NoImageError(RuntimeError):
    pass

class DeviceMemory:
    """
    Device memory.
    """
    def __init__(
        self,
        device: typing.SupportsInt | typing.SupportsIndex,
        stream: typing.SupportsInt | typing.SupportsIndex | None,
        nbytes: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def pointer(self) -> int: ...

class DlpackArray:
    """
    What a DLPack capsule describes.
    """
    @property
    def device(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    @property
    def pointer(self) -> int: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def shape(self) -> list[int]: ...
    @property
    def strides(self) -> list[int]: ...

class Matrix:
    """
    Rows in device memory; strides in elements.
    """
    def __init__(
        self,
        pointer: typing.SupportsInt | typing.SupportsIndex,
        element: str,
        rows: typing.SupportsInt | typing.SupportsIndex,
        dim: typing.SupportsInt | typing.SupportsIndex,
        row_stride: typing.SupportsInt | typing.SupportsIndex,
        column_stride: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    @property
    def column_stride(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def element(self) -> str: ...
    @property
    def pointer(self) -> int: ...
    @property
    def row_stride(self) -> int: ...
    @property
    def rows(self) -> int: ...

class Segment:
    """
    Items of a search, or some; addresses of device memory, 0 for none.
    """
    def __init__(
        self,
        rows: Matrix,
        names: typing.SupportsInt | typing.SupportsIndex = 0,
        allowed: typing.SupportsInt | typing.SupportsIndex = 0,
        description: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...

class Request:
    """
    What a search is asked; addresses of device memory, 0 for none.
    """
    def __init__(
        self,
        queries: Matrix,
        segments: collections.abc.Sequence[Segment],
        metric: str,
        task: str,
        k: typing.SupportsInt | typing.SupportsIndex = 0,
        exclude: tuple[typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex]
        | None = None,
        allow: tuple[typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex]
        | None = None,
        thresholds: typing.SupportsInt | typing.SupportsIndex = 0,
        after: tuple[typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex]
        | None = None,
    ) -> None: ...

class Plan:
    """
    How a request is cut to fit its workspace.
    """
    def __init__(self, request: Request, max_memory: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def coded(self) -> bool:
        """
        By int8 codes, else by float32 rows.
        """
    @property
    def group(self) -> int:
        """
        Queries searched at a time.
        """
    @property
    def workspace(self) -> int:
        """
        Bytes.
        """

def compute_capability(device: typing.SupportsInt | typing.SupportsIndex) -> int:
    """
    Major * 10 + minor.
    """

def count_hits(
    device: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.SupportsInt | typing.SupportsIndex,
    request: Request,
    plan: Plan,
    workspace: typing.SupportsInt | typing.SupportsIndex,
    counts: typing.SupportsInt | typing.SupportsIndex,
    indptr: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    Enqueue the first pass of a threshold search.
    """

def describe(
    device: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.SupportsInt | typing.SupportsIndex,
    rows: Matrix,
    metric: str,
    to: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    Enqueue what scans need to know of items that will be searched again: int8 codes, or their measures.
    """

def description_bytes(
    rows: typing.SupportsInt | typing.SupportsIndex, dim: typing.SupportsInt | typing.SupportsIndex
) -> int:
    """
    Memory that describe() fills.
    """

def device_count() -> int:
    """
    Number of GPUs; raises CudaUnavailable.
    """

def device_name(device: typing.SupportsInt | typing.SupportsIndex) -> str:
    """
    What the driver calls a GPU.
    """

def device_of(pointer: typing.SupportsInt | typing.SupportsIndex) -> int:
    """
    The GPU whose memory a pointer is of.
    """

def download(
    device: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.SupportsInt | typing.SupportsIndex,
    source: typing.SupportsInt | typing.SupportsIndex,
    array: numpy.ndarray,
) -> None:
    """
    Copy to a host array, and wait.
    """

def driver_version() -> int:
    """
    The CUDA version that the driver supports, as 13000.
    """

def fill_hits(
    device: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.SupportsInt | typing.SupportsIndex,
    request: Request,
    plan: Plan,
    workspace: typing.SupportsInt | typing.SupportsIndex,
    counts: typing.SupportsInt | typing.SupportsIndex,
    indptr: typing.SupportsInt | typing.SupportsIndex,
    scores: typing.SupportsInt | typing.SupportsIndex,
    ids: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    Enqueue the second pass of a threshold search, in the workspace of the first.
    """

def kernels_loaded(device: typing.SupportsInt | typing.SupportsIndex) -> bool:
    """
    Whether kernels can be launched.
    """

def load_kernels(device: typing.SupportsInt | typing.SupportsIndex, image: bytes) -> None:
    """
    Load a fatbin or cubin; raises NoImageError where nothing in it fits.
    """

def normalize(
    device: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.SupportsInt | typing.SupportsIndex,
    rows: Matrix,
    out: typing.SupportsInt | typing.SupportsIndex,
    norms: typing.SupportsInt | typing.SupportsIndex = 0,
) -> None:
    """
    Enqueue the division of rows by their norms.
    """

def override_plan(
    coded: bool | None = None,
    spare: typing.SupportsInt | typing.SupportsIndex = 0,
    growth: typing.SupportsInt | typing.SupportsIndex = 0,
    hits: typing.SupportsInt | typing.SupportsIndex = 0,
    panel: typing.SupportsInt | typing.SupportsIndex = 0,
    tiles: typing.SupportsInt | typing.SupportsIndex = 0,
) -> None:
    """
    For tests: make small inputs take the ways of large ones; without arguments, let the planner choose again.
    """

def read_dlpack(capsule: typing_extensions.CapsuleType) -> DlpackArray:
    """
    Read a capsule of GPU memory without consuming it.
    """

def replace_driver(functions: collections.abc.Mapping[str, typing.SupportsInt | typing.SupportsIndex]) -> None:
    """
    For tests: addresses of functions by their symbols stand in for the driver's; {} brings it back.
    """

def similarity(
    device: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.SupportsInt | typing.SupportsIndex,
    request: Request,
    plan: Plan,
    workspace: typing.SupportsInt | typing.SupportsIndex,
    scores: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    Enqueue the scores of all pairs.
    """

def synchronize(
    device: typing.SupportsInt | typing.SupportsIndex, stream: typing.SupportsInt | typing.SupportsIndex
) -> None:
    """
    Wait for a stream.
    """

def topk(
    device: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.SupportsInt | typing.SupportsIndex,
    request: Request,
    plan: Plan,
    workspace: typing.SupportsInt | typing.SupportsIndex,
    scores: typing.SupportsInt | typing.SupportsIndex,
    ids: typing.SupportsInt | typing.SupportsIndex,
    counts: typing.SupportsInt | typing.SupportsIndex,
    width: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    Enqueue a search for the best k (at most width) items of each query.
    """

def upload(
    device: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.SupportsInt | typing.SupportsIndex,
    to: typing.SupportsInt | typing.SupportsIndex,
    array: numpy.ndarray,
) -> None:
    """
    Copy a host array, and wait.
    """

def wait_for(
    device: typing.SupportsInt | typing.SupportsIndex,
    stream: typing.SupportsInt | typing.SupportsIndex,
    other: typing.SupportsInt | typing.SupportsIndex,
) -> None:
    """
    What comes on the stream from now on waits for what is on the other one now.
    """
