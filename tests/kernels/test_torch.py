"""torch CPU tensors in, torch tensors out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aigc_fast import TopK, cosine_similarity, cosine_threshold, cosine_topk, normalize

from . import reference
from .checks import assert_same_bits, assert_same_results
from .ways import all_ways, taking

torch = pytest.importorskip("torch")

X = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)


def as_numpy(result: Any) -> Any:
    assert all(isinstance(part, torch.Tensor) for part in result)
    return type(result)(*(part.numpy() for part in result))


def check(tensor: Any, plain: np.ndarray) -> None:
    for way in all_ways(2, 15):
        with taking(way):
            assert_same_results(as_numpy(cosine_topk(tensor, tensor, 3)), reference.topk(plain, plain, 3))
            assert_same_results(as_numpy(cosine_threshold(tensor, tensor, 0.2)), reference.threshold(plain, plain, 0.2))
    assert_same_bits(cosine_similarity(tensor).numpy(), reference.scores(plain, plain), "scores")
    unit, norms = normalize(tensor, return_norms=True)
    assert_same_bits(unit.numpy(), reference.normalize(plain)[0], "rows")
    assert_same_bits(norms.numpy(), reference.normalize(plain)[1], "norms")


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16", "int64", "bool"]
)
def test_dtypes(dtype: str) -> None:
    integers = torch.from_numpy(np.random.default_rng(1).integers(0, 9, (40, 7)))
    tensor = integers.to(getattr(torch, dtype))
    plain = tensor.to(torch.float32).numpy() if dtype == "bfloat16" else tensor.numpy()
    check(tensor, plain)


def test_bfloat16_values_are_exact() -> None:
    tensor = torch.from_numpy(X).to(torch.bfloat16)
    check(tensor, tensor.to(torch.float32).numpy())
    check(tensor[::2].T, tensor[::2].T.to(torch.float32).numpy())


def test_tensors_that_require_grad() -> None:
    tensor = torch.from_numpy(X.copy()).requires_grad_()
    check(tensor, X)
    check(torch.nn.Parameter(torch.from_numpy(X.copy())), X)
    check(tensor * 2, X * 2)  # not a leaf
    assert tensor.grad is None
    assert tensor.requires_grad


@pytest.mark.parametrize(
    "view",
    [lambda t: t.T, lambda t: t[::2], lambda t: t[:, ::3], lambda t: t[:, 2:5], lambda t: t[:1].expand(9, -1)],
    ids=["transposed", "row step", "column step", "columns", "expanded"],
)
def test_non_contiguous(view: Any) -> None:
    tensor = view(torch.from_numpy(X))
    check(tensor, tensor.numpy().copy())


def test_subclasses_and_lazy_views() -> None:
    check(torch.from_numpy(X).as_subclass(type("Mine", (torch.Tensor,), {})), X)
    negated = torch.complex(torch.from_numpy(X), torch.from_numpy(X)).conj().imag  # its memory holds +X
    assert negated.is_neg()
    check(negated, -X)


def test_kind_of_output_follows_the_queries() -> None:
    assert isinstance(cosine_topk(torch.from_numpy(X), X, 2).ids, torch.Tensor)
    assert isinstance(cosine_topk(X, torch.from_numpy(X), 2).ids, np.ndarray)


def test_out_tensors() -> None:
    tensor = torch.from_numpy(X)
    out = TopK(torch.empty(40, 3), torch.empty(40, 3, dtype=torch.int64), torch.empty(40, dtype=torch.int64))
    assert cosine_topk(tensor, tensor, 3, out=out) is out
    assert_same_results(as_numpy(out), reference.topk(X, X, 3))
    unit = torch.empty(40, 7)
    assert normalize(tensor, out=unit) is unit
    assert_same_bits(unit.numpy(), reference.normalize(X)[0], "rows")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_thresholds_and_pages_from_torch(dtype: str) -> None:
    """0.25 and 0.5 are exact in every type."""
    kind = getattr(torch, dtype)
    expected = reference.topk(X, X, 5, threshold=0.25, after=(0.5, 3))
    some = torch.full((40,), 0.25, dtype=kind)
    after = (torch.full((40,), 0.5, dtype=kind), torch.full((40,), 3))
    assert_same_results(cosine_topk(X, X, 5, threshold=some, after=after), expected)
    assert_same_results(cosine_topk(X, X, 5, threshold=some[0], after=(after[0][0], 3)), expected)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.ones(2, 2, device="meta"), r"items is a torch tensor on meta; .*items\.cpu\(\)"),
        (torch.eye(2).to_sparse(), r"items is a torch tensor of layout torch.sparse_coo; pass items\.to_dense\(\)"),
        (torch.ones(2, 2, dtype=torch.complex64), "items must hold float64, .* got dtype complex64"),
        (torch.ones(2, 2).to(torch.float8_e5m2), "items.*float8_e5m2"),
    ],
    ids=["device", "layout", "complex", "float8"],
)
def test_wrong_tensors(tensor: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        cosine_topk(np.ones((1, 2), np.float32), tensor, 1)


def test_flush_to_zero_changes_nothing() -> None:
    """The caller's thread may flush subnormal numbers: torch.set_flush_denormal, libraries built with -ffast-math."""
    x = np.array([[1e-42, 0], [0, 1e-42], [1e-42, 1e-42], [3e-39, 1e-45], [1, 0]], np.float32)
    half = np.array([[6e-8, 0], [0, 6e-8], [1, 0]], np.float16)
    for rows in (x, half):
        expected = reference.topk(rows, rows, 4)
        for way in all_ways(1, 2):
            if not torch.set_flush_denormal(True):
                pytest.skip("this CPU cannot flush subnormal numbers to zero")
            try:
                with taking(way):
                    actual = cosine_topk(rows, rows, 4)
            finally:
                torch.set_flush_denormal(False)
            assert_same_results(actual, expected)
