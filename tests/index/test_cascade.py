"""Heads: rows near a subspace are searched through it first, with the results of a plain scan, bit for bit."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import aigc_fast
from aigc_fast import CosineIndex, _core, index_head

from .model import Model, assert_equal, assert_same, scanned

ROWS, DIM, RANK = 1 << 14, 192, 12
METRICS = ["cosine", "inner_product", "pearson"]


def near_subspace(rng, count, dim=DIM, noise=0.1, axes=None):
    """Rows near a subspace of RANK dimensions, away from the origin."""
    axes = np.random.default_rng(99).standard_normal((RANK, dim)) if axes is None else axes
    spread = rng.standard_normal((count, RANK)) / np.sqrt(1 + np.arange(RANK))
    return (spread @ axes + 0.3 * axes[0] + noise * rng.standard_normal((count, dim))).astype(np.float32)


def heads_of(index):
    codes = index._snapshot.segments[0].codes
    return None if codes is None else codes.head


@pytest.fixture(scope="module")
def rows():
    return near_subspace(np.random.default_rng(0), ROWS)


@pytest.fixture(scope="module")
def queries():
    return near_subspace(np.random.default_rng(1), 40)


@pytest.fixture(scope="module")
def indexes(rows):
    return {metric: CosineIndex(rows, metric=metric) for metric in METRICS}


@pytest.mark.parametrize("metric", METRICS)
def test_results_of_a_plain_scan(rows, queries, indexes, metric):
    index, before = indexes[metric], aigc_fast.isa()
    assert heads_of(index) is not None
    for batch in (1, 3, 11, 40):
        some = queries[:batch]
        expected = {k: aigc_fast.cosine_topk(some, rows, k, metric=metric) for k in (1, 10, 300)}
        threshold = float(expected[300].scores[0, -1])
        hits = aigc_fast.cosine_threshold(some, rows, threshold, metric=metric)
        for isa in aigc_fast.available_isas():
            if isa == "scalar" and batch > 11:
                continue
            try:
                _core.set_isa(isa)
                with scanned("cascade", threads=2, block_rows=512, first_stride=4):
                    for k, best in expected.items():
                        assert_same(index.topk(some, k), best)
                    assert_same(index.threshold(some, threshold), hits)
            finally:
                _core.set_isa(before)


def test_heads_take_their_columns_beside_the_codes(indexes):
    index = indexes["cosine"]
    mean_and_basis = 4 * DIM * (2 + index.head_columns)
    assert index.nbytes <= ROWS * (DIM + index.head_columns + 3) + mean_and_basis
    assert index.nbytes <= 0.3 * 4 * ROWS * DIM


@pytest.mark.parametrize("batch", [1, 40])
def test_heads_do_the_work(queries, indexes, batch):
    with scanned("cascade"):
        explained = indexes["cosine"].explain(queries[:batch], 10)
    (report,), (survivors,) = explained.reports, explained.survivors
    assert report.way == "cascade"
    assert report.head_pairs > 0.7 * ROWS * batch
    assert report.head_hits < 0.2 * report.head_pairs
    assert 0 < survivors < 0.1
    assert "heads of" in str(explained)
    assert report.cascade_cost < report.int8_cost


def test_heads_that_rule_out_little_are_left_aside(queries, rows, indexes):
    k = ROWS // 2
    with scanned("cascade", block_rows=256, threads=1):
        assert_same(indexes["cosine"].topk(queries, k), aigc_fast.cosine_topk(queries, rows, k))
        report = indexes["cosine"].explain(queries, k).reports[0]
    assert report.head_pairs < 0.5 * len(queries) * ROWS


def test_a_single_query_sees_the_most_promising_rows_first(queries, indexes):
    """Cutoffs are high from the start: less passes than in a batch, of the same queries."""
    index = indexes["cosine"]
    with scanned("cascade", threads=2):
        alone = [index.explain(query[None], 10).reports[0] for query in queries]
        batch = index.explain(queries, 10).reports[0]
    assert sum(report.head_hits for report in alone) < 0.8 * batch.head_hits
    assert all(report.head_pairs >= ROWS for report in alone)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_single_query_with_filters(rows, queries, metric, threads):
    """The most promising rows may be hidden, of an earlier page, copies, or without a score."""
    rows = rows.copy()
    rows[3::40] = rows[3]
    rows[5::40] = np.nan
    if metric != "inner_product":  # of which such rows leave no directions
        rows[6::40] *= np.float32(1e30)
    index = CosineIndex(rows, metric=metric)
    assert heads_of(index) is not None

    def one_list(ids):
        return np.array([0, len(ids)]), np.sort(ids)

    for query in (queries[:1], rows[3:4], np.zeros_like(queries[:1]), np.full_like(queries[:1], np.nan)):
        first = aigc_fast.cosine_topk(query, rows, 200, metric=metric)
        found = int(first.counts[0])
        page = (first.scores[:, found // 2 - 1], first.ids[:, found // 2 - 1]) if found else None
        filters = [
            {"exclude": one_list(first.ids[0, :found:2])},
            {"allow": one_list(first.ids[0, :found:3])},
            {"allow": np.arange(0, ROWS, 7)},
            {"after": page},
            {"threshold": float(first.scores[0, found // 3]) if found else 0.5},
            {},
        ]
        for asked in filters:
            expected = aigc_fast.cosine_topk(query, rows, 60, metric=metric, **asked)
            with scanned("cascade", threads=threads):
                assert_same(index.topk(query, 60, **asked), expected)


@pytest.mark.parametrize("metric", METRICS)
def test_special_rows_and_ties(rows, queries, metric):
    rows = rows.copy()
    rows[::50] = 0
    rows[7::50, 3] = np.nan
    rows[8::50] *= np.float32(1e30)
    rows[9::50] *= np.float32(1e-30)
    rows[10::50] = 5
    rows[11::50] = rows[11]
    some = np.concatenate([rows[:14], queries[:5]])
    index, model = CosineIndex(rows, metric=metric), Model(range(ROWS), rows)
    if heads_of(index) is None:  # of inner products, whose rows differ by orders of magnitude
        basis = index_head.basis_of(np.eye(DIM, 31))
        codes = _core.ItemCodes.encode(rows, None, metric, 1)
        codes = index_head.encode_heads(rows, codes, metric, 1, basis, 0.1)
        items = _core.ItemSet(rows, None, codes, None, 0, 0)
        part = np.empty((19, 40), np.float32), np.empty((19, 40), np.int64), np.empty(19, np.int64)
        with scanned("cascade", block_rows=512):
            _core.topk(some, items, 40, None, metric, None, None, None, None, 1, *part)
        assert_same(aigc_fast.TopK(*part), model.topk(some, 40, metric=metric))
        return
    with scanned("cascade", block_rows=512):
        assert_same(index.topk(some, 40), model.topk(some, 40, metric=metric))
        assert_same(index.threshold(some, 0.8), model.threshold(some, 0.8, metric=metric))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int8])
def test_dtypes(rows, queries, dtype):
    rows, queries = ((20 * each).astype(dtype) for each in (rows, queries))
    index = CosineIndex(rows)
    assert heads_of(index) is not None
    with scanned("cascade"):
        assert_equal(index, Model(range(ROWS), rows), queries[:13])


def test_changes_keep_the_directions(rows, queries):
    rng = np.random.default_rng(5)
    index, model = CosineIndex(rows), Model(range(ROWS), rows)
    assert index.drift == 1.0
    for _ in range(3):
        new = near_subspace(rng, 3000)
        model.add(index.add(new), new)
        gone = rng.choice(model.ids, 1000, replace=False)
        index.remove(gone)
        model.remove(gone)
    coded = [segment for segment in index._snapshot.searched if segment.codes is not None]
    bases = [segment.codes.head.arrays()["basis"] for segment in coded]
    assert len(bases) > 1
    assert all(np.array_equal(basis, bases[0]) for basis in bases)
    assert index.drift == pytest.approx(1, abs=0.1)
    with scanned("cascade"):
        assert_equal(index, model, queries[:13])


def test_drift_of_other_rows(rows, queries):
    rng = np.random.default_rng(6)
    index, model = CosineIndex(rows), Model(range(ROWS), rows)
    other = near_subspace(rng, 5000, axes=rng.standard_normal((RANK, DIM)))
    model.add(index.add(other), other)
    assert index.drift > 5
    with scanned("cascade"):
        assert_equal(index, model, np.concatenate([queries[:5], other[:5]]))


@pytest.mark.parametrize("mmap", [False, True])
def test_files_and_pickles_carry_heads(tmp_path, rows, queries, indexes, mmap):
    pytest.importorskip("safetensors")
    index = indexes["cosine"]
    index.save(tmp_path / "items.index")
    for copy in (CosineIndex.load(tmp_path / "items.index", mmap=mmap), pickle.loads(pickle.dumps(index))):
        assert copy._snapshot.segments[0].survivors == index._snapshot.segments[0].survivors
        assert copy.nbytes == index.nbytes + rows.nbytes
        with scanned("cascade"):
            assert_same(copy.topk(queries, 20), index.topk(queries, 20))
            assert copy.explain(queries, 20).reports[0].head_pairs > 0
        copy.verify(20)


@pytest.mark.parametrize(
    ("name", "count", "dim"), [("gaussian", ROWS, DIM), ("few rows", ROWS - 1, DIM), ("few columns", ROWS, 128)]
)
def test_no_heads_where_they_do_not_pay(name, count, dim):
    rng = np.random.default_rng(7)
    rows = rng.standard_normal((count, dim), dtype=np.float32) if name == "gaussian" else near_subspace(rng, count, dim)
    index = CosineIndex(rows)
    assert heads_of(index) is None
    with scanned("cascade"):
        explained = index.explain(rows[:20], 5)
    assert explained.reports[0].way == "int8"
    assert explained.survivors == (None,)


def test_heads_that_let_everything_through_are_not_kept():
    """A few large directions among many: concentrated, but what tells neighbours apart lies elsewhere."""
    rng = np.random.default_rng(8)
    rows = rng.standard_normal((ROWS, DIM), dtype=np.float32)
    rows[:, 0] += 30
    assert index_head.effective_dimensions(_core.unit_rows(rows[:256], "cosine")) < 2
    assert heads_of(CosineIndex(rows)) is None


def test_the_first_directions_are_the_eigenvectors(rows):
    units = _core.unit_rows(rows[:4096], "cosine")
    found = index_head.principal_directions(units, RANK, np.random.default_rng(0))
    values, vectors = np.linalg.eigh(units.T.astype(np.float64) @ units)
    np.testing.assert_allclose(found.T @ found, np.eye(RANK), atol=1e-5)
    energies = np.square(units @ found, dtype=np.float64).sum(axis=0)
    np.testing.assert_allclose(energies, values[: -RANK - 1 : -1], rtol=1e-3)
    assert abs(float(found[:, 0] @ vectors[:, -1])) == pytest.approx(1, abs=1e-4)


def test_effective_dimensions():
    rng = np.random.default_rng(9)
    assert index_head.effective_dimensions(rng.standard_normal((2000, 20), dtype=np.float32)) == pytest.approx(
        20, rel=0.1
    )
    line = rng.standard_normal((50, 1)) @ rng.standard_normal((1, 20))
    assert index_head.effective_dimensions(line.astype(np.float32)) == pytest.approx(1, rel=0.3)
    assert index_head.effective_dimensions(np.zeros((50, 20), np.float32)) == np.inf


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.1, 10))
@settings(max_examples=50, deadline=None)
def test_a_basis_never_lengthens(seed, scale):
    """Whatever directions come, orthonormal or not."""
    rng = np.random.default_rng(seed)
    directions = scale * rng.standard_normal((50, 31))
    if seed % 2:
        directions = np.linalg.qr(directions)[0]
    basis = index_head.basis_of(directions)
    assert basis.shape == (50, 32)
    assert not basis[:, -1].any()
    assert np.linalg.norm(basis.astype(np.float64), 2) <= 1


finite = st.floats(-1000, 1000, width=32)


@given(
    pair=arrays.arrays(np.float32, (2, 40), elements=finite),
    metric=st.sampled_from(METRICS),
    isa=st.sampled_from(aigc_fast.available_isas()),
    seed=st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_heads_never_rule_out_a_row_that_reaches_the_cutoff(pair, metric, isa, seed):
    rng = np.random.default_rng(seed)
    basis = index_head.basis_of(rng.standard_normal((40, 31)))
    query, row = pair[:1], np.repeat(pair[1:], 3, axis=0)
    score = aigc_fast.cosine_topk(query, row[:1], 1, metric=metric).scores[0].astype(np.float64)
    before = aigc_fast.isa()
    try:
        _core.set_isa(isa)
        heads = _core.ItemCodes.encode(row, None, metric, 1, basis=basis)
        assert heads.surviving_share(query, row, score) == 1.0
    finally:
        _core.set_isa(before)


def test_bad_bases_are_refused(rows):
    for basis in (np.zeros((DIM, 31)), np.zeros((DIM - 1, 32)), np.zeros(DIM * 32)):
        with pytest.raises(ValueError, match=f"basis must have a row for each of the {DIM} dimensions"):
            _core.ItemCodes.encode(rows, None, "cosine", 1, basis=basis.astype(np.float32))
    codes = _core.ItemCodes.encode(rows, None, "cosine", 1)
    with pytest.raises(ValueError, match="head must be coded with a basis"):
        codes.with_head(codes, 0.1)
