"""A GPU whose memory is small or full, or runs out in the middle of a call: requests are cut to fit, or an error names
the bytes, and the next call works."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aigc_fast import CosineIndex, cosine_similarity, cosine_threshold, cosine_topk, normalize
from kernels.checks import assert_same_bits, assert_same_results

from .conftest import on_host
from .fake_driver import FakeDriver

RNG = np.random.default_rng(0)
Q, X = RNG.normal(size=(9, 10)).astype(np.float32), RNG.normal(size=(40, 10)).astype(np.float32)
INPUTS = Q.nbytes + X.nbytes
SMALL = 20_000
LISTS = np.arange(10), np.arange(9)
CALLS: dict[str, Callable[..., Any]] = {
    "topk": lambda **options: cosine_topk(Q, X, 3, threshold=-0.2, **options),
    "filters": lambda **options: cosine_topk(Q, X, 3, allow=[1, 4, 30], exclude=LISTS, after=(0.9, 3), **options),
    "threshold": lambda **options: cosine_threshold(Q, X, 0.1, **options),
    "similarity": lambda **options: [cosine_similarity(Q, X, **options)],
    "normalize": lambda **options: normalize(X, return_norms=True, **options),
}


def assert_same(actual: Any, expected: Any) -> None:
    for part, (a, b) in enumerate(zip(actual, expected, strict=True)):
        assert_same_bits(a, b, f"part {part}")


@pytest.mark.parametrize("call", CALLS)
def test_out_of_memory_in_the_middle_of_a_call(call: str, driver: FakeDriver) -> None:
    """Each allocation fails once, with the caller's own limit: nothing stays, and the next call works."""
    expected = CALLS[call]()
    CALLS[call](device="cuda", max_memory=SMALL)
    needed = driver.allocations
    assert needed > 2
    for number in range(needed):
        driver.failing = range(driver.allocations + number, driver.allocations + number + 2)  # tried twice
        with pytest.raises(MemoryError, match=r"GPU 0 has no room for \d+ bytes \(1000 of 8388608 are free\)"):
            CALLS[call](device="cuda", max_memory=SMALL)
        assert driver.in_use == 0
    driver.failing = range(0)
    assert_same(CALLS[call](device="cuda", max_memory=SMALL), expected)
    driver.run()
    assert driver.machine.heap.allocations == 0


@pytest.mark.parametrize("call", CALLS)
def test_by_default_a_call_takes_what_there_is(call: str, driver: FakeDriver) -> None:
    driver.room = INPUTS + SMALL
    assert_same(CALLS[call](device="cuda"), CALLS[call]())
    driver.room = INPUTS + 200
    with pytest.raises(MemoryError, match="bytes"):
        cosine_topk(Q, X, 3, device="cuda")
    driver.room = 100
    with pytest.raises(MemoryError, match=f"GPU 0 has no room for {X.nbytes} bytes"):
        normalize(X, device="cuda")


def test_results_for_the_host_are_made_in_parts(driver: FakeDriver) -> None:
    x = RNG.normal(size=(700, 10)).astype(np.float32)
    unit, norms = normalize(x, return_norms=True, device="cuda", max_memory=SMALL)
    assert driver.peak <= SMALL
    assert [name for name, *_ in driver.launches].count("normalize_f32") == -(-700 // (SMALL // 84))
    assert_same((unit, norms), normalize(x, return_norms=True))
    driver.peak = 0
    scores = cosine_similarity(Q, x, device="cuda", max_memory=SMALL)
    assert driver.peak <= Q.nbytes + x.nbytes + SMALL
    assert [name for name, *_ in driver.launches].count("similarity_f32") == -(-9 // (SMALL // 2 // 2800))
    assert_same_bits(scores, cosine_similarity(Q, x), "scores")
    for function, message in (
        (
            lambda: normalize(x, device="cuda", max_memory=83),
            "a row and its result take 84 bytes, and max_memory is 83",
        ),
        (lambda: cosine_similarity(Q, x, device="cuda", max_memory=2_000), "a row of the result takes 2800 bytes"),
        (lambda: cosine_similarity(Q, x, device="cuda", max_memory=3_000), r"needs a workspace of at least \d+ bytes"),
    ):
        with pytest.raises(MemoryError, match=message):
            function()


@pytest.mark.parametrize("order", [1, -1])
def test_normalize_in_parts_into_rows_that_overlap(order: int, driver: FakeDriver) -> None:
    expected = normalize(X[1:])
    room = np.vstack([X, X[:1]])
    source, out = (room[1:-1], room[:-2]) if order == 1 else (room[:-2][::-1], room[1:-1])
    wanted = normalize(source.copy())
    assert normalize(source, out=out, device="cuda", max_memory=400) is out
    assert_same_bits(out, wanted, "rows")
    rows = X[1:].copy()
    assert normalize(rows, out=rows, device="cuda", max_memory=400) is rows
    assert_same_bits(rows, expected, "rows")


def test_groups_of_queries_that_fit(driver: FakeDriver) -> None:
    assert_same_results(cosine_topk(Q[:3], X, 3, device="cuda", max_memory=4_000), cosine_topk(Q[:3], X, 3))
    assert [name for name, *_ in driver.launches].count("write_topk") == 2  # less than a panel
    with pytest.raises(
        MemoryError, match=r"40 items with k=3 needs a workspace of at least \d{4} bytes.* leaves it 2000"
    ):
        cosine_topk(Q[:3], X, 3, device="cuda", max_memory=2_000)
    with pytest.raises(ValueError, match="max_memory must be at least 1, got 0"):
        cosine_topk(Q, X, 3, device="cuda", max_memory=0)


def test_an_index(driver: FakeDriver) -> None:
    on_gpu, on_cpu = CosineIndex(X, device="cuda"), CosineIndex(X)
    on_gpu.topk(Q, 1)
    for failing in range(3):  # rows and codes of the part that is new, flags of the other
        for index in (on_gpu, on_cpu):
            index.add(X[failing : failing + 2])
            index.remove([failing])
        driver.failing = range(driver.allocations + failing, driver.allocations + failing + 2)
        with pytest.raises(MemoryError, match="GPU 0 has no room for"):
            on_gpu.topk(Q, 5)
        driver.failing = range(0)
        assert_same_results(on_gpu.topk(Q, 5), on_cpu.topk(Q, 5))
    driver.launches.clear()
    assert_same_results(on_gpu.topk(Q, 5, max_memory=SMALL), on_cpu.topk(Q, 5, max_memory=SMALL))
    assert_same_results(on_gpu.threshold(Q, 0.2, max_memory=SMALL), on_cpu.threshold(Q, 0.2, max_memory=SMALL))
    assert [name for name, *_ in driver.launches].count("write_topk") > 1
    with pytest.raises(MemoryError, match="leaves it 100"):
        on_gpu.topk(Q, 5, max_memory=100)


def test_what_the_pool_keeps_is_given_up_for_an_index(driver: FakeDriver) -> None:
    cosine_topk(Q, X, 3, device="cuda")
    assert driver.pooled > SMALL
    driver.room = SMALL
    index = CosineIndex(X, device="cuda")
    assert_same_results(index.topk(Q, 5), CosineIndex(X).topk(Q, 5))


@pytest.mark.parametrize("name", ["torch", "cupy"])
def test_arrays_of_a_full_framework(name: str, driver: FakeDriver, fakes: SimpleNamespace) -> None:
    array = getattr(fakes, name).Array
    q, x = array.of(Q), array.of(X)
    driver.room = driver.in_use + SMALL
    assert_same_results(on_host(cosine_topk(q, x, 3)), cosine_topk(Q, X, 3))
    driver.room = driver.in_use
    for call in (lambda: cosine_topk(q, x, 3), lambda: cosine_similarity(q, x), lambda: normalize(x)):
        with pytest.raises(MemoryError, match=r"tried to allocate \d+ bytes"):
            call()
    driver.room = 1 << 40
    assert_same_results(on_host(cosine_topk(q, x, 3)), cosine_topk(Q, X, 3))
