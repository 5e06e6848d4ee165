"""Whose memory and stream a call uses: those of torch or CuPy, or our own where all arrays are the host's."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from aigc_fast import _cuda
from aigc_fast.arrays import is_torch_tensor
from aigc_fast.device import gpu_of

LEGACY_STREAM, PER_THREAD_STREAM = 1, 2  # handles of the driver, and DLPack's names for these streams


class Memory(Protocol):
    """An allocator on one GPU whose memory is ordered by ``stream``."""

    device: int
    stream: int

    def owns(self, array: Any) -> bool:
        """Tell whether an array is of the framework, so that its current stream orders it."""

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        """Return an array of the framework, C-contiguous and uninitialized."""

    def full(self, count: int, value: float) -> Any:
        """Return ``count`` float64 values."""

    def pointer(self, array: Any) -> int:
        """Return the address of an array that ``empty`` made."""

    def astype(self, array: Any, dtype: npt.DTypeLike) -> Any:
        """Return the framework's own array in another dtype."""


class TorchMemory:
    """torch's caching allocator and current stream."""

    def __init__(self, device: int) -> None:
        import torch

        self._torch: Any = torch
        self.device = device
        self.stream: int = torch.cuda.current_stream(device).cuda_stream or LEGACY_STREAM

    def owns(self, array: Any) -> bool:  # noqa: D102
        return is_torch_tensor(array)

    def _dtype(self, dtype: npt.DTypeLike) -> Any:
        return getattr(self._torch, np.dtype(dtype).name)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:  # noqa: D102
        return self._torch.empty(shape, dtype=self._dtype(dtype), device=f"cuda:{self.device}")

    def full(self, count: int, value: float) -> Any:  # noqa: D102
        return self._torch.full((count,), value, dtype=self._torch.float64, device=f"cuda:{self.device}")

    def pointer(self, array: Any) -> int:  # noqa: D102
        return int(array.data_ptr())

    def astype(self, array: Any, dtype: npt.DTypeLike) -> Any:  # noqa: D102
        return array.to(self._dtype(dtype))


def _is_cupy(x: object) -> bool:
    return type(x).__module__.partition(".")[0] == "cupy"


class CuPyMemory:
    """CuPy's memory pool and current stream."""

    def __init__(self, device: int) -> None:
        import cupy

        self._cupy: Any = cupy
        self.device = device
        with cupy.cuda.Device(device):
            self.stream: int = cupy.cuda.get_current_stream().ptr or LEGACY_STREAM

    def owns(self, array: Any) -> bool:  # noqa: D102
        return _is_cupy(array)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:  # noqa: D102
        with self._cupy.cuda.Device(self.device):
            return self._cupy.empty(shape, np.dtype(dtype))

    def full(self, count: int, value: float) -> Any:  # noqa: D102
        with self._cupy.cuda.Device(self.device):
            return self._cupy.full(count, value, np.float64)

    def pointer(self, array: Any) -> int:  # noqa: D102
        return int(array.data.ptr)

    def astype(self, array: Any, dtype: npt.DTypeLike) -> Any:  # noqa: D102
        with self._cupy.cuda.Device(self.device):
            return array.astype(np.dtype(dtype))


class _OwnArray(NamedTuple):
    buffer: _cuda.DeviceMemory
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class OwnMemory:
    """The driver's stream-ordered pool and the thread's own stream, for calls without any GPU array."""

    def __init__(self, device: int) -> None:
        self.device = device
        self.stream = PER_THREAD_STREAM

    def owns(self, array: Any) -> bool:  # noqa: D102
        return isinstance(array, _OwnArray)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:  # noqa: D102
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return _OwnArray(_cuda.DeviceMemory(self.device, self.stream, size), shape, np.dtype(dtype))

    def full(self, count: int, value: float) -> Any:  # noqa: D102
        return upload(self, np.full(count, value))

    def pointer(self, array: Any) -> int:  # noqa: D102
        return int(array.buffer.pointer)

    def astype(self, array: Any, dtype: npt.DTypeLike) -> Any:  # noqa: D102
        raise NotImplementedError("no caller has such arrays")


def upload(memory: Memory, array: npt.NDArray[Any]) -> Any:
    """Copy a host array to new memory; waits for the copy, since the caller may change the array afterwards."""
    copy = memory.empty(array.shape, array.dtype)
    _cuda.upload(memory.device, memory.stream, memory.pointer(copy), np.ascontiguousarray(array))
    return copy


def memory_of(device: int, leader: Any, *others: Any) -> Memory:
    """Choose by the first array that lives on a GPU.

    Raises
    ------
    TypeError
        That array is of neither torch nor CuPy.
    """
    for x in (leader, *others):
        if x is None or gpu_of(x) is None:
            continue
        if is_torch_tensor(x):
            return TorchMemory(device)
        if _is_cupy(x):
            return CuPyMemory(device)
        kind = f"{type(x).__module__}.{type(x).__name__}"
        raise TypeError(
            f"results live where the arrays do, and cannot be made for a {kind}; pass torch.from_dlpack(x) or"
            " cupy.asarray(x), which copy nothing"
        )
    return OwnMemory(device)
