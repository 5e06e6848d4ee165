"""The kernels' machine code for a GPU: the shipped image, or one that NVRTC makes from the shipped sources."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import tempfile
import threading
from pathlib import Path

from aigc_fast import _cuda
from aigc_fast.errors import CudaUnavailable
from aigc_fast.folders import cache_folder
from aigc_fast.gpu import nvrtc

KERNELS = Path(__file__).parent.parent / "kernels"  # kernels.cu with its headers; kernels.fatbin if nvcc was at hand
_OLDEST = 80  # compute capability 8.0: asynchronous copies
_loading = threading.Lock()


def ensure_loaded(device: int) -> None:
    """Make kernels ready on a GPU, once.

    Raises
    ------
    CudaUnavailable
        There is no usable driver, device or image; the message names the cause and the fix.
    """
    if _cuda.kernels_loaded(device):
        return
    with _loading:
        if _cuda.kernels_loaded(device):
            return
        capability = _cuda.compute_capability(device)
        if capability < _OLDEST:
            raise CudaUnavailable(
                f"GPU {device} has compute capability {_text(capability)}; {_text(_OLDEST)} or later is needed"
            )
        _load(device, capability)


def _load(device: int, capability: int) -> None:
    shipped = KERNELS / "kernels.fatbin"
    reason = "this build of aigc_fast has none, since nvcc was not found"
    if shipped.exists():
        try:
            _cuda.load_kernels(device, shipped.read_bytes())
            return
        except _cuda.NoImageError as error:
            reason = f"the driver takes none of those shipped ({error})"
    driver = _cuda.driver_version() // 1000
    compiler = nvrtc.find(driver)
    if compiler is None:
        raise CudaUnavailable(
            f"no image of the kernels for GPU {device} (compute capability {_text(capability)}): {reason}, and NVRTC"
            f" for CUDA {driver} or before is not installed; install it (pip install"
            f" {'nvidia-cuda-nvrtc-cu12' if driver < 13 else 'nvidia-cuda-nvrtc'}), or build aigc_fast where nvcc is"
        )
    try:
        _cuda.load_kernels(device, _compiled(compiler, capability))
    except _cuda.NoImageError as error:
        raise CudaUnavailable(
            f"no image of the kernels for GPU {device} (compute capability {_text(capability)}): {reason}, nor what"
            f" NVRTC of CUDA {'.'.join(map(str, nvrtc.version(compiler)))} compiles ({error}); update NVIDIA's driver"
        ) from None


def _compiled(compiler: ctypes.CDLL, capability: int) -> bytes:
    """Compile the sources, or take what an earlier process compiled from the same ones."""
    key = hashlib.sha256(f"{nvrtc.version(compiler)} {nvrtc.OPTIONS} {capability}".encode())
    for source in sorted(KERNELS.glob("*.*")):
        if source.suffix != ".fatbin":
            key.update(source.read_bytes())
    kept = cache_folder() / f"kernels-{key.hexdigest()[:32]}.cubin"
    try:
        return kept.read_bytes()
    except OSError:
        image = nvrtc.compile_kernels(compiler, KERNELS / "kernels.cu", capability)
    with contextlib.suppress(OSError):  # a folder that cannot be written costs time only
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as unfinished:
            unfinished.write(image)
        Path(unfinished.name).replace(kept)
    return image


def _text(capability: int) -> str:
    return f"{capability // 10}.{capability % 10}"
