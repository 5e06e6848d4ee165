"""Mistakes in the int8 scans, made on purpose: a fault of the simulator or a wrong result must show each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aigc_fast import cosine_threshold, cosine_topk
from kernels.checks import assert_same_results
from ptxsim import Fault

from .device import CodedDevice
from .test_codes import growing_rows
from .test_mutations import mutant

RNG = np.random.default_rng(0)
Q = RNG.normal(size=(2, 70)).astype(np.float32)
GROWING = growing_rows(1, 5, 70)[:-30]
GROWING[-1] *= np.float32(1e25)  # beyond what codes describe
APART = RNG.normal(size=(200, 70)).astype(np.float32)
APART[3:9] = Q[1]  # six rows that nothing else comes near to


def integers(count: int) -> Any:
    """Rows that codes describe exactly."""
    rows = RNG.integers(-126, 127, (count, 64)).astype(np.float32)
    rows[:, 0] = 127
    return rows


def between(towards: Any, rows: Any) -> Any:
    """Rows that lie between codes, so that their products with a vector come out too small."""
    rows[:, 1:] += 0.49 * np.sign(towards[1:])
    return rows.astype(np.float32)


EXACT_Q, EXACT_X = integers(1), integers(70)
BETWEEN_X, BETWEEN_Q = between(EXACT_Q[0], integers(70)), between(EXACT_X[0], integers(1))


def lengths(code: str | None, seed: int) -> None:
    device = CodedDevice(code, seed, tensor=True, tiles=5)
    top = device.topk(Q, GROWING, 7, metric="inner_product", spare=128)
    assert_same_results(top, cosine_topk(Q, GROWING, 7, metric="inner_product"))


def bounds(code: str | None, seed: int) -> None:
    """What codes leave out is as much as it can be."""
    q, x = EXACT_Q, BETWEEN_X
    least = np.sort(x @ q[0])[-5:-4].astype(np.float64)
    device = CodedDevice(code, seed)
    expected = cosine_threshold(q, x, least, metric="inner_product")
    assert_same_results(device.threshold(q, x, least, metric="inner_product"), expected)


def fine_bounds(code: str | None, seed: int) -> None:
    q, x = BETWEEN_Q, EXACT_X[:1]
    least = (x @ q[0]).astype(np.float64) - 1
    device = CodedDevice(code, seed)
    expected = cosine_topk(q, x, 1, metric="inner_product", threshold=least)
    assert_same_results(device.topk(q, x, 1, metric="inner_product", threshold=least), expected)


def waves(code: str | None, seed: int) -> None:
    for tensor in (True, False):
        device = CodedDevice(code, seed, tensor=tensor)
        assert_same_results(device.topk(Q, APART, 7, spare=128), cosine_topk(Q, APART, 7))


def hits(code: str | None, seed: int) -> None:
    least = np.sort(Q @ GROWING.T)[:, -6].astype(np.float64)
    device = CodedDevice(code, seed, tiles=5)
    expected = cosine_threshold(Q, GROWING, least, metric="inner_product")
    assert_same_results(device.threshold(Q, GROWING, least, metric="inner_product"), expected)


Check = Callable[[str | None, int], None]
CHECKS: tuple[Check, ...] = (lengths, bounds, fine_bounds, waves, hits)
NEXT = "find_starts(next_tile(tile), buffer ^ 1)"
WAIT = "        wait_for_copies<kTensorStages - 2>();\n"
BARRIER = "        __syncthreads();\n"
TENSOR: dict[str, tuple[Check, str, str, str | None]] = {
    "dropped barrier": (lengths, WAIT + BARRIER, WAIT, "race|undefined"),
    "copy before the barrier": (lengths, WAIT + BARRIER + "        copy_next();", "copy_next();\n" + WAIT + BARRIER,
                                "race|waited for"),
    "a wait too few": (lengths, "<kTensorStages - 2>()", "<kTensorStages - 1>()", "waited for"),
    "starts in use": (lengths, NEXT, "find_starts(next_tile(tile), buffer)", "race|undefined"),
    "starts of another tile": (hits, NEXT, "find_starts(tile, buffer ^ 1)", None),
    "queries off by one": (lengths, "query < search.queries ?", "query <= search.queries ?", "undefined"),
    "wrong matrix": (lengths, "lane / 8 % 2 * 16;", "lane / 16 * 16;", None),
    "wrong slot": (lengths, "(resident ? part : slot)", "slot", None),
    "wrong row": (waves, "bit / 2 * 8 + of_lane % 4 * 2", "bit / 2 * 8 + of_lane / 8 * 2", None),
    "wrong query": (hits, "i * 8 + of_lane / 4", "i * 8 + of_lane % 4", None),
    "no residual": (bounds, " - block.residual * one", "", None),
}  # fmt: skip
OTHERS: dict[str, tuple[Check, str, str, str, str | None]] = {
    "no sigma": (fine_bounds, "codes.cuh", "left * (1.0 + kRowRounding) + kEstimateRounding", "0.0", None),
    "tail off by one": (lengths, "codes.cuh", "const bool real = row < search.items.rows;",
                        "const bool real = row <= search.items.rows;", "bounds"),
    "rank off by one": (waves, "settle_codes.cuh", "ranked(search.k,", "ranked(search.k - 1,", None),
    "bins not yet counted": (waves, "settle_codes.cuh", "        __syncthreads();\n        if (threadIdx.x < 32) {",
                             "        if (threadIdx.x < 32) {", "race"),
    "counts that stay": (waves, "settle_codes.cuh", "codes.hit_counts[query] = 0;", "", None),
    "wrong run of rows": (waves, "few_scan.cuh", "const unsigned row = first_row + r * 8;",
                          "const unsigned row = first_row + r * 4;", None),
    "no fine codes": (fine_bounds, "few_scan.cuh", "static_cast<float>(fine_sums[q][r])", "0.0f", None),
}  # fmt: skip
MUTATIONS = {
    **{name: (check, "tensor_scan.cuh", *rest) for name, (check, *rest) in TENSOR.items()},
    **OTHERS,
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mutation(mutation: str, tmp_path: Path) -> None:
    check, file, right, wrong, fault = MUTATIONS[mutation]
    code = mutant(tmp_path, file, right, wrong)
    with pytest.raises((Fault, AssertionError), match=fault):  # noqa: PT012  (one order of warps may hide a race)
        for seed in range(3):
            check(code, seed)


@pytest.mark.parametrize("check", CHECKS)
def test_without_a_mutation(check: Check) -> None:
    check(None, 0)
