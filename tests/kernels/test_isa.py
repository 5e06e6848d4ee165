"""Which instruction set runs, and who may say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aigc_fast import _core, available_isas, cosine_topk, isa

from . import reference
from .checks import assert_same_results
from .subprocesses import failing_python, run_python
from .ways import ISAS

KNOWN = ["avx512_bf16", "avx512_vnni", "avx512", "avx_vnni", "avx2", "neon_dotprod", "neon", "scalar"]  # best first


def cpu_flags() -> set[str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((set(line.split(":")[1].split()) for line in lines if line.startswith(("flags", "Features"))), set())


def test_available_isas_are_what_the_cpu_has() -> None:
    flags = cpu_flags()
    avx512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
    needs = {
        "avx512_bf16": avx512 | {"avx512_vnni", "avx512_bf16"},
        "avx512_vnni": avx512 | {"avx512_vnni"},
        "avx512": avx512,
        "avx_vnni": {"avx2", "fma", "avx_vnni"},
        "avx2": {"avx2", "fma"},
        "neon_dotprod": {"asimd", "asimddp"},
        "neon": {"asimd"},
        "scalar": set(),
    }
    assert available_isas() == [name for name in KNOWN if needs[name] <= flags]


def test_the_best_is_the_default() -> None:
    assert run_python("import aigc_fast; print(aigc_fast.isa())") == ISAS[0]
    assert run_python("import aigc_fast; print(aigc_fast.isa())", AIGC_FAST_ISA="") == ISAS[0]


@pytest.mark.parametrize("name", ISAS)
def test_environment_variable_chooses(name: str) -> None:
    code = """
import numpy as np, aigc_fast
x = np.random.default_rng(0).normal(size=(300, 19)).astype(np.float32)
best = aigc_fast.cosine_topk(x[:7], x, 5)
print(aigc_fast.isa(), best.ids.tobytes().hex(), best.scores.tobytes().hex())
"""
    x = np.random.default_rng(0).normal(size=(300, 19)).astype(np.float32)
    expected = reference.topk(x[:7], x, 5)
    printed = run_python(code, AIGC_FAST_ISA=name).split()
    assert printed == [name, expected.ids.tobytes().hex(), expected.scores.tobytes().hex()]


@pytest.mark.parametrize("name", ["avx9000", "AVX2", "avx2 ", *sorted(set(KNOWN) - set(ISAS))])
def test_an_unknown_name_is_an_error_at_first_use(name: str) -> None:
    message = failing_python("import aigc_fast; aigc_fast.cosine_topk([[1.0]], [[1.0]], 1)", AIGC_FAST_ISA=name)
    assert message.startswith("ValueError: AIGC_FAST_ISA=")
    assert f"'{name}'" in message
    assert message.endswith(", ".join(ISAS))


def test_set_isa() -> None:
    before = isa()
    x = np.random.default_rng(0).normal(size=(50, 9)).astype(np.float32)
    expected = reference.topk(x, x, 3)
    for name in ISAS:
        _core.set_isa(name)
        assert isa() == name
        assert_same_results(cosine_topk(x, x, 3), expected)
    _core.set_isa(before)
    with pytest.raises(ValueError, match=r"isa='sse9' is not an instruction set .* they have: .*scalar"):
        _core.set_isa("sse9")
    assert isa() == before
