"""Where a call computes: on the CPU, or on which GPU. Without GPU arrays and ``device=``, no driver is touched."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from aigc_fast.arrays import is_torch_tensor
from aigc_fast.errors import CudaUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

Device: TypeAlias = str | None  # "cpu", "cuda", "cuda:1", "auto"

_CUDA, _CUDA_MANAGED = 2, 13  # DLPack's device types


def gpu_of(x: Any) -> int | None:
    """Return the number of the GPU that an array lives on, None for all others."""
    if type(x) is np.ndarray or isinstance(x, (list, tuple)):
        return None
    if is_torch_tensor(x):
        return int(x.device.index) if x.device.type == "cuda" else None
    if hasattr(x, "__dlpack_device__"):
        kind, number = x.__dlpack_device__()
        return int(number) if kind in (_CUDA, _CUDA_MANAGED) else None
    if hasattr(x, "__cuda_array_interface__"):
        from aigc_fast import _cuda

        return _cuda.device_of(x.__cuda_array_interface__["data"][0])
    return None


def on_host(x: Any) -> Any:
    """Return a copy on the host of an array that lives on a GPU; anything else as it is.

    Raises
    ------
    TypeError
        The array is of neither torch nor CuPy.
    """
    gpu = gpu_of(x)
    if gpu is None:
        return x
    from aigc_fast.gpu.memory import framework_of

    return framework_of(gpu, x).on_host(x)


def choose(device: Device, arrays: Mapping[str, Any]) -> int | None:
    """Return the GPU that a call computes on, ready for use, or None for the CPU.

    Parameters
    ----------
    device
        None: where the arrays are. "cpu". "cuda", or one of several GPUs as "cuda:1". "auto": a GPU where one can be
        used, else the CPU.
    arrays
        The array arguments by name. All that live on GPUs must live on the same one.

    Raises
    ------
    CudaUnavailable
        A GPU is asked for and cannot be used.
    ValueError
        An unknown device, arrays on several GPUs, or on another one than asked for.
    """
    homes = {name: home for name, x in arrays.items() if x is not None and (home := gpu_of(x)) is not None}
    if device is None and not homes:
        return None
    name = "cuda" if device is None else str(device)
    match = re.fullmatch(r"(cpu|auto)|cuda(?::(\d+))?", name)
    if match is None:
        raise ValueError(f"device must be 'cpu', 'cuda', 'cuda:N' or 'auto', got {device!r}")
    if name == "cpu":
        return None
    numbers = sorted({*homes.values(), *((int(match[2]),) if match[2] else ())})
    if len(numbers) > 1:
        places = ", ".join(f"{array} is on cuda:{home}" for array, home in homes.items())
        raise ValueError(
            f"all arrays must be on one GPU, but {places}" + (f", and device={name!r}" if match[2] else "")
        )
    number = numbers[0] if numbers else 0
    try:
        from aigc_fast import _cuda
        from aigc_fast.gpu import image

        count = _cuda.device_count()
        if number >= count:
            raise ValueError(f"device is 'cuda:{number}', but there are {count} GPUs")
        image.ensure_loaded(number)
    except CudaUnavailable:
        if name == "auto" and not homes:
            return None
        raise
    return number
