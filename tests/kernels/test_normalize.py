"""normalize against the reference, bit for bit, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigc_fast import normalize

from . import reference
from .checks import assert_same_bits
from .inputs import Problem, problems
from .ways import ISAS, Way, taking


@given(problems(items=st.integers(0, 40)), st.integers(1, 3))
def test_equals_reference(problem: Problem, num_threads: int) -> None:
    x = problem.items
    unit, norms = reference.normalize(x)
    for isa in ISAS:
        with taking(Way(isa, None)):
            actual = normalize(x, return_norms=True, num_threads=num_threads)
            assert_same_bits(actual[0], unit, f"{isa} rows")
            assert_same_bits(actual[1], norms, f"{isa} norms")
            assert_same_bits(normalize(x), unit, f"{isa} rows alone")


@pytest.mark.parametrize("num_threads", [1, 2, 8])
def test_many_rows(num_threads: int) -> None:
    x = np.random.default_rng(0).normal(size=(20_000, 30)).astype(np.float32)
    unit, norms = reference.normalize(x)
    actual = normalize(x, return_norms=True, num_threads=num_threads)
    assert_same_bits(actual[0], unit, "rows")
    assert_same_bits(actual[1], norms, "norms")


def test_special_rows() -> None:
    x = np.array([[3, 4], [0, 0], [-0.0, 0], [np.nan, 1], [np.inf, 1], [3e38, 3e38], [1e-45, 0]], np.float32)
    unit, norms = normalize(x, return_norms=True)
    expected = np.array([[0.6, 0.8], [0, 0], [-0.0, 0], [np.nan] * 2, [np.nan] * 2, [0.5**0.5] * 2, [1, 0]], np.float32)
    assert_same_bits(unit, expected, "rows")
    assert norms[:2].tolist() == [5, 0]
    assert np.isnan(norms[3:5]).all()
    assert norms[5] == np.inf  # beyond float32
    assert norms[6] == np.float32(1e-45)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_out_may_be_the_input(dtype: type) -> None:
    x = np.random.default_rng(0).normal(size=(50, 7)).astype(dtype)
    expected = normalize(x)
    assert normalize(x, out=x) is x
    assert_same_bits(x, expected, "rows")


def test_out_may_overlap_the_input() -> None:
    memory = np.random.default_rng(0).normal(size=(11, 4))
    expected = normalize(memory[:10].copy())
    normalize(memory[:10], out=memory[1:])
    assert_same_bits(memory[1:], expected, "rows")
    square = np.random.default_rng(0).normal(size=(5, 5))
    expected = normalize(square.T.copy())
    normalize(square.T, out=square)
    assert_same_bits(square, expected, "rows")


def test_out_with_norms() -> None:
    x = np.array([[3, 4]], np.float32)
    out = np.empty((1, 2), np.float32)
    unit, norms = normalize(x, out=out, return_norms=True)
    assert unit is out
    assert norms.tolist() == [5]


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((2, 2)), ValueError, r"out must have shape \(1, 2\) and dtype float32, got \(2, 2\) and float64"),
        (np.empty((1, 2)), ValueError, "out must have .* dtype float32, got .* float64"),
        (np.empty((1, 4), np.float32)[:, ::2], ValueError, "out must be C-contiguous, aligned and writable"),
        (np.broadcast_to(np.float32(0), (1, 2)), ValueError, "out must be C-contiguous, aligned and writable"),
        ([[0.0, 0.0]], TypeError, "out must be a NumPy array or a torch CPU tensor, got list"),
    ],
)
def test_out_is_checked(out: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        normalize(np.ones((1, 2), np.float32), out=out)
