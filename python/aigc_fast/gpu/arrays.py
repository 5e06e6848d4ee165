"""Callers' arrays as what the kernels take, without copies for arrays on the GPU; and where results are written.

GPU arrays are read by DLPack, else by ``__cuda_array_interface__``: both make our stream wait for the one on which the
array is still being computed, and neither waits on the host.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aigc_fast import _cuda, arrays
from aigc_fast.device import gpu_of
from aigc_fast.gpu.memory import Memory, device_scope, framework_of, upload

_NO_WAIT = -1  # of DLPack's streams
_ELEMENTS = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16", "int8": "i8"}
SIZES = {"f32": 4, "f64": 8, "f16": 2, "bf16": 2, "i8": 1}
_EXACT_IN_FLOAT32 = frozenset(("bool", "uint8", "int16", "uint16"))
_EXACT_IN_FLOAT64 = frozenset(("int32", "uint32", "int64", "uint64"))  # as the CPU converts them


class View(NamedTuple):
    """An array on the GPU."""

    pointer: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements
    read_only: bool
    owner: Any  # keeps the memory


class Matrix(NamedTuple):
    """A two-dimensional argument on the GPU, ready for the kernels."""

    rows: _cuda.Matrix
    is_float64: bool
    place: npt.NDArray[Any]  # where the caller's memory is
    owner: Any


def view(x: Any, name: str, memory: Memory) -> View:
    """View an array that lives on the GPU.

    Raises
    ------
    TypeError
        The array cannot be read by DLPack nor ``__cuda_array_interface__``.
    """
    if arrays.is_torch_tensor(x):
        if str(x.layout) != "torch.strided":
            raise TypeError(f"{name} is a torch tensor of layout {x.layout}; pass {name}.to_dense()")
        x = x.detach().resolve_conj().resolve_neg()
    if not hasattr(x, "__dlpack__"):
        return _cuda_array_interface(x, name, memory)
    stream = _NO_WAIT if memory.owns(x) else memory.stream
    try:
        with device_scope(memory.device, x):
            try:
                capsule = x.__dlpack__(stream=stream, max_version=(1, 0))
            except TypeError:  # before DLPack 1.0
                capsule = x.__dlpack__(stream=stream)
        array = _cuda.read_dlpack(capsule)
    except (BufferError, ValueError) as error:
        raise TypeError(f"{name}: this {type(x).__name__} cannot be read by DLPack ({error})") from None
    return View(array.pointer, array.dtype, tuple(array.shape), tuple(array.strides), array.read_only, (x, capsule))


def _cuda_array_interface(x: Any, name: str, memory: Memory) -> View:
    """Version 3; earlier ones lack the stream alone."""
    interface = x.__cuda_array_interface__
    dtype, shape = np.dtype(interface["typestr"]), tuple(interface["shape"])
    if interface.get("mask") is not None:
        raise TypeError(f"{name} has a mask, which the kernels do not see")
    strides = interface.get("strides") or tuple(dtype.itemsize * step for step in _contiguous(shape))
    if any(step % dtype.itemsize for step in strides):
        raise TypeError(f"{name} has strides that are not whole elements")
    stream = interface.get("stream")
    if stream is not None:
        _cuda.wait_for(memory.device, memory.stream, stream)
    pointer, read_only = interface["data"]
    element = dtype.name if dtype.isnative else str(dtype)
    return View(pointer, element, shape, tuple(s // dtype.itemsize for s in strides), read_only, x)


def _place_of(array: View, size: int) -> npt.NDArray[Any]:
    """Return an array that says where GPU memory is, for NumPy's tests of overlap; it cannot be read."""
    strides = tuple(size * step for step in array.strides)
    where = {"data": (array.pointer, True), "shape": array.shape, "strides": strides, "typestr": f"|V{size}"}
    return np.asarray(SimpleNamespace(__array_interface__={"version": 3, **where}))


def element_of(host: npt.NDArray[Any]) -> str:
    """Name a host array's elements as the kernels do; uint16 holds the bits of bfloat16."""
    return "bf16" if host.dtype == np.uint16 else _ELEMENTS[host.dtype.name]


def contiguous(pointer: int, host: npt.NDArray[Any]) -> _cuda.Matrix:
    """Describe the copy of host rows at an address."""
    return _cuda.Matrix(pointer, element_of(host), len(host), host.shape[1], host.shape[1], 1)


def rows_from(matrix: _cuda.Matrix, first: int, count: int) -> _cuda.Matrix:
    """Return at most ``count`` rows of a matrix, from the first on."""
    pointer = matrix.pointer + first * matrix.row_stride * SIZES[matrix.element]
    strides = matrix.row_stride, matrix.column_stride
    return _cuda.Matrix(pointer, matrix.element, min(count, matrix.rows - first), matrix.dim, *strides)


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a C-contiguous array, in elements."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def as_matrix(x: Any, name: str, memory: Memory) -> Matrix:
    """View, convert or copy a rows-by-columns argument; errors as of :func:`aigc_fast.arrays.as_matrix`."""
    if gpu_of(x) is None:
        host = arrays.as_matrix(x, name).array
        copy = upload(memory, host)
        return Matrix(contiguous(memory.pointer(copy), host), host.dtype == np.float64, host, copy)
    array = view(x, name, memory)
    if array.dtype not in _ELEMENTS:
        array = view(_converted(x, array.dtype, name, memory), name, memory)
    if len(array.shape) != 2:
        hint = "; pass one row as x.reshape(1, -1)" if len(array.shape) == 1 else ""
        raise ValueError(f"{name} must be two-dimensional (rows, columns), got shape {array.shape}{hint}")
    element = _ELEMENTS[array.dtype]
    size = SIZES[element]
    if array.pointer % size:
        raise ValueError(f"{name} does not lie at a multiple of its elements' size, which GPUs cannot read")
    rows = _cuda.Matrix(array.pointer, element, *array.shape, *array.strides)
    return Matrix(rows, element == "f64", _place_of(array, size), array.owner)


def _converted(x: Any, dtype: str, name: str, memory: Memory) -> Any:
    if dtype in _EXACT_IN_FLOAT32:
        return framework_of(memory.device, x).astype(x, np.float32)
    if dtype in _EXACT_IN_FLOAT64:
        return framework_of(memory.device, x).astype(x, np.float64)
    raise TypeError(f"{name} must hold float64, float32, float16, bfloat16 or integers, got dtype {dtype}")


def per_query(values: Any, name: str, count: int, dtype: type[np.float32 | np.float64], memory: Memory) -> View:
    """Caller's scores, one for all queries or one a query, rounded like the library's own, as float64 on the GPU.

    Those that live on the GPU are not looked at: a NaN there lets nothing pass.
    """
    if gpu_of(values) is None:
        rounded = arrays.scores_like(values, name, count, dtype)
        shared = count > 0 and np.ndim(values) == 0
        array = memory.full(count, float(rounded[0])) if shared else upload(memory, rounded)
        return View(memory.pointer(array), "float64", (count,), (1,), False, array)
    theirs, given = framework_of(memory.device, values), view(values, name, memory)
    if not given.dtype.startswith(("float", "bfloat", "int", "uint")):
        raise TypeError(f"{name} must be real numbers, got {type(values).__name__} of dtype {given.dtype}")
    if given.shape not in ((), (count,)):
        raise ValueError(f"{name} must be one number or have shape ({count},), got shape {given.shape}")
    array = theirs.full(count, 0.0)
    array[:] = theirs.astype(theirs.astype(values, np.float64), dtype)
    return view(array, name, memory)


class Target:
    """One array of a result: made in the caller's framework, or the caller's own; copied home for host callers."""

    def __init__(
        self, memory: Memory, shape: tuple[int, ...], dtype: npt.DTypeLike, home: str, name: str = "", given: Any = None
    ) -> None:
        self._memory, self._home, self._given = memory, home, given
        self._host: npt.NDArray[Any] | None = None
        self._array: Any
        self.name = name
        self.place: npt.NDArray[Any] = np.empty(0)  # where memory is that others may know
        if home != "gpu":
            self._host = np.empty(shape, dtype) if given is None else arrays.output(given, name, shape, dtype)
            self.place = self._host
        if given is None or self._host is not None:
            self._array = memory.empty(shape, dtype)
            self.pointer = memory.pointer(self._array)
            return
        array = view(given, name, memory) if gpu_of(given) == memory.device else None
        if array is None:
            raise TypeError(f"{name} must be on GPU {memory.device} like the result, got {type(given).__name__}")
        if array.shape != shape or array.dtype != np.dtype(dtype).name:
            raise ValueError(
                f"{name} must have shape {shape} and dtype {np.dtype(dtype)}, got {array.shape} and {array.dtype}"
            )
        steps = zip(shape, array.strides, _contiguous(shape), strict=True)
        size = np.dtype(dtype).itemsize
        if array.read_only or array.pointer % size or any(n > 1 and step != wanted for n, step, wanted in steps):
            raise ValueError(f"{name} must be C-contiguous, aligned and writable")
        self._array, self.pointer, self.place = given, array.pointer, _place_of(array, size)

    def finish(self) -> Any:
        """Return what the caller gets; waits where it has to be copied to the host."""
        if self._host is None:
            return self._array
        _cuda.download(self._memory.device, self._memory.stream, self.pointer, self._host)
        if self._given is not None:
            return self._given
        return arrays.as_torch(self._host) if self._home == "torch" else self._host


def home_of(leader: Any) -> str:
    """Where results go: "gpu", "numpy", or "torch" on the CPU."""
    if gpu_of(leader) is not None:
        return "gpu"
    return "torch" if arrays.is_torch_tensor(leader) else "numpy"
