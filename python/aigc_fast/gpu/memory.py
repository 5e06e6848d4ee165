"""Whose memory and stream a call uses: those of torch or CuPy, or our own where all arrays are the host's."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from aigc_fast import _cuda
from aigc_fast.arrays import as_count, is_torch_tensor
from aigc_fast.device import gpu_of

LEGACY_STREAM, PER_THREAD_STREAM = 1, 2  # handles of the driver, and DLPack's names for these streams
WORKSPACE_BYTES = 1 << 30  # the default of max_memory
_FEWEST_BYTES = 1 << 12

T = TypeVar("T")


class Memory(Protocol):
    """An allocator on one GPU whose memory is ordered by ``stream``; raises MemoryError, which names the bytes."""

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


class Framework(Memory, Protocol):
    """The memory of a framework whose arrays live on the GPU."""

    def astype(self, array: Any, dtype: npt.DTypeLike) -> Any:
        """Return the framework's own array in another dtype."""

    def on_host(self, array: Any) -> Any:
        """Return the framework's own array as one that the CPU reads; waits for it."""


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
        with self._memory_errors():
            return self._torch.empty(shape, dtype=self._dtype(dtype), device=f"cuda:{self.device}")

    def full(self, count: int, value: float) -> Any:  # noqa: D102
        with self._memory_errors():
            return self._torch.full((count,), value, dtype=self._torch.float64, device=f"cuda:{self.device}")

    def pointer(self, array: Any) -> int:  # noqa: D102
        return int(array.data_ptr())

    def astype(self, array: Any, dtype: npt.DTypeLike) -> Any:  # noqa: D102
        with self._memory_errors():
            return array.to(self._dtype(dtype))

    def on_host(self, array: Any) -> Any:  # noqa: D102
        return array.detach().cpu()

    @contextlib.contextmanager
    def _memory_errors(self) -> Iterator[None]:
        try:
            yield
        except self._torch.cuda.OutOfMemoryError as error:  # a RuntimeError
            raise MemoryError(str(error)) from None


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

    def on_host(self, array: Any) -> Any:  # noqa: D102
        return array.get()


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


def upload(memory: Memory, array: npt.NDArray[Any]) -> Any:
    """Copy a host array to new memory; waits for the copy, since the caller may change the array afterwards."""
    copy = memory.empty(array.shape, array.dtype)
    _cuda.upload(memory.device, memory.stream, memory.pointer(copy), np.ascontiguousarray(array))
    return copy


class Budget:
    """Bytes that a call may use beside its inputs and results: the caller's number, or as many as there is room for."""

    def __init__(self, max_memory: int | None) -> None:
        self._bytes = WORKSPACE_BYTES if max_memory is None else as_count(max_memory, "max_memory", 1)
        self._is_callers = max_memory is not None

    def fit(self, make: Callable[[int], T]) -> T:
        """Return ``make(bytes)``, with ever fewer bytes where they are ours to choose and the GPU has no room."""
        shortage: MemoryError | None = None
        try:
            while True:
                try:
                    return make(self._bytes)
                except MemoryError as error:
                    shortage = shortage or error.with_traceback(None)  # whose frames would keep what was allocated
                if self._is_callers or self._bytes <= _FEWEST_BYTES:
                    raise shortage
                self._bytes //= 2
        finally:
            shortage = None  # it knows this frame, and so kept what the callers have


def device_scope(device: int, x: Any) -> contextlib.AbstractContextManager[Any]:
    """Make a device the current one of an array's framework, as torch's DLPack wants it."""
    if is_torch_tensor(x):
        import torch

        return torch.cuda.device(device)
    if _is_cupy(x):
        import cupy

        scope: contextlib.AbstractContextManager[Any] = cupy.cuda.Device(device)
        return scope
    return contextlib.nullcontext()


def framework_of(device: int, x: Any) -> Framework:
    """Return the memory of an array's framework.

    Raises
    ------
    TypeError
        The array is of neither torch nor CuPy.
    """
    if is_torch_tensor(x):
        return TorchMemory(device)
    if _is_cupy(x):
        return CuPyMemory(device)
    kind = f"{type(x).__module__}.{type(x).__name__}"
    raise TypeError(
        f"memory comes from the arrays' framework, and a {kind} has none; pass torch.from_dlpack(x) or"
        " cupy.asarray(x), which copy nothing"
    )


def memory_of(device: int, *arrays: Any) -> Memory:
    """Choose by the first array that lives on a GPU; our own without any."""
    leader = next((x for x in arrays if x is not None and gpu_of(x) is not None), None)
    return OwnMemory(device) if leader is None else framework_of(device, leader)


def give_back(memory: Memory, *arrays: Any) -> None:
    """Let the streams of other frameworks wait for what reads their arrays, which the caller may drop at once."""
    for x in arrays:
        if x is None or gpu_of(x) is None or memory.owns(x):
            continue
        stream: int | None
        if is_torch_tensor(x) or _is_cupy(x):
            stream = framework_of(memory.device, x).stream
        else:
            stream = getattr(x, "__cuda_array_interface__", {}).get("stream")
        if stream is not None:
            _cuda.wait_for(memory.device, stream, memory.stream)
