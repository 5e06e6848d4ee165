"""Machines on which no GPU can be used: each cause has its words, and only "auto" goes on without one."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aigc_fast import CudaUnavailable, _cuda, cosine_topk
from aigc_fast.environment import environment
from aigc_fast.gpu import image, nvrtc
from kernels.checks import assert_same_results

from .device import SOURCES, nvcc, ptx
from .fake_driver import FakeDriver
from .frameworks import frameworks

X = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)


def assert_unavailable(message: str) -> None:
    with pytest.raises(CudaUnavailable, match=message):
        cosine_topk(X, X, 2, device="cuda")
    assert_same_results(cosine_topk(X, X, 2, device="auto"), cosine_topk(X, X, 2))


def test_no_driver() -> None:
    try:
        _cuda.device_count()
    except CudaUnavailable as error:
        if "libcuda.so.1" not in str(error):
            pytest.skip(f"this machine has a driver: {error}")
    else:
        pytest.skip("this machine has a GPU")
    assert_unavailable(r"no CUDA driver: libcuda\.so\.1: cannot open shared object.*; install NVIDIA's driver")


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        ({"devices": 0}, "finds no device; look at nvidia-smi and CUDA_VISIBLE_DEVICES"),
        ({"version": 11080}, r"too old: it supports CUDA 11\.8, and 12\.0 is needed; update NVIDIA's driver"),
        ({"capability": 75}, r"GPU 0 has compute capability 7\.5; 8\.0 or later is needed"),
    ],
)
def test_driver_and_device(driver: dict[str, Any], message: str, shipped_image: Path) -> None:
    with FakeDriver(ptx(), **driver):
        assert_unavailable(message)


def test_a_driver_that_lacks_a_function(shipped_image: Path) -> None:
    fake = FakeDriver(ptx())
    del fake.functions["cuMemAllocFromPoolAsync"]
    with fake:
        assert_unavailable(r"too old: it supports CUDA 13\.0.* \(it lacks cuMemAllocFromPoolAsync\)")


def test_no_image(shipped_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "find", lambda newest: None)
    with FakeDriver(ptx(), takes_images=False):
        assert_unavailable(
            r"no image of the kernels for GPU 0 \(compute capability 9\.0\): the driver takes none of those shipped"
            r" .*CUDA_ERROR_NO_BINARY_FOR_GPU.*, and NVRTC for CUDA 13 or before is not installed; install it"
            r" \(pip install nvidia-cuda-nvrtc\)"
        )
        shipped_image.unlink()
        assert_unavailable("this build of aigc_fast has none, since nvcc was not found, and NVRTC for CUDA 13 or")


def test_nvrtc_compiles_what_was_not_shipped(
    shipped_image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if nvrtc.find(13) is None:
        pytest.skip("NVRTC for CUDA 13 or before is not installed (pip install nvidia-cuda-nvrtc)")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shipped_image.unlink()
    for source in SOURCES.iterdir():
        (shipped_image.parent / source.name).write_bytes(source.read_bytes())
    with FakeDriver(ptx(), takes_images=False):
        assert_same_results(cosine_topk(X, X, 2, device="cuda"), cosine_topk(X, X, 2))
    monkeypatch.setattr(nvrtc, "compile_kernels", None)
    with FakeDriver(ptx(), takes_images=False):  # the next process finds what this one compiled
        assert_same_results(cosine_topk(X, X, 2, device="cuda"), cosine_topk(X, X, 2))


def test_what_nvrtc_refuses(shipped_image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if nvrtc.find(13) is None:
        pytest.skip("NVRTC for CUDA 13 or before is not installed (pip install nvidia-cuda-nvrtc)")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shipped_image.unlink()
    (image.KERNELS / "kernels.cu").write_text("__global__ void kernel() { undeclared(); }")
    with FakeDriver(ptx()), pytest.raises(RuntimeError, match=r"NVRTC cannot compile .* sm_90: .*undeclared"):
        cosine_topk(X, X, 2, device="cuda")


def test_a_compiler_that_is_newer_than_the_driver(shipped_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is passed over, and what an older one makes may still be too new."""
    compilers = {"new": (13, 1), "fits": (12, 8), "old": (12, 1)}
    monkeypatch.setattr(nvrtc, "_installed", lambda: iter(compilers))
    monkeypatch.setattr(nvrtc, "version", compilers.get)
    assert nvrtc.find(13) == "new"
    assert nvrtc.find(12) == "fits"
    assert nvrtc.find(11) is None
    monkeypatch.setattr(image, "_compiled", lambda compiler, capability: compiler.encode())
    with FakeDriver(ptx(), takes_images=False, version=12040):
        assert_unavailable(
            r"takes none of those shipped \(.*\), nor what NVRTC of CUDA 12\.8 compiles"
            r" \(cuModuleLoadData: CUDA_ERROR_NO_BINARY_FOR_GPU.*; update NVIDIA's driver"
        )


@pytest.mark.parametrize(
    ("symbol", "status", "error", "message"),
    [
        ("cuDevicePrimaryCtxRetain", 46, CudaUnavailable, "GPU 0 cannot be used: CUDA_ERROR_46.*; nvidia-smi tells"),
        ("cuDevicePrimaryCtxRetain", 2, CudaUnavailable, "GPU 0 cannot be used: CUDA_ERROR_OUT_OF_MEMORY"),
        ("cuInit", 803, CudaUnavailable, "the CUDA driver does not start: CUDA_ERROR_803"),
        ("cuModuleLoadData", 2, MemoryError, "cuModuleLoadData: CUDA_ERROR_OUT_OF_MEMORY"),
        ("cuModuleLoadData", 719, RuntimeError, "^cuModuleLoadData: CUDA_ERROR_719"),
        ("cuModuleLoadData", 900, RuntimeError, "^cuModuleLoadData: CUDA_ERROR_STREAM_CAPTURE"),
        ("cuModuleLoadData", 222, CudaUnavailable, r"takes none of those shipped \(cuModuleLoadData: CUDA_ERROR_222"),
        ("cuModuleGetFunction", 500, RuntimeError, "^cuModuleGetFunction: CUDA_ERROR_500"),
        ("cuFuncSetAttribute", 1, RuntimeError, "^cuFuncSetAttribute: CUDA_ERROR_1"),
        ("cuLaunchKernel", 701, RuntimeError, "CUDA_ERROR_701"),
        ("cuMemPoolCreate", 801, RuntimeError, "^cuMemPoolCreate: CUDA_ERROR_801"),
    ],
)
def test_what_the_driver_answers(
    symbol: str,
    status: int,
    error: type[Exception],
    message: str,
    shipped_image: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error of each call is its own, and does not stay: a GPU that cannot be used is "auto"'s reason for the CPU."""
    monkeypatch.setattr(nvrtc, "find", lambda newest: None)
    with FakeDriver(ptx()) as fake:
        _cuda.override_plan(coded=True, panel=128)
        try:
            fake.answers[symbol] = status
            with pytest.raises(error, match=message) as caught:
                cosine_topk(X, X, 2, device="cuda")
            assert isinstance(caught.value, CudaUnavailable) == (error is CudaUnavailable)
            if error is CudaUnavailable:
                assert_same_results(cosine_topk(X, X, 2, device="auto"), cosine_topk(X, X, 2))
            del fake.answers[symbol]
            assert_same_results(cosine_topk(X, X, 2, device="cuda"), cosine_topk(X, X, 2))
        finally:
            _cuda.override_plan()


def test_the_pointer_of_a_thread_without_a_context(shipped_image: Path) -> None:
    with FakeDriver(ptx()) as fake:
        fake.answers["cuPointerGetAttribute"] = 201
        fake.answers_once = True
        assert _cuda.device_of(fake.machine.heap.BASE) == 0


def _in_child(connection: Any) -> None:
    try:
        cosine_topk(X, X, 2, device="cuda")
    except CudaUnavailable as error:
        connection.send(str(error))
    cosine_topk(X, X, 2, device="auto", num_threads=1)
    connection.close()


def test_a_forked_process(shipped_image: Path) -> None:
    context = multiprocessing.get_context("fork")
    with FakeDriver(ptx()):
        _cuda.device_count()
        receive, send = context.Pipe(duplex=False)
        child = context.Process(target=_in_child, args=(send,))
        child.start()
        send.close()
        assert "forked after CUDA had been used; start it by spawn" in receive.recv()
        child.join()
        assert child.exitcode == 0


def test_devices(shipped_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeDriver(ptx(), devices=2) as fake, frameworks(fake, monkeypatch) as fakes:
        with pytest.raises(ValueError, match="device is 'cuda:2', but there are 2 GPUs"):
            cosine_topk(X, X, 2, device="cuda:2")
        assert_same_results(cosine_topk(X, X, 2, device="cuda:1"), cosine_topk(X, X, 2))
        assert {device for *_, device in fake.launches} == {1}
        here, there = fakes.cupy.Array.of(X), fakes.cupy.Array.of(X)
        there.gpu = 1
        with pytest.raises(ValueError, match="must be on one GPU, but queries is on cuda:0, items is on cuda:1"):
            cosine_topk(here, there, 1)
        with pytest.raises(ValueError, match="queries is on cuda:0, items is on cuda:0, and device='cuda:1'"):
            cosine_topk(here, here, 1, device="cuda:1")
        for array in (fakes.cupy.Array, fakes.torch.Array):  # the current device is another
            there = array.of(X)
            there.gpu = 1
            fake.launches.clear()
            cosine_topk(there, there, 1)
            assert {device for *_, device in fake.launches} == {1}


def test_the_environment_names_the_gpus(shipped_image: Path) -> None:
    with FakeDriver(ptx(), devices=2):
        assert environment()["GPU"] == "Simulated GPU 0, Simulated GPU 1"
    with FakeDriver(ptx(), devices=0):
        assert environment()["GPU"] == "none: the CUDA driver finds no device"


def test_arrays_on_a_gpu_need_one(shipped_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeDriver(ptx(), devices=0) as fake, frameworks(fake, monkeypatch) as fakes:
        q = fakes.torch.Array.of(X)
        with pytest.raises(CudaUnavailable, match="finds no device"):
            cosine_topk(q, q, 1, device="auto")


def test_faults_name_the_call(shipped_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeDriver(ptx()) as fake:
        fake.machine.heap.memory.forbid(fake.machine.heap.BASE, 1 << 20)
        monkeypatch.setattr(fake.machine.heap, "allocate", lambda size: fake.machine.heap.BASE)
        with pytest.raises(RuntimeError, match=r"cuStreamSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS .*not allocated"):
            cosine_topk(X, X, 2, device="cuda")


def test_importing_the_package_does_not_touch_cuda() -> None:
    code = "import sys, aigc_fast; aigc_fast.cosine_topk([[1.0]], [[1.0]], 1); print('aigc_fast._cuda' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert run.stdout.strip() == "False"


def test_arrays_by_their_protocols() -> None:
    from aigc_fast.device import gpu_of

    assert gpu_of(X) is None
    assert gpu_of([[1.0]]) is None
    assert gpu_of(SimpleNamespace(__dlpack_device__=lambda: (1, 0))) is None
    assert gpu_of(SimpleNamespace(__dlpack_device__=lambda: (2, 3))) == 3


def test_the_table_of_the_driver_is_that_of_the_header(tmp_path: Path) -> None:
    """The same parameters, sizes, places and numbers, and no symbol that the header has a later version of."""
    nvcc("-I", str(SOURCES.parent), "-c", str(Path(__file__).parent / "driver_table.cpp"), "-o", str(tmp_path / "o"))
