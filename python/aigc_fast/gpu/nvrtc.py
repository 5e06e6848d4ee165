"""NVRTC, NVIDIA's run-time compiler: makes the kernels for a GPU that no shipped image fits."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")
OPTIONS = ("-std=c++17", "-fmad=false", "-default-device")  # the canonical score fuses where it says so


def find(newest: int) -> ctypes.CDLL | None:
    """Open an NVRTC of at most this major version of CUDA, since drivers do not take what later ones compile."""
    return next((nvrtc for nvrtc in _installed() if version(nvrtc)[0] <= newest), None)


def _installed() -> Iterator[ctypes.CDLL]:
    """Open those of wheels (nvidia-cuda-nvrtc, which CuPy and torch bring), then the system's."""
    for folder in [folder for root in sys.path for folder in sorted(Path(root, "nvidia").glob("*/lib"), reverse=True)]:
        for library in folder.glob("libnvrtc.so.*"):
            with contextlib.suppress(OSError):
                for part in folder.glob("libnvrtc-builtins.so.*"):  # NVRTC opens it by name: it must be there by then
                    ctypes.CDLL(str(part))
                yield ctypes.CDLL(str(library))
    for name in _NAMES:
        with contextlib.suppress(OSError):
            yield ctypes.CDLL(name)


def version(nvrtc: ctypes.CDLL) -> tuple[int, int]:
    """Return the version of CUDA that it belongs to."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(nvrtc, nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return major.value, minor.value


def compile_kernels(nvrtc: ctypes.CDLL, source: Path, capability: int) -> bytes:
    """Compile a file to a cubin for one compute capability (major * 10 + minor).

    Raises
    ------
    RuntimeError
        The compiler refuses; the message has its words.
    """
    program = ctypes.c_void_p()
    options = [*OPTIONS, f"-arch=sm_{capability}", f"-I{source.parent}"]
    packed = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    text = source.read_bytes()
    _check(nvrtc, nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, source.name.encode(), 0, None, None))
    try:
        if nvrtc.nvrtcCompileProgram(program, len(options), packed) != 0:
            log = _read(nvrtc, program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
            raise RuntimeError(f"NVRTC cannot compile {source.name} for sm_{capability}: {log}")
        return _read(nvrtc, program, "CUBIN")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _read(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    data = ctypes.create_string_buffer(size.value)
    _check(nvrtc, getattr(nvrtc, f"nvrtcGet{what}")(program, data))
    return data.raw


def _check(nvrtc: ctypes.CDLL, status: int) -> None:
    if status != 0:
        text = nvrtc.nvrtcGetErrorString
        text.restype = ctypes.c_char_p
        raise RuntimeError(f"NVRTC: {text(status).decode()}")
