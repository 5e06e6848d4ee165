"""What ptxas makes of the kernels: no spills, registers within budgets, the instructions that they are for."""

from __future__ import annotations

import functools
import importlib.util
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from ptxsim import kernel_names

from .device import SOURCES, nvcc, ptx

ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120")
# Blocks of 256 threads that registers let a multiprocessor have at least; two, but for these.
BLOCKS = {"scan_codes_1": 4, **{f"scan_tensor_{name}": 1 for name in ("f32", "f64", "f16", "bf16", "i8")}}


@functools.cache
def compiled(architecture: str) -> tuple[str, bytes]:
    """Return what ptxas said, and the machine code."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "kernels.cubin")
        made = nvcc(f"-arch={architecture}", "-cubin", "-Xptxas", "-v", "-o", str(target), str(SOURCES / "kernels.cu"))
        return made.stdout + made.stderr, target.read_bytes()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_registers_and_spills(architecture: str) -> None:
    pattern = (
        r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers"
    )
    kernels = re.findall(pattern, compiled(architecture)[0], re.DOTALL)
    assert sorted(name for name, *_ in kernels) == sorted(kernel_names(ptx()))
    for name, stores, loads, registers in kernels:
        assert (int(stores), int(loads)) == (0, 0), f"{name} spills"
        assert int(registers) <= 65536 // (256 * BLOCKS.get(name, 2)), name


def instructions(architecture: str, folder: Path) -> dict[str, set[str]]:
    """Return the names of each kernel's machine instructions."""
    spec = importlib.util.find_spec("nvidia")
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    found = [path for place in places for path in Path(place).glob("cu*/bin/nvdisasm")]
    if not found:
        pytest.skip("nvdisasm is not installed (nvidia-cuda-nvdisasm)")
    target = folder / "kernels.cubin"
    target.write_bytes(compiled(architecture)[1])
    text = subprocess.run([found[0], "-c", target], check=True, capture_output=True, text=True).stdout
    sections = re.split(r"\.section\s+\.text\.(\w+),", text)[1:]
    return {
        name: set(re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+\s+)?(\w+)", body))
        for name, body in zip(sections[::2], sections[1::2], strict=True)
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_instructions(architecture: str, tmp_path: Path) -> None:
    """Tensor cores, matrix loads and asynchronous copies in the tensor-core scan; byte dot products in that for few."""
    used = instructions(architecture, tmp_path)
    for name, expected in {
        "scan_tensor": {"IMMA", "LDSM", "LDGSTS"},
        "scan_tensor_f32": {"IMMA", "LDSM", "LDGSTS"},
        "scan_codes_1": {"IDP"},
        "scan_codes_4": {"IDP"},
        "scan_many_f32": {"LDGSTS", "FFMA"},
    }.items():
        assert expected <= used[name], name
    for name, of_kernel in used.items():
        assert not of_kernel & {"LDL", "STL"}, f"{name} uses local memory"
