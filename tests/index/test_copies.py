"""Identical rows: marked when rows are coded, so that a search passes over those that cannot be results."""

from __future__ import annotations

import numpy as np
import pytest

from aigc_fast import CosineIndex, _core

from .model import Model, assert_equal, scanned

COPY = 3  # kinds of rows: 3 + m has at least 2^m identical rows before it


def repeated(rng, count, distinct, dim=19):
    """Rows of few kinds, integers, so that different rows tie as well."""
    return rng.integers(-2, 3, (distinct, dim)).astype(np.float32)[rng.integers(distinct, size=count)]


def kinds(rows, ids=None):
    return _core.ItemCodes.encode(rows, ids, "cosine", 2).arrays()["kinds"]


@pytest.mark.parametrize("distinct", [1, 7, 300])
@pytest.mark.parametrize("given_ids", [False, True])
def test_marks_count_identical_rows_before(distinct, given_ids):
    rng = np.random.default_rng(distinct)
    rows = repeated(rng, 6000, distinct)
    ids = rng.permutation(10_000)[:6000] if given_ids else None
    before: dict[bytes, int] = {}
    expected = np.zeros(6000, np.uint8)
    for row in np.arange(6000) if ids is None else np.argsort(ids):
        seen = before.get(rows[row].tobytes(), 0)
        expected[row] = 0 if seen == 0 else COPY + seen.bit_length() - 1
        before[rows[row].tobytes()] = seen + 1
    np.testing.assert_array_equal(kinds(rows, ids), expected)


def test_rows_that_are_no_copies_are_not_marked():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((5000, 8)).astype(np.float32)
    assert not kinds(rows).any()
    rows[::2] = rows[0]
    rows[4::40, 3] = np.nan
    marks = kinds(rows)
    assert (marks[1::2] == 0).all()
    assert (marks[4::40] == 2).all()  # never a result
    assert marks[0] == 0
    assert (marks[6:4000:40] >= COPY).all()


@pytest.mark.parametrize("given_ids", [False, True])
def test_results_with_filters_and_changes(given_ids):
    rng = np.random.default_rng(1)
    rows = repeated(rng, 9000, 40)
    ids = rng.permutation(50_000)[:9000] if given_ids else np.arange(9000)
    queries = rng.standard_normal((20, 19)).astype(np.float32)
    with scanned("int8", threads=2, block_rows=128):
        index, model = CosineIndex(rows, ids if given_ids else None), Model(ids, rows)
        assert_equal(index, model, queries)
        for _ in range(4):
            best = np.unique(index.topk(queries, 40).ids)
            index.remove(best)
            model.remove(best)
            assert_equal(index, model, queries)
        new = repeated(rng, 6000, 3)
        model.add(index.add(new), new)
        assert_equal(index, model, queries, k=300)


def test_copies_cost_no_scores():
    rng = np.random.default_rng(2)
    rows = repeated(rng, 40_000, 20)
    index = CosineIndex(rows)
    with scanned("int8"):
        (report,) = index.explain(rng.standard_normal((50, 19)).astype(np.float32), 10).reports
    assert report.scored < 50 * 200  # each query's best row alone occurs about 2,000 times


def test_copies_are_passed_over_whatever_the_other_scans_cost():
    """Scans without codes cannot pass over copies: with many results of many queries the planner would take them."""
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((40, 256)).astype(np.float32)[rng.integers(40, size=20_000)]
    explanation = CosineIndex(rows).explain(rng.standard_normal((256, 256)).astype(np.float32), 400)
    assert [report.way for report in explanation.reports] == ["int8"]
    assert explanation.reports[0].f32_cost == explanation.reports[0].bf16_cost == np.inf
