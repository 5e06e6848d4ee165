"""What callers may pass as rows: dtypes, strides, libraries; what they may not, and what they are told."""

from __future__ import annotations

import array
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from aigc_fast import cosine_similarity, cosine_threshold, cosine_topk, normalize

from . import reference
from .checks import assert_same_bits, assert_same_results
from .inputs import LAYOUTS, laid_out
from .ways import all_ways, taking

RNG = np.random.default_rng(0)
# Values that every dtype below holds exactly: small integers.
ROWS = RNG.integers(-9, 10, (50, 9))
FLOAT32 = ROWS.astype(np.float32)


def check(rows: Any, plain: np.ndarray) -> None:
    """`rows` as items and as queries gives what `plain`, a NumPy array of the same values, gives; on every path."""
    for way in all_ways(2, 20):
        with taking(way):
            assert_same_results(as_numpy(cosine_topk(rows, rows, 4)), reference.topk(plain, plain, 4))
            assert_same_results(as_numpy(cosine_threshold(rows, rows, 0.25)), reference.threshold(plain, plain, 0.25))
    assert_same_bits(cosine_similarity(rows), reference.scores(plain, plain), "scores")
    assert_same_bits(normalize(rows), reference.normalize(plain)[0], "rows")


def as_numpy(result: Any) -> Any:
    return type(result)(*(np.asarray(part) for part in result))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "int16", "int32", "int64"])
def test_dtypes(dtype: str) -> None:
    check(ROWS.astype(dtype), ROWS.astype(dtype))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "bool"])
def test_unsigned_dtypes(dtype: str) -> None:
    rows = np.abs(ROWS).astype(dtype)
    check(rows, rows)


def test_small_dtypes_give_float32_scores_and_large_integers_float64() -> None:
    for dtype in ("float32", "float16", "int8", "uint8", "int16", "uint16", "bool"):
        assert cosine_similarity(ROWS.astype(dtype)).dtype == np.float32
    for dtype in ("float64", "int32", "uint32", "int64", "uint64"):
        assert cosine_similarity(ROWS.astype(dtype)).dtype == np.float64
    assert cosine_similarity(FLOAT32, ROWS.astype(np.float64)).dtype == np.float64


def test_every_float16_is_exact() -> None:
    """All 65,536 of them: subnormals, zeros of both signs, infinities and NaN."""
    x = np.arange(2**16, dtype=np.uint16).view(np.float16)[:, None]
    for direct in all_ways(1, 4096):
        with taking(direct):
            best = cosine_topk(np.ones((1, 1), np.float16), x, 2**16, metric="inner_product")
        finite = np.flatnonzero(np.isfinite(x[:, 0]))
        order = finite[np.lexsort((finite, -x[finite, 0].astype(np.float64)))]
        assert best.ids[0, : best.counts[0]].tolist() == order.tolist()
        assert_same_bits(best.scores[0, : len(order)] + 0, x[order, 0].astype(np.float32) + 0, "scores")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(dtype: type, layout: str) -> None:
    x = laid_out(ROWS.astype(dtype), layout)
    before = x.tobytes()
    check(x, ROWS.astype(dtype))
    assert x.tobytes() == before


def test_transposed_and_broadcast_rows() -> None:
    check(FLOAT32[:9].T, np.ascontiguousarray(FLOAT32[:9].T))
    same = np.broadcast_to(FLOAT32[0], (30, 9))  # a stride of zero
    check(same, same.copy())
    one_column = np.broadcast_to(FLOAT32[:, :1], (50, 6))
    check(one_column, one_column.copy())


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">f2", ">i4", "<f4", "<f8"])
def test_byte_orders(dtype: str) -> None:
    check(ROWS.astype(dtype), ROWS.astype(np.dtype(dtype).newbyteorder("=")))


def test_fields_of_records() -> None:
    """Rows inside packed records are neither aligned nor contiguous."""
    records = np.zeros(50, np.dtype([("flag", "u1"), ("row", "f4", 9)]))
    records["row"] = FLOAT32
    check(records["row"], FLOAT32)


def test_nested_lists() -> None:
    check(FLOAT32.astype(np.float64).tolist(), FLOAT32.astype(np.float64))
    check(ROWS.tolist(), ROWS.astype(np.float64))
    check(tuple(map(tuple, ROWS.tolist())), ROWS.astype(np.float64))
    check(list(FLOAT32), FLOAT32)  # a list of arrays


def test_buffer_protocol() -> None:
    check(memoryview(FLOAT32), FLOAT32)
    flat = array.array("d", FLOAT32.ravel().tolist())
    check(memoryview(flat).cast("B").cast("d", FLOAT32.shape), FLOAT32.astype(np.float64))


def test_pandas_frame() -> None:
    check(pd.DataFrame(FLOAT32), FLOAT32)


def test_ml_dtypes_bfloat16() -> None:
    exact = RNG.normal(size=(40, 5)).astype(ml_dtypes.bfloat16)
    check(exact, exact)
    check(exact[::2, ::-1], exact[::2, ::-1])
    assert cosine_similarity(exact).dtype == np.float32


class DLPackOnly:
    """What an array of an unknown library offers."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


def test_dlpack_only_objects() -> None:
    check(DLPackOnly(FLOAT32.copy()), FLOAT32)
    check(DLPackOnly(ROWS.astype(np.float64)[::2]), ROWS.astype(np.float64)[::2])


class Unreadable:
    def __dlpack__(self, **kwargs: Any) -> Any:
        raise BufferError("not on this device")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (8, 0)  # Vulkan


WRONG_TYPES = [
    (scipy.sparse.csr_matrix(np.eye(2)), r"sparse matrix \(csr_matrix\); pass dense rows: {}.toarray\(\)"),
    (np.array([[1 + 1j]]), "{} must hold float64, .*, got dtype complex128"),
    (np.array([["a"]]), "{} must hold float64, .*, got dtype <U1"),
    (np.array([[None]]), "{} must hold float64, .*, got dtype object"),
    (np.array([["2020-01-01"]], "M8[D]"), r"{} must hold float64, .*, got dtype datetime64\[D\]"),
    (np.ones((1, 1), np.longdouble), "{} must hold float64, .*, got dtype"),
    (np.ones(2, [("a", "f4")]).reshape(1, 2), "{} must hold float64, .*, got dtype"),
    ([[1.0], [1.0, 2.0]], "{} must be a NumPy array, .*, got list"),
    (Unreadable(), "{}: NumPy cannot read this Unreadable by DLPack"),
    (pd.Series([[1.0, 0.0], [0.0, 1.0]]), r"{}.*object.*np\.stack"),
    (pd.Series([np.ones(2), np.zeros(2)]).to_numpy(), r"{}.*object.*np\.stack"),
]


@pytest.mark.parametrize(
    ("rows", "message"), WRONG_TYPES, ids=lambda x: type(x).__name__ if not isinstance(x, str) else ""
)
def test_wrong_types_are_named(rows: Any, message: str) -> None:
    good = np.ones((2, 2), np.float32)
    for call, name in (
        (lambda: cosine_topk(rows, good, 1), "queries"),
        (lambda: cosine_topk(good, rows, 1), "items"),
        (lambda: cosine_threshold(good, rows, 0.5), "items"),
        (lambda: cosine_similarity(rows, good), "a"),
        (lambda: cosine_similarity(good, rows), "b"),
        (lambda: normalize(rows), "x"),
    ):
        with pytest.raises(TypeError, match=message.format(name)):
            call()


@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2)])
def test_wrong_numbers_of_dimensions(shape: tuple[int, ...]) -> None:
    rows, good = np.ones(shape, np.float32), np.ones((2, 2), np.float32)
    for call, name in (
        (lambda: cosine_topk(rows, good, 1), "queries"),
        (lambda: cosine_topk(good, rows, 1), "items"),
        (lambda: cosine_similarity(rows), "a"),
        (lambda: normalize(rows), "x"),
    ):
        with pytest.raises(ValueError, match=rf"{name} must be two-dimensional \(rows, columns\), got shape") as info:
            call()
        assert str(shape) in str(info.value)
    if len(shape) == 1:
        assert "reshape(1, -1)" in str(info.value)


@pytest.mark.parametrize("rows", [None, "text", {"a": 1}, object()], ids=lambda x: type(x).__name__)
def test_no_arrays_at_all(rows: Any) -> None:
    """Not an array of any kind: the message names the type."""
    with pytest.raises(TypeError, match=rf"queries must .*{type(rows).__name__}"):
        cosine_topk(rows, FLOAT32, 1)


def test_columns_must_agree() -> None:
    message = r"queries and items must have the same number of columns, got shapes \(50, 9\) and \(50, 8\)"
    with pytest.raises(ValueError, match=message):
        cosine_topk(FLOAT32, FLOAT32[:, :8], 1)
    with pytest.raises(ValueError, match=message):
        cosine_threshold(FLOAT32, FLOAT32[:, :8], 1)


def test_masked_arrays_are_refused() -> None:
    """A mask says that values are missing; to search them all the same would be wrong."""
    with pytest.raises(TypeError, match=r"items.*mask"):
        cosine_topk(FLOAT32[:1], np.ma.masked_greater(FLOAT32, 5), 2)


class Peculiar(np.ndarray):
    """Does not behave as an array does."""

    def __getitem__(self, key: Any) -> Any:
        raise NotImplementedError

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def test_of_subclasses_the_memory_counts() -> None:
    for rows in (FLOAT32, FLOAT32.astype(">f4"), FLOAT32.astype(np.int64)):
        assert_same_results(cosine_topk(FLOAT32[:3], rows.view(Peculiar), 5), cosine_topk(FLOAT32[:3], rows, 5))


@given(st.integers(0, 2**31), st.sampled_from(LAYOUTS), st.sampled_from(["f4", "f8", "f2", "i1"]))
def test_inputs_stay_bitwise_unchanged(seed: int, layout: str, dtype: str) -> None:
    x = laid_out(np.random.default_rng(seed).integers(-9, 9, (30, 5)).astype(dtype), layout)
    base = x
    while isinstance(base.base, np.ndarray):
        base = base.base
    before = base.tobytes()
    for way in all_ways(2, 9):
        with taking(way):
            cosine_topk(x[:5], x, 3, metric="pearson")
            cosine_threshold(x[:5], x, 0.1)
    cosine_similarity(x)
    normalize(x)
    assert base.tobytes() == before


def test_torch_is_not_imported_for_numpy_callers() -> None:
    import subprocess

    code = (
        "import sys, numpy as np, aigc_fast as a; a.cosine_topk(np.eye(3), np.eye(3), 1); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
