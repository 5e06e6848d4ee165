"""cosine_topk against the reference, bit for bit, on every instruction set and every path."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigc_fast import TopK, cosine_similarity, cosine_threshold, cosine_topk

from . import reference
from .checks import assert_same_results
from .inputs import LONG_DIMS, METRICS, Problem, counts_around, problems, ways
from .subprocesses import run_python
from .ways import ISAS, PATHS, Way, all_ways, taking


def check_everywhere(problem: Problem, k: int, some_ways: list[Way], **kwargs: Any) -> TopK:
    queries, items, metric = problem
    expected = reference.topk(queries, items, k, metric=metric, **kwargs)
    for way in some_ways:
        with taking(way):
            actual = cosine_topk(queries, items, k, metric=metric, **kwargs)
        try:
            assert_same_results(actual, expected)
        except AssertionError as error:
            raise AssertionError(f"{way}: {error}") from None
    return expected


@given(problems(), ways(), st.data())
@settings(max_examples=4 * settings().max_examples)
def test_equals_reference(problem: Problem, some_ways: list[Way], data: st.DataObject) -> None:
    check_everywhere(problem, data.draw(counts_around(len(problem.items)), label="k"), some_ways)


@given(problems(dims=LONG_DIMS, items=st.integers(1, 30), queries=st.integers(1, 9)), ways(), st.integers(1, 4))
@settings(max_examples=settings().max_examples // 4)
def test_equals_reference_long_rows(problem: Problem, some_ways: list[Way], k: int) -> None:
    check_everywhere(problem, k, some_ways)


@given(
    problems(items=st.integers(100, 400), dims=st.integers(1, 9), queries=st.integers(1, 6)), ways(), st.integers(1, 4)
)
def test_equals_reference_many_items(problem: Problem, some_ways: list[Way], k: int) -> None:
    """More items than candidates have room for (2 k + 64): selection compacts, and scores where bounds cannot tell."""
    check_everywhere(problem, k, some_ways)


@given(problems(queries=st.integers(1, 40)), ways(), st.data())
def test_equals_reference_with_threshold(problem: Problem, some_ways: list[Way], data: st.DataObject) -> None:
    queries, items, metric = problem
    table = reference.scores(queries, items, metric)
    reached = table[np.isfinite(table)].tolist()
    one = st.one_of(
        st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0, np.inf]), *[st.sampled_from(reached)] * bool(reached)
    )
    several = st.lists(one, min_size=len(queries), max_size=len(queries)).map(np.array)
    threshold = data.draw(st.one_of(one, several), label="threshold")
    k = data.draw(counts_around(len(items)), label="k")
    check_everywhere(problem, k, some_ways, threshold=threshold)


# Integer values: exact sums in any order, and many ties.


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("query_count", [1, 2, 3, 4, 5, 17, 33])
@pytest.mark.parametrize("dim", [1, 7, 8, 9, 15, 16, 17, 33])
def test_integer_rows(isa: str, query_count: int, dim: int) -> None:
    rng = np.random.default_rng(dim)
    q = rng.integers(-3, 4, (query_count, dim)).astype(np.float32)
    x = rng.integers(-3, 4, (61, dim)).astype(np.float32)
    products = (q.astype(np.int64) @ x.T.astype(np.int64)).astype(np.float32)
    order = np.lexsort((np.broadcast_to(np.arange(61), products.shape), -products))[:, :9]
    for path in PATHS:
        with taking(Way(isa, path, 1, 25)):
            best = cosine_topk(q, x, 9, metric="inner_product")
        assert best.ids.tolist() == order.tolist()
        assert best.scores.tolist() == np.take_along_axis(products, order, axis=1).tolist()


def near_duplicates(rng: np.random.Generator, count: int, dim: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Rows within a few units in the last place of one row: scores that a float32 scan cannot tell apart."""
    row = rng.normal(size=dim).astype(dtype)
    rows = np.repeat(row[None], count, axis=0)
    for i in range(count):
        at = rng.integers(dim)
        for _ in range(rng.integers(4)):
            rows[i, at] = np.nextafter(rows[i, at], dtype(rng.choice([-9, 9])))
    return row[None] + rng.normal(size=(1, dim)).astype(dtype) / 4, rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 10, 100])
def test_near_duplicates_around_the_kth_score(dtype: type, metric: str, k: int) -> None:
    q, x = near_duplicates(np.random.default_rng(k), 500, 24, dtype)
    check_everywhere(Problem(q, x, metric), k, all_ways(2, 60))


@pytest.mark.parametrize("metric", METRICS)
def test_float64_rows_that_float32_cannot_tell_apart(metric: str) -> None:
    """All items become the same float32 row; for Pearson some become constant."""
    rng = np.random.default_rng(3)
    x = 1 + 1e-12 * rng.normal(size=(300, 5))
    q = rng.normal(size=(6, 5))
    check_everywhere(Problem(q, x, metric), 5, all_ways(2, 40))
    check_everywhere(Problem(q, x, metric), 5, all_ways(1, 40), threshold=0.25)


@pytest.mark.parametrize("raised", [1e-3, 1e-6, 1e-7, 1e-12, 1e-15])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pearson_of_almost_constant_rows(dtype: type, raised: float) -> None:
    rng = np.random.default_rng(4)
    x = (7 + raised * rng.normal(size=(200, 20))).astype(dtype)
    q = (3 + raised * rng.normal(size=(5, 20))).astype(dtype)
    check_everywhere(Problem(q, x, "pearson"), 7, all_ways(2, 50))


def test_float64_inner_product_of_an_enormous_query() -> None:
    """The query's squared norm overflows; its scores do not."""
    q, x = np.array([[1e200, 1e200], [1e-200, 0]]), np.array([[1.0, 0.0], [-1.0, 0.0], [0.5, 0.5], [0.25, 0.0]])
    best = check_everywhere(Problem(q, x, "inner_product"), 3, all_ways(1, 2))
    assert best.ids.tolist() == [[0, 2, 3], [0, 2, 3]]


def test_more_ties_than_candidates_have_room_for() -> None:
    x = np.ones((5000, 3), np.float32)
    x[4990:, 0] = 2
    best = check_everywhere(Problem(x[:2], x, "inner_product"), 12, all_ways(3, 700))
    assert best.ids[0].tolist() == [*range(4990, 5000), 0, 1]


# Shapes.


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2000, 0), (1, 1)])
@pytest.mark.parametrize("query_count", [0, 1, 6])
@pytest.mark.parametrize("k", [0, 1, 4])
def test_empty_and_tiny_shapes(metric: str, shape: tuple[int, int], query_count: int, k: int) -> None:
    items = np.ones(shape, np.float32)
    queries = np.ones((query_count, shape[1]), np.float32)
    planned = [Way(isa, None) for isa in ISAS]
    check_everywhere(Problem(queries, items, metric), k, planned)


def test_a_scan_may_be_asked_of_no_items() -> None:
    """The planner never does, the hook may: in a process of its own, since a division by zero would end this one."""
    code = """
import numpy as np
from aigc_fast import _core, cosine_threshold, cosine_topk
none = np.ones((0, 3), np.float32)
for way in ("f32", "dense", "bf16", "int8"):
    _core.override_plan(way, 2, 5)
    best, hits = cosine_topk(np.ones((2, 3)), none, 4), cosine_threshold(np.ones((2, 3)), none, 0)
    print(best.counts.tolist(), hits.indptr.tolist())
"""
    assert run_python(code).splitlines() == ["[0, 0] [0, 0, 0]"] * 4


def test_out_is_written_and_returned() -> None:
    rng = np.random.default_rng(5)
    q, x = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=(9, 4)).astype(np.float32)
    out = TopK(np.empty((3, 2), np.float32), np.empty((3, 2), np.int64), np.empty(3, np.int64))
    assert cosine_topk(q, x, 2, out=out) is out
    assert_same_results(out, reference.topk(q, x, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.empty((3, 2))}, r"out scores.*\(3, 2\) and dtype float32.*float64"),
        ({"scores": np.empty((2, 2), np.float32)}, r"out scores.*\(3, 2\).*\(2, 2\)"),
        ({"ids": np.empty((3, 2), np.int32)}, r"out ids.*int64.*int32"),
        ({"ids": np.empty((2, 3), np.int64).T}, "out ids must be C-contiguous"),
        ({"counts": np.empty(2, np.int64)}, r"out counts.*\(3,\).*\(2,\)"),
    ],
)
def test_out_is_checked(change: dict[str, np.ndarray], message: str) -> None:
    x = np.ones((3, 4), np.float32)
    out = TopK(np.empty((3, 2), np.float32), np.empty((3, 2), np.int64), np.empty(3, np.int64))._replace(**change)
    with pytest.raises(ValueError, match=message):
        cosine_topk(x, x, 2, out=out)


def test_out_shares_no_memory() -> None:
    """Results are written while rows are read: an overlap would change what later queries find."""
    x = np.ones((3, 2), np.float32)
    ids = np.empty((3, 2), np.int64)
    unaligned = np.empty(25, np.uint8)[1:].view(np.float32).reshape(3, 2)
    for out, message in (
        (TopK(x, ids, np.empty(3, np.int64)), "out scores must not share memory with queries"),
        (TopK(np.empty_like(x), ids, ids.reshape(-1)[:3]), "out counts must not share memory with out ids"),
        (TopK(unaligned, ids, np.empty(3, np.int64)), "out scores must be C-contiguous, aligned and writable"),
    ):
        with pytest.raises(ValueError, match=message):
            cosine_topk(x, np.eye(2, dtype=np.float32), 2, out=out)


@pytest.mark.parametrize("k", ["2", 1.0, None, True])
def test_k_must_be_an_integer(k: Any) -> None:
    x = np.ones((3, 4), np.float32)
    with pytest.raises(TypeError, match=rf"k must be an integer, got {type(k).__name__}"):
        cosine_topk(x, x, k)


@pytest.mark.parametrize("k", [2**62, 2**63 - 32, 2**64])
def test_k_beyond_memory(k: int) -> None:
    """No memory has room for the result; the message says that k is why, even where there is no query."""
    x = np.ones((3, 4), np.float32)
    for queries in (x, x[:0]):
        with pytest.raises(ValueError, match=rf"k .*{k}"):
            cosine_topk(queries, x, k)


@pytest.mark.parametrize("metric", ["dot", "", None, 1, np.array(["cosine", "pearson"])])
def test_unknown_metric(metric: Any) -> None:
    x = np.ones((3, 4), np.float32)
    message = re.escape(f"metric must be 'cosine', 'inner_product' or 'pearson', got {metric!r}")
    for call in (
        lambda: cosine_topk(x, x, 2, metric=metric),
        lambda: cosine_threshold(x, x, 0.5, metric=metric),
        lambda: cosine_similarity(x, metric=metric),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            call()


@pytest.mark.parametrize("out", [5, np.ones((3, 2)), (np.ones((3, 2), np.float32),)])
def test_out_must_be_three_arrays(out: Any) -> None:
    x = np.ones((3, 4), np.float32)
    with pytest.raises(TypeError, match=f"out must be .*TopK.*got {type(out).__name__}"):
        cosine_topk(x, x, 2, out=out)


# Metamorphic properties: no reference needed.


SCALABLE = ("integer", "normal", "duplicate", "zero", "query")  # no bits to lose to underflow


@given(
    problems(kinds=SCALABLE, metrics=("cosine", "pearson"), dtypes=("float32", "float64")), ways(), st.integers(0, 99)
)
def test_scaling_by_a_power_of_two_changes_nothing(problem: Problem, some_ways: list[Way], seed: int) -> None:
    queries, items, metric = problem
    exponents = np.random.default_rng(seed).integers(-40, 41, (len(items), 1), np.int32)
    scaled = np.ldexp(items, exponents)
    for way in some_ways:
        with taking(way):
            plain = cosine_topk(queries, items, 5, metric=metric)
            assert_same_results(cosine_topk(queries, scaled, 5, metric=metric), plain)
            assert_same_results(cosine_topk(queries * queries.dtype.type(2**30), items, 5, metric=metric), plain)


@given(problems(), ways(), st.integers(0, 99))
def test_permuting_items_permutes_ids(problem: Problem, some_ways: list[Way], seed: int) -> None:
    queries, items, metric = problem
    count = len(items)
    permutation = np.random.default_rng(seed).permutation(count)
    for way in some_ways:
        with taking(way):
            plain = cosine_topk(queries, items, count, metric=metric)
            permuted = cosine_topk(queries, items[permutation], count, metric=metric)
        assert (permuted.scores == plain.scores).all()  # not by bits: a score may underflow to -0, a tie with 0
        for i, found in enumerate(plain.counts):
            # Ties are ordered by the new ids: compare as sets of (score, old id).
            old = permutation[permuted.ids[i, :found]]
            assert set(zip(permuted.scores[i, :found], old, strict=True)) == set(
                zip(plain.scores[i, :found], plain.ids[i, :found], strict=True)
            )


@given(problems(), ways(), st.integers(0, 12))
def test_topk_is_a_prefix_of_top_k_plus_one(problem: Problem, some_ways: list[Way], k: int) -> None:
    queries, items, metric = problem
    for way in some_ways:
        with taking(way):
            fewer = cosine_topk(queries, items, k, metric=metric)
            more = cosine_topk(queries, items, k + 1, metric=metric)
        prefix = TopK(more.scores[:, :k], more.ids[:, :k], np.minimum(more.counts, k))
        assert_same_results(fewer, prefix)


@given(problems(queries=st.integers(1, 40)), ways())
def test_batch_equals_single_queries(problem: Problem, some_ways: list[Way]) -> None:
    queries, items, metric = problem
    for way in some_ways:
        with taking(way):
            batch = cosine_topk(queries, items, 4, metric=metric)
            single = [cosine_topk(queries[i : i + 1], items, 4, metric=metric) for i in range(len(queries))]
        assert_same_results(batch, TopK(*(np.concatenate(part) for part in zip(*single, strict=True))))
