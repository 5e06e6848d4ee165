"""What ptxas makes of the kernels: no spills, registers within the budget of two blocks a multiprocessor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ptxsim import kernel_names

from .device import SOURCES, nvcc, ptx

MOST_REGISTERS = 65536 // (2 * 256)


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100", "sm_120"])
def test_registers_and_spills(architecture: str, tmp_path: Path) -> None:
    made = nvcc(
        f"-arch={architecture}",
        "-cubin",
        "-Xptxas",
        "-v",
        "-o",
        str(tmp_path / "kernels.cubin"),
        str(SOURCES / "kernels.cu"),
    )
    pattern = (
        r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers"
    )
    kernels = re.findall(pattern, made.stdout + made.stderr, re.DOTALL)
    assert sorted(name for name, *_ in kernels) == sorted(kernel_names(ptx()))
    for name, stores, loads, registers in kernels:
        assert (int(stores), int(loads)) == (0, 0), f"{name} spills"
        assert int(registers) <= MOST_REGISTERS, name


def test_the_scan_copies_asynchronously() -> None:
    assert "cp.async.cg.shared.global" in ptx()
