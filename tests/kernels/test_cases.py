"""The cases that users of similar libraries reported, by number, as input and right answer.

Case 15 (ids that are removed) belongs to the index, a part of 16 (arrays on a GPU) and 17 (CUDA streams) to tests/gpu;
18 is in test_threads.py, 19 in test_memory.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from aigc_fast import TopK, cosine_similarity, cosine_threshold, cosine_topk

from . import reference
from .checks import assert_same_results, id_lists
from .inputs import METRICS
from .test_arrays import DLPackOnly
from .ways import ISAS, Way, all_ways, taking

X = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [2, 0]], np.float32)
Q = X[:1]
WAYS = [*all_ways(2, 2), *(Way(isa, None) for isa in ISAS)]


@pytest.fixture(params=WAYS, ids=str)
def _way(request: pytest.FixtureRequest) -> Any:
    with taking(request.param):
        yield


pytestmark = pytest.mark.usefixtures("_way")
once = pytest.mark.parametrize("_way", [Way(ISAS[0], None)], ids=str, indirect=True)


def test_case_01_five_best() -> None:
    best = cosine_topk(Q, X, 5)
    assert best.ids.tolist() == [[0, 4, 2, 1, 3]]
    assert best.scores.tolist() == [[1, 1, float(np.float32(0.5**0.5)), 0, 0]]


def test_case_02_more_than_there_are() -> None:
    best = cosine_topk(Q, X, 8)
    assert best.ids.tolist() == [[0, 4, 2, 1, 3, -1, -1, -1]]
    assert best.scores[0, 5:].tolist() == [-np.inf] * 3
    assert best.counts.tolist() == [5]


def test_case_03_topk_with_threshold() -> None:
    best = cosine_topk(Q, X, 3, threshold=0.8)
    assert (best.ids.tolist(), best.counts.tolist()) == ([[0, 4, -1]], [2])
    assert cosine_topk(Q, X, 3, threshold=0.7).ids.tolist() == [[0, 4, 2]]


@pytest.mark.parametrize(
    "threshold", [1.0, 1, np.float32(1), np.float64(1), np.int64(1), np.array(1.0), np.array([1.0]), [1.0], [1]]
)
def test_case_04_threshold_is_inclusive(threshold: Any) -> None:
    assert cosine_threshold(Q, X, threshold).ids.tolist() == [0, 4]
    assert cosine_topk(Q, X, 3, threshold=threshold).ids.tolist() == [[0, 4, -1]]


def test_case_04_threshold_by_query() -> None:
    hits = cosine_threshold(X[[0, 0]], X, np.array([1.0, 0.5]))
    assert (hits.indptr.tolist(), hits.ids.tolist()) == ([0, 2, 5], [0, 4, 0, 4, 2])


def test_case_05_exclusions_by_query() -> None:
    best = cosine_topk(X[[0, 0]], X, 3, exclude=id_lists([[0, 4], []]))
    assert best.ids.tolist() == [[2, 1, 3], [0, 4, 2]]
    nothing = cosine_topk(X[[0, 0]], X, 3, exclude=id_lists([range(5)] * 2))
    assert nothing.ids.tolist() == [[-1] * 3] * 2
    assert nothing.scores.tolist() == [[-np.inf] * 3] * 2
    assert nothing.counts.tolist() == [0, 0]


def test_case_06_allow_list() -> None:
    items, query = np.array([[3], [1], [2]], np.float32), np.array([[1]], np.float32)
    assert cosine_topk(query, items, 2, allow=[0, 2], metric="inner_product").ids.tolist() == [[0, 2]]
    assert cosine_topk(query, items, 2, allow=None, metric="inner_product").ids.tolist() == [[0, 2]]
    assert cosine_topk(query, items, 2, allow=[], metric="inner_product").counts.tolist() == [0]


def test_case_07_rows_with_nan() -> None:
    items = np.array([[1, 0], [np.nan, 0], [0.9, 0.1]], np.float32)
    assert cosine_topk(Q, items, 3).ids.tolist() == [[0, 2, -1]]
    batch = np.concatenate([Q, items[1:2], Q])
    assert cosine_topk(batch, items, 3).ids.tolist() == [[0, 2, -1], [-1] * 3, [0, 2, -1]]
    assert cosine_threshold(batch, items, -1).indptr.tolist() == [0, 2, 2, 4]


@pytest.mark.parametrize("dim", [1, 3, 8, 17])
@pytest.mark.parametrize("query_count", [1, 50])
def test_case_08_ties_by_id(dim: int, query_count: int) -> None:
    items = np.ones((6, dim), np.float32)
    queries = np.ones((query_count, dim), np.float32)
    best = cosine_topk(queries, items, 3)
    assert best.ids.tolist() == [[0, 1, 2]] * query_count
    more = cosine_topk(queries, items, 6)
    assert_same_results(best, TopK(more.scores[:, :3], more.ids[:, :3], best.counts))


@pytest.mark.parametrize(
    "row",
    [[1e20, 1e20], [1e-30, 1e-30], *([1e-4] * d for d in (3, 4, 7, 8, 16))],
    ids=lambda row: f"{row[0]}x{len(row)}",
)
def test_case_09_self_similarity_of_extreme_norms(row: list[float]) -> None:
    x = np.array([row], np.float32)
    assert abs(cosine_topk(x, x, 1).scores[0, 0] - 1) <= 1e-6
    assert abs(cosine_similarity(x)[0, 0] - 1) <= 1e-6
    assert cosine_threshold(x, x, 1 - 1e-6).ids.tolist() == [0]


def test_case_10_scores_within_one() -> None:
    x = np.random.default_rng(0).normal(size=(200, 96)).astype(np.float32)
    for scores in (cosine_similarity(x), cosine_topk(x, x, 200).scores, cosine_similarity(x.astype(np.float64))):
        assert -1 <= scores.min() <= scores.max() <= 1


@pytest.mark.parametrize("metric", METRICS)
def test_case_11_chunks(metric: Any) -> None:
    """Chunks of 1, 7 and the rest, searched one by one and merged by (score, id)."""
    x = np.random.default_rng(0).integers(-2, 3, (60, 6)).astype(np.float32)
    queries = x[:7] + np.float32(0.25)
    whole = cosine_topk(queries, x, 12, metric=metric)
    merged: list[list[tuple[float, int]]] = [[] for _ in queries]
    for begin, end in ((0, 1), (1, 8), (8, 60)):
        best = cosine_topk(queries, x[begin:end], 12, metric=metric)
        for i, count in enumerate(best.counts):
            merged[i] += zip((-best.scores[i, :count]).tolist(), (best.ids[i, :count] + begin).tolist(), strict=True)
    rows = [sorted(row)[:12] for row in merged]
    assert [[j for _, j in row] for row in rows] == whole.ids.tolist()
    assert [[-score for score, _ in row] for row in rows] == whole.scores.tolist()


@once
def test_case_11_an_empty_chunk() -> None:
    assert cosine_topk(Q, X[2:2], 3).counts.tolist() == [0]
    assert cosine_threshold(Q, X[2:2], -1).indptr.tolist() == [0, 0]


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.astype(np.float64),
        lambda x: x.astype(np.float16),
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1].copy()[::-1],
        lambda x: x.astype(">f4"),
        lambda x: x.astype(">f8"),
    ],
    ids=["float64", "float16", "fortran", "row step", "column step", "reversed", "big-endian", "big-endian float64"],
)
def test_case_12_forms_of_the_same_values(form: Callable[[np.ndarray], np.ndarray]) -> None:
    plain = np.random.default_rng(0).integers(-9, 10, (70, 11)).astype(np.float32)
    expected = cosine_topk(plain[:6], plain, 9)
    x = form(plain)
    x.flags.writeable = False
    before = x.tobytes()
    best = cosine_topk(x[:6], x, 9)
    # float64 scores tell apart what float32 scores take for ties
    if best.scores.dtype == np.float32:
        assert_same_results(best, expected)
    else:
        assert_same_results(best, reference.topk(plain[:6].astype(np.float64), plain.astype(np.float64), 9))
    assert x.tobytes() == before


@pytest.mark.parametrize("metric", METRICS)
@once
def test_case_13_empty_shapes(metric: Any) -> None:
    no_items = cosine_topk(Q, X[:0], 4, metric=metric)
    assert (no_items.ids.tolist(), no_items.counts.tolist()) == ([[-1] * 4], [0])
    assert no_items.scores.tolist() == [[-np.inf] * 4]
    assert cosine_topk(X[:0], X, 4, metric=metric).ids.shape == (0, 4)
    none = cosine_topk(X, X, 0, metric=metric)
    assert none.ids.shape == none.scores.shape == (5, 0)
    assert none.counts.tolist() == [0] * 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cosine_topk(Q, X, -1), "k must be at least 0, got -1"),
        (lambda: cosine_topk(Q, X, 1, threshold=float("nan")), "threshold must not be NaN"),
        (lambda: cosine_threshold(Q, X, float("nan")), "threshold must not be NaN"),
        (lambda: cosine_topk(X[None], X, 1), r"queries must be two-dimensional .* got shape \(1, 5, 2\)"),
        (lambda: cosine_topk(Q, X[None], 1), r"items must be two-dimensional .* got shape \(1, 5, 2\)"),
        (
            lambda: cosine_topk(Q[:, :1], X, 1),
            r"queries and items must have the same number of columns, got .*\(1, 1\).*\(5, 2\)",
        ),
    ],
)
@once
def test_case_13_wrong_arguments(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("num_threads", [1, 2, 8])
def test_case_14_threshold_on_ties(num_threads: int) -> None:
    ones = np.ones((1000, 4), np.float32)
    hits = cosine_threshold(ones[:16], ones, 0.5, num_threads=num_threads)
    assert hits.indptr.dtype == np.int64
    assert hits.indptr.tolist() == list(range(0, 16_001, 1000))
    assert hits.ids.reshape(16, 1000).tolist() == [list(range(1000))] * 16
    assert (hits.scores == 1).all()


@once
def test_case_16_arrays_of_other_libraries() -> None:
    torch = pytest.importorskip("torch")
    pandas = pytest.importorskip("pandas")
    expected = [[0, 4, 2]]
    tensor = torch.from_numpy(X.copy()).requires_grad_()
    assert cosine_topk(tensor[:1], tensor, 3).ids.tolist() == expected
    assert cosine_topk(DLPackOnly(Q.copy()), DLPackOnly(X.copy()), 3).ids.tolist() == expected
    assert cosine_topk(pandas.DataFrame(Q), pandas.DataFrame(X), 3).ids.tolist() == expected
    column = pandas.Series(X.tolist())
    with pytest.raises(TypeError, match=r"items.*np\.stack"):
        cosine_topk(Q, column, 3)
    assert cosine_topk(Q, np.stack(column), 3).ids.tolist() == expected


def slowdown(call: Callable[[], Any], against: Callable[[], Any]) -> float:
    """How many times longer one call takes than another: medians of interleaved rounds, the calmest of three tries."""
    ratios = []
    for _ in range(3):
        seconds: list[list[float]] = [[], []]
        for _ in range(7):
            for job, taken in zip((call, against), seconds, strict=True):
                begin = time.perf_counter()
                job()
                taken.append(time.perf_counter() - begin)
        ratios.append(float(np.median(seconds[0]) / np.median(seconds[1])))
    return min(ratios)


@pytest.mark.parametrize("query_count", [1, 32])
@once
def test_case_20_outlier_dimensions(query_count: int) -> None:
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(15_000, 768)).astype(np.float32)
    spiked = plain.copy()
    spiked[:, [5, 100, 333, 767]] *= 50
    small = spiked[:400]
    assert_same_results(cosine_topk(small[:3], small, 10), reference.topk(small[:3], small, 10))
    dense = cosine_similarity(spiked[:query_count], spiked)
    order = np.argsort(-dense, axis=1, kind="stable")[:, :10]
    assert cosine_topk(spiked[:query_count], spiked, 10).ids.tolist() == order.tolist()
    ratio = slowdown(
        lambda: cosine_topk(spiked[:query_count], spiked, 10), lambda: cosine_topk(plain[:query_count], plain, 10)
    )
    assert ratio <= 2


@once
def test_case_21_ten_thousand_identical_rows() -> None:
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(1_000_000, 8)).astype(np.float32)
    copies = rng.permutation(1_000_000)[:10_000]
    tied = plain.copy()
    tied[copies] = plain[copies[0]]
    queries = np.repeat(plain[copies[:1]], 6, axis=0)
    for query_count in (1, 6):
        best = cosine_topk(queries[:query_count], tied, 100)
        assert best.ids.tolist() == [np.sort(copies)[:100].tolist()] * query_count
        ratio = slowdown(
            lambda n=query_count: cosine_topk(queries[:n], tied, 100),
            lambda n=query_count: cosine_topk(queries[:n], plain, 100),
        )
        assert ratio <= 3
    hits = cosine_threshold(queries[:1], tied, 1.0)
    assert hits.ids.tolist() == np.sort(copies).tolist()
