"""Stand-ins for torch and CuPy on the fake driver: arrays in simulated memory, with the protocols of the real ones."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from .fake_driver import FakeDriver

_CAPSULE_POINTER = ctypes.pythonapi.PyCapsule_GetPointer
_CAPSULE_POINTER.restype, _CAPSULE_POINTER.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
CUDA = 2


class GpuArray:
    """What both frameworks' arrays have; ``stream`` is where their contents are written."""

    driver: FakeDriver
    gpu = 0
    current_stream = 7
    out_of_memory: type[Exception] = MemoryError  # as CuPy's

    def __init__(self, host: np.ndarray, stream: int | None = None) -> None:
        self.layout = "torch.strided"
        self.like = np.empty_like(host)  # shape, dtype and strides
        self.like.flags.writeable = host.flags.writeable
        self.stream = self.current_stream if stream is None else stream
        allocated = self.driver.allocate(self.span)
        if allocated is None:
            raise self.out_of_memory(f"tried to allocate {self.span} bytes")
        self.pointer = allocated

    @classmethod
    def of(cls, host: np.ndarray, stream: int | None = None) -> Any:
        """Copy from the host, on a stream."""
        array = cls(host, stream=stream)
        array[...] = host
        return array

    @property
    def span(self) -> int:
        steps = zip(self.like.shape, self.like.strides, strict=True)
        return self.like.itemsize + sum((n - 1) * step for n, step in steps) if self.like.size else 0

    shape = property(lambda self: self.like.shape)
    ndim = property(lambda self: self.like.ndim)
    dtype = property(lambda self: self.like.dtype)

    def __setitem__(self, where: Any, values: Any) -> None:
        assert where in (Ellipsis, slice(None))
        heap, written = self.driver.machine.heap.memory, values

        def write() -> None:
            host = np.zeros(self.span, np.uint8)
            view = np.ndarray(self.like.shape, self.like.dtype, host.data if host.size else b"", 0, self.like.strides)
            view[...] = written.read() if isinstance(written, GpuArray) else written
            heap.write(self.pointer, host.tobytes())

        self.driver._enqueue(self.stream, write)

    def read(self) -> np.ndarray:
        """What the memory holds now."""
        data = self.driver.machine.heap.memory.read(self.pointer, self.span)
        return np.ndarray(self.like.shape, self.like.dtype, data, 0, self.like.strides).copy()

    def numpy(self) -> np.ndarray:
        """Wait for everything, and read."""
        self.driver.run()
        return self.read()

    def _astype(self, dtype: Any) -> Any:
        result = type(self)(np.empty(self.like.shape, dtype))
        result[...] = self
        return result

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.like.shape, "typestr": self.like.dtype.str, "version": 3, "stream": self.stream,
            "data": (self.pointer, not self.like.flags.writeable),
            "strides": None if self.like.flags.c_contiguous else self.like.strides,
        }  # fmt: skip


class DlpackArray(GpuArray):
    """Adds DLPack: NumPy's own capsule, its address and device changed."""

    versioned = True

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA, self.gpu

    def __dlpack__(self, *, stream: int, **version: Any) -> Any:
        if version and not self.versioned:
            raise TypeError("max_version")
        assert stream not in (0, None)
        if stream != self.stream and stream != -1:
            happened: list[bool] = []
            self.driver._enqueue(self.stream, lambda: happened.append(True))
            self.driver._enqueue(stream, lambda: bool(happened))
        capsule = self.like.__dlpack__(**version)
        tensor = _CAPSULE_POINTER(capsule, b"dltensor_versioned" if version else b"dltensor") + (32 if version else 0)
        ctypes.c_uint64.from_address(tensor).value = self.pointer
        ctypes.c_int32.from_address(tensor + 8).value = CUDA
        ctypes.c_int32.from_address(tensor + 12).value = self.gpu
        return capsule


class CuPyArray(DlpackArray):
    data = property(lambda self: SimpleNamespace(ptr=self.pointer))

    def get(self) -> np.ndarray:
        return self.numpy()

    def astype(self, dtype: Any) -> Any:
        return self._astype(dtype)


class OutOfMemoryError(RuntimeError):
    """As torch's."""


class TorchTensor(DlpackArray):
    out_of_memory = OutOfMemoryError
    current_device = 0
    device = property(lambda self: SimpleNamespace(type="cuda", index=self.gpu))

    def __dlpack__(self, *, stream: int, **version: Any) -> Any:
        if self.gpu != self.current_device:
            raise BufferError("Can't export tensors on a different CUDA device index")
        return super().__dlpack__(stream=stream, **version)

    def detach(self) -> Any:
        return self

    resolve_conj = resolve_neg = detach

    def cpu(self) -> np.ndarray:
        return self.numpy()

    def data_ptr(self) -> int:
        return self.pointer

    def to(self, dtype: Any) -> Any:
        return self._astype(dtype)


def module_of(name: str, array: type[GpuArray], driver: FakeDriver) -> ModuleType:
    module: Any = ModuleType(name)
    module.Array = type("Tensor" if name == "torch" else "ndarray", (array,), {"__module__": name, "driver": driver})
    for dtype in ("uint8", "int32", "int64", "float32", "float64"):
        setattr(module, dtype, np.dtype(dtype))
    module.empty = lambda shape, dtype, device="cuda:0": module.Array(np.empty(shape, dtype))
    module.full = lambda shape, value, dtype, device="cuda:0": module.Array.of(np.full(shape, value, dtype))

    @contextlib.contextmanager
    def current_device(device: int) -> Iterator[None]:
        module.Array.current_device = device
        yield
        module.Array.current_device = 0

    stream = SimpleNamespace(ptr=module.Array.current_stream, cuda_stream=module.Array.current_stream)
    module.cuda = SimpleNamespace(
        current_stream=lambda device: stream,
        get_current_stream=lambda: stream,
        Device=lambda device: contextlib.nullcontext(),
        OutOfMemoryError=OutOfMemoryError,
        device=current_device,
    )
    return module


@contextlib.contextmanager
def frameworks(driver: FakeDriver, monkeypatch: Any) -> Iterator[SimpleNamespace]:
    """Put both in the place of the real ones."""
    made = {"torch": module_of("torch", TorchTensor, driver), "cupy": module_of("cupy", CuPyArray, driver)}
    with monkeypatch.context() as patch:
        for name, module in made.items():
            patch.setitem(sys.modules, name, module)
        yield SimpleNamespace(**made)
