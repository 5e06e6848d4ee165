"""Calls captured in a CUDA graph: a replay works on what the arrays hold by then, with the CPU's bits."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aigc_fast import CosineIndex, _cuda, cosine_similarity, cosine_threshold, cosine_topk, normalize
from kernels.checks import assert_same_bits, assert_same_results

from .conftest import on_host
from .fake_driver import FakeDriver
from .frameworks import GpuArray
from .test_host import WAITS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(520, 6)).astype(np.float32)
Q = X[:2] + np.float32(0.1)
STREAM = GpuArray.current_stream


@pytest.mark.parametrize("coded", [False, True])
def test_topk(coded: bool, driver: FakeDriver, fakes: SimpleNamespace) -> None:
    """Items of ties overflow what a wave has room for, which a replay finds out on the device."""
    _cuda.override_plan(coded=coded, spare=128, growth=8, hits=128)
    q, x = fakes.torch.Array.of(Q), fakes.torch.Array.of(X)
    cosine_topk(q, x, 40, threshold=0.1)
    driver.run()
    driver.calls.clear()
    with driver.capture(STREAM) as replay:
        top = cosine_topk(q, x, 40, threshold=0.1)
    assert not WAITS & set(driver.calls)
    for items in (X, np.ones_like(X), X[::-1]):
        x[...] = items
        replay()
        assert_same_results(on_host(top), cosine_topk(Q, items, 40, threshold=0.1))


def test_the_other_calls(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    q, index = fakes.torch.Array.of(Q), CosineIndex(X, device="cuda")
    index.remove([3, 7])
    index.topk(q, 5)
    with driver.capture(STREAM) as replay:
        top, scores, unit = index.topk(q, 5), cosine_similarity(q, q), normalize(q)
    for queries in (Q, X[3:5]):
        q[...] = queries
        replay()
        assert_same_results(on_host(top), index.topk(queries, 5))
        assert_same_bits(scores.numpy(), cosine_similarity(queries), "scores")
        assert_same_bits(unit.numpy(), normalize(queries), "rows")


def test_what_cannot_be_captured(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    """What has to wait says so, and works again after the capture."""
    q, x, index = fakes.torch.Array.of(Q), fakes.torch.Array.of(X), CosineIndex(X, device="cuda")
    calls: tuple[tuple[Callable[[], Any], Callable[[], Any]], ...] = (
        (lambda: cosine_threshold(q, x, 0.5), lambda: cosine_threshold(Q, X, 0.5)),
        (lambda: cosine_topk(q, x, 3, allow=[1, 2]), lambda: cosine_topk(Q, X, 3, allow=[1, 2])),
        (lambda: cosine_topk(q, X, 3), lambda: cosine_topk(Q, X, 3)),
        (lambda: index.topk(q, 3), lambda: cosine_topk(Q, X, 3)),
    )
    for captured, on_cpu in calls:
        with driver.capture(STREAM), pytest.raises(RuntimeError, match="CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"):
            captured()
        assert_same_results(on_host(captured()), on_cpu())
