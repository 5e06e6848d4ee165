"""The simulator finds the mistakes that such kernels invite: each is made in the source and must show."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from aigc_fast import TopK, cosine_topk
from kernels.checks import assert_same_results
from ptxsim import Fault

from .device import SOURCES, Device, compile_ptx

RNG = np.random.default_rng(0)
Q, X = RNG.normal(size=(9, 70)).astype(np.float32), RNG.normal(size=(300, 70)).astype(np.float32)

MUTATIONS = {
    "dropped barrier": ("scan.cuh", "        finish_copies();\n        __syncthreads();", "        finish_copies();",
                        "race|undefined"),
    "no wait": ("scan.cuh", "        finish_copies();\n", "", "before its copy was waited for"),
    "wrong buffer": ("scan.cuh", "start_step(step + 1, buffer ^ 1)", "start_step(step + 1, buffer)", "race"),
    "tail off by one": ("scan.cuh", "item < search.items.rows && column", "item <= search.items.rows && column",
                        "bounds"),
    "columns off by one": ("scan.cuh", "column < search.items.dim", "column <= search.items.dim", "bounds"),
    "wrong row": ("scan.cuh", "pair / Q * 32 + bit", "pair % Q * 32 + bit", None),
    "wrong query": ("scan.cuh", "warp * Q + pair % Q", "warp * Q + pair / Q", None),
    "wrong lanes": ("canonical.cuh", "sum, 4)", "sum, 2)", None),
    "count read late": ("settle.cuh", "        __syncthreads();  // all have read the count\n", "", "race"),
    "dropped barrier of the sort": ("results.cuh", "a + step);\n            }\n            __syncthreads();",
                                    "a + step);\n            }", "race"),
    "undefined counts": ("prepare.cuh", "search.counts[query] = 0;", "", "undefined"),
}  # fmt: skip


def search(code: str | None, seed: int) -> TopK:
    device = Device(code, seed)
    device.topk(
        Q[:2],
        np.repeat(X[:1], 300, 0) * np.arange(1, 301, dtype=np.float32)[:, None],
        40,
        metric="inner_product",
        spare=128,
    )
    return device.topk(Q, X, 7, spare=128)


def mutant(folder: Path, file: str, right: str, wrong: str) -> str:
    """Compile the kernels of one type with a line changed."""
    sources = shutil.copytree(SOURCES, folder / "kernels")
    source = (sources / file).read_text()
    assert source.count(right) == 1
    (sources / file).write_text(source.replace(right, wrong))
    one_type = re.sub(r"^AIGC_FAST_KERNELS\((?!f32).*\n", "", (sources / "kernels.cu").read_text(), flags=re.MULTILINE)
    (sources / "kernels.cu").write_text(one_type)
    return compile_ptx(sources)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mutation(mutation: str, tmp_path: Path) -> None:
    file, right, wrong, fault = MUTATIONS[mutation]
    code = mutant(tmp_path, file, right, wrong)
    with pytest.raises((Fault, AssertionError), match=fault):  # noqa: PT012  (one order of warps may hide a race)
        for seed in range(4):
            assert_same_results(search(code, seed), cosine_topk(Q, X, 7))


def test_without_a_mutation() -> None:
    for seed in range(2):
        assert_same_results(search(None, seed), cosine_topk(Q, X, 7))
