"""Wrong arguments of a call on a GPU get the CPU's error, in the same words, wherever the arrays are."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aigc_fast import TopK, cosine_similarity, cosine_threshold, cosine_topk, normalize
from kernels.checks import assert_same_results

from .conftest import on_host
from .fake_driver import FakeDriver
from .frameworks import GpuArray

RNG = np.random.default_rng(0)
Q, X = RNG.normal(size=(3, 10)).astype(np.float32), RNG.normal(size=(40, 10)).astype(np.float32)
LISTS = np.array([0, 1, 2, 3]), np.array([4, 5, 6])


def out(scores: Any = np.float32, ids: Any = np.int64, counts: Any = np.int64, k: int = 2) -> TopK:
    return TopK(np.empty((3, k), scores), np.empty((3, k), ids), np.empty(3, counts))


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


TOPK = (Q, X, 2)
# function, arguments, options. WRONG_ON_THE_HOST has what arrays on a GPU cannot be.
WRONG: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
    "one query": (cosine_topk, (Q[0], X, 2), {}),
    "one item": (cosine_topk, (Q, X[0], 2), {}),
    "a number": (cosine_topk, (Q[0, 0:1].reshape(()), X, 2), {}),
    "three dimensions": (cosine_topk, (Q, X[None], 2), {}),
    "columns": (cosine_topk, (Q, X[:, :4], 2), {}),
    "columns of a threshold search": (cosine_threshold, (Q, X[:, :4], 0.1), {}),
    "columns of a and b": (cosine_similarity, (Q, X[:, :4]), {}),
    "complex queries": (cosine_topk, (Q.astype(complex), X, 2), {}),
    "complex items": (cosine_topk, (Q, X.astype(complex), 2), {}),
    "complex rows": (normalize, (X.astype(complex),), {}),
    "a row": (normalize, (X[0],), {}),
    "k below 0": (cosine_topk, (Q, X, -1), {}),
    "k too large": (cosine_topk, (Q, X, 2**31), {}),
    "k of float": (cosine_topk, (Q, X, 2.0), {}),
    "k of bool": (cosine_topk, (Q, X, True), {}),
    "k of str": (cosine_topk, (Q, X, "2"), {}),
    "k of None": (cosine_topk, (Q, X, None), {}),
    "k and metric": (cosine_topk, (Q, X, -1), {"metric": "l2"}),
    "metric": (cosine_topk, TOPK, {"metric": "l2"}),
    "metric of similarity": (cosine_similarity, (Q, X), {"metric": None}),
    "metric of a threshold search": (cosine_threshold, (Q, X, 0.1), {"metric": 1}),
    "threshold is NaN": (cosine_topk, TOPK, {"threshold": float("nan")}),
    "threshold of str": (cosine_topk, TOPK, {"threshold": "0.5"}),
    "threshold of bool": (cosine_topk, TOPK, {"threshold": True}),
    "threshold of complex": (cosine_topk, TOPK, {"threshold": np.zeros(3, complex)}),
    "thresholds of bool": (cosine_topk, TOPK, {"threshold": np.zeros(3, bool)}),
    "too few thresholds": (cosine_topk, TOPK, {"threshold": np.zeros(2)}),
    "thresholds in a column": (cosine_threshold, (Q, X, np.zeros((3, 1))), {}),
    "no threshold": (cosine_threshold, (Q, X, None), {}),
    "exclude of a list": (cosine_topk, TOPK, {"exclude": [1, 2]}),
    "exclude of three": (cosine_topk, TOPK, {"exclude": (LISTS[0], LISTS[1], 1)}),
    "exclude of too few queries": (cosine_topk, TOPK, {"exclude": (LISTS[0][:3], LISTS[1][:2])}),
    "exclude descends": (cosine_topk, TOPK, {"exclude": (LISTS[0][::-1], LISTS[1])}),
    "exclude of float": (cosine_topk, TOPK, {"exclude": (LISTS[0], LISTS[1] * 0.5)}),
    "exclude of ids beyond": (cosine_threshold, (Q, X, 0.1), {"exclude": (LISTS[0], LISTS[1] + 40)}),
    "exclude of ids below 0": (cosine_topk, TOPK, {"exclude": (LISTS[0], -LISTS[1])}),
    "allow of a short mask": (cosine_topk, TOPK, {"allow": np.ones(39, bool)}),
    "allow of ids beyond": (cosine_topk, TOPK, {"allow": [0, 40]}),
    "allow of float": (cosine_topk, TOPK, {"allow": [0.5]}),
    "allow of a set": (cosine_topk, TOPK, {"allow": {1, 2}}),
    "allow of lists": (cosine_topk, TOPK, {"allow": (LISTS[0], LISTS[1] + 40)}),
    "after of a number": (cosine_topk, TOPK, {"after": 0.5}),
    "after of NaN": (cosine_topk, TOPK, {"after": (float("nan"), 1)}),
    "after of too few": (cosine_topk, TOPK, {"after": (np.zeros(2), 1)}),
    "after of ids of float": (cosine_topk, TOPK, {"after": (0.5, 1.0)}),
    "out of an array": (cosine_topk, TOPK, {"out": np.empty(3)}),
    "out of two": (cosine_topk, TOPK, {"out": out()[:2]}),
    "out of another k": (cosine_topk, TOPK, {"out": out(k=3)}),
    "out of float64": (cosine_topk, TOPK, {"out": out(scores=np.float64)}),
    "out of int32": (cosine_topk, TOPK, {"out": out(ids=np.int32)}),
    "out of uint64": (cosine_topk, TOPK, {"out": out(counts=np.uint64)}),
    "out in columns": (cosine_topk, TOPK, {"out": out()._replace(ids=np.empty((2, 3), np.int64).T)}),
    "out to read": (cosine_topk, TOPK, {"out": out()._replace(scores=read_only(np.empty((3, 2), np.float32)))}),
    "out before threshold": (cosine_topk, TOPK, {"out": out(k=3), "threshold": "0.5"}),
    "unit rows of another shape": (normalize, (X,), {"out": np.empty((40, 9), np.float32)}),
    "unit rows of float64": (normalize, (X,), {"out": np.empty((40, 10))}),
    "unit rows in columns": (normalize, (X,), {"out": np.empty((40, 10), np.float32, order="F")}),
    "no threads": (cosine_topk, TOPK, {"num_threads": 0}),
    "threads of float": (cosine_threshold, (Q, X, 0.1), {"num_threads": 1.5}),
    "too many threads": (cosine_similarity, (Q, X), {"num_threads": 5_000}),
    "threads to normalize": (normalize, (X,), {"num_threads": -1}),
    "no memory": (cosine_topk, TOPK, {"max_memory": 0}),
    "memory of float": (cosine_threshold, (Q, X, 0.1), {"max_memory": 1e9}),
    "memory of similarity": (cosine_similarity, (Q, X), {"max_memory": -1}),
    "memory to normalize": (normalize, (X,), {"max_memory": "1 GB"}),
}
WRONG_ON_THE_HOST: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
    "strings": (cosine_topk, ([["a"]], X, 2), {}),
    "objects": (cosine_topk, (Q, X.astype(object), 2), {}),
    "dates": (cosine_topk, (Q, X.astype("M8[s]"), 2), {}),
    "ragged lists": (cosine_topk, ([[1.0], [1.0, 2.0]], X, 2), {}),
    "a mask": (cosine_topk, (np.ma.masked_array(Q), X, 2), {}),
    "None": (cosine_topk, (None, X, 2), {}),
    "a number for rows": (cosine_similarity, (3, X), {}),
    "a string": (normalize, ("rows",), {}),
    "thresholds of unequal lengths": (cosine_topk, TOPK, {"threshold": [[1], [1, 2]]}),
    "a mask of thresholds": (cosine_topk, TOPK, {"threshold": np.ma.masked_array(np.zeros(3))}),
    "thresholds with NaN": (cosine_topk, TOPK, {"threshold": np.array([0.1, np.nan, 0.2])}),
    "out of lists": (cosine_topk, TOPK, {"out": TopK([0], [0], [0])}),
    "unit rows in a list": (normalize, (X,), {"out": [[0.0]]}),
    "out not aligned": (
        cosine_topk, TOPK, {"out": out()._replace(scores=np.empty(25, np.uint8)[1:].view(np.float32).reshape(3, 2))},
    ),
}  # fmt: skip


def error_of(function: Callable[..., Any], arguments: Any, options: Any) -> tuple[type[Exception], str]:
    with pytest.raises((ValueError, TypeError)) as caught:
        function(*arguments, **options)
    return caught.type, str(caught.value)


def moved(value: Any, to: Callable[[Any], Any]) -> Any:
    """An argument with its arrays moved to a GPU, but for those of filters."""
    if isinstance(value, TopK):
        return TopK(*(moved(part, to) for part in value))
    return to(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("case", [*WRONG, *WRONG_ON_THE_HOST])
def test_of_arrays_on_the_host(case: str, driver: FakeDriver) -> None:
    function, arguments, options = (WRONG | WRONG_ON_THE_HOST)[case]
    expected = error_of(function, arguments, options)
    assert error_of(function, arguments, {**options, "device": "cuda"}) == expected
    assert not driver.launches


@pytest.mark.parametrize("case", WRONG)
def test_of_arrays_on_a_gpu(case: str, driver: FakeDriver, fakes: SimpleNamespace) -> None:
    function, arguments, options = WRONG[case]
    expected = error_of(function, arguments, options)
    arguments = tuple(moved(value, fakes.cupy.Array.of) for value in arguments)
    filters = ("exclude", "allow", "after")
    options = {k: value if k in filters else moved(value, fakes.cupy.Array.of) for k, value in options.items()}
    assert error_of(function, arguments, options) == expected
    assert not driver.launches


PLACES = {"q": 0, "x": 100, "scores": 128, "ids": 160, "counts": 200}


def in_one_room(**places: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Queries, items whose rows lie in descending order, and outputs, at offsets of one memory."""
    room, at = np.zeros(256, np.uint8), PLACES | places
    q, x, scores = (
        np.ndarray(shape, np.float32, room.data, at[name], strides)
        for name, shape, strides in (("q", (2, 3), None), ("x", (4, 3), (-12, 4)), ("scores", (2, 2), None))
    )
    ids, counts = np.ndarray((2, 2), np.int64, room.data, at["ids"]), np.ndarray(2, np.int64, room.data, at["counts"])
    q[:], x[:] = Q[:2, :3], X[:4, :3]
    return room, [q, x, scores, ids, counts]


@pytest.mark.parametrize("framework", ["torch", "cupy"])
@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"scores": 20}, "out scores must not share memory with queries"),
        ({"scores": 52}, "out scores must not share memory with items"),
        ({"ids": 104}, "out ids must not share memory with items"),
        ({"ids": 136}, "out ids must not share memory with out scores"),
        ({"counts": 184}, "out counts must not share memory with out ids"),
        ({"counts": 136}, "out counts must not share memory with out scores"),
        ({"scores": 24, "counts": 112}, None),
    ],
)
def test_outputs_that_share_memory(
    places: dict[str, int], message: str | None, framework: str, driver: FakeDriver, fakes: SimpleNamespace
) -> None:
    """Results are written while rows are read: on a GPU too, and where its results go to the host."""
    array = getattr(fakes, framework).Array

    def search(to: Callable[[np.ndarray], Any], **options: Any) -> TopK:
        q, x, *results = map(to, parts)
        return cosine_topk(q, x, 2, out=TopK(*results), **options)

    room, parts = in_one_room(**places)
    copy = array.of(room)

    def on_gpu(host: np.ndarray) -> Any:
        view = array(host)
        view.pointer, view.like = copy.pointer + host.ctypes.data - room.ctypes.data, host
        return view

    for to, options in ((np.asarray, {}), (np.asarray, {"device": "cuda"}), (on_gpu, {})):
        if message is None:
            found = search(to, **options)
            assert_same_results(on_host(found) if to is on_gpu else found, cosine_topk(Q[:2, :3], X[:4, :3], 2))
            parts[0][:], parts[1][:] = Q[:2, :3], X[:4, :3]
        else:
            with pytest.raises(ValueError, match=f"^{message}$"):
                search(to, **options)


def test_outputs_on_another_device(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    q, x = map(fakes.cupy.Array.of, (Q, X))
    there = moved(out(), fakes.cupy.Array.of)
    with pytest.raises(TypeError, match="out scores must be on GPU 0 like the result, got ndarray"):
        cosine_topk(q, x, 2, out=out())
    with pytest.raises(TypeError, match="out scores must be a NumPy array or a torch CPU tensor, got ndarray"):
        cosine_topk(Q, x, 2, out=there)
    there.ids.gpu = 1
    with pytest.raises(TypeError, match="out ids must be on GPU 0 like the result, got ndarray"):
        cosine_topk(q, x, 2, out=there)


def test_memory_that_kernels_cannot_read(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    """An access that is not aligned, or of bytes in another order, would fault or be wrong without a word."""
    q, x, there = fakes.cupy.Array.of(Q), fakes.cupy.Array.of(X), moved(out(), fakes.cupy.Array.of)
    there.scores.pointer += 2
    with pytest.raises(ValueError, match="out scores must be C-contiguous, aligned and writable"):
        cosine_topk(q, x, 2, out=there)
    q.pointer += 2
    with pytest.raises(ValueError, match="queries does not lie at a multiple of its elements' size"):
        cosine_topk(q, x, 2)
    foreign = type("Foreign", (GpuArray,), {"driver": driver})
    with pytest.raises(TypeError, match=r"items must hold .* got dtype >f4"):
        cosine_topk(fakes.cupy.Array.of(Q), foreign.of(X.astype(">f4")), 2)


def test_filters_on_a_gpu(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    q, x = map(fakes.cupy.Array.of, (Q, X))
    ids = fakes.cupy.Array.of(np.arange(3))
    for filters, name in (
        ({"allow": ids}, "allow"),
        ({"exclude": (LISTS[0], ids)}, "exclude"),
        ({"after": (0.5, ids)}, "after id"),
    ):
        with pytest.raises(TypeError, match=f"^{name} is a ndarray on a GPU; it is needed on the CPU: copy it there"):
            cosine_topk(q, x, 2, **filters)


def test_thresholds_on_a_gpu_are_rounded_as_on_the_cpu(driver: FakeDriver, fakes: SimpleNamespace) -> None:
    """By way of float64: rounded at once, this integer would be the next float32."""
    threshold = np.array([2**60 + 2**36 + 1])
    q, x = np.ones((1, 1), np.float32), np.full((1, 1), 2.0**60, np.float32)
    arguments = (fakes.cupy.Array.of(array) for array in (q, x, threshold))
    found = on_host(cosine_threshold(*arguments, metric="inner_product"))
    assert_same_results(found, cosine_threshold(q, x, threshold, metric="inner_product"))
    assert found.ids.tolist() == [0]
