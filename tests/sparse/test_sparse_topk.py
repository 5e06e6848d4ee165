"""Sparse neighbours against the definition, bit for bit, on every way, arithmetic and number of threads."""

from __future__ import annotations

import contextlib
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix, csc_matrix, csr_array, csr_matrix

from aigc_fast import _core, available_isas, cosine_similarity, sparse_cosine_topk

from . import reference

ONE_BY_ONE, PANELS, MUTUAL = 1, 2, 3
ALL_WAYS = list(itertools.product((0, ONE_BY_ONE, PANELS, MUTUAL), (False, True)))  # way, no integers


@contextlib.contextmanager
def plan(way, no_integers, block_rows, isa):
    before = _core.isa()
    _core.set_isa(isa)
    _core.override_sparse_plan(way, no_integers, block_rows)
    try:
        yield
    finally:
        _core.override_sparse_plan()
        _core.set_isa(before)


def assert_lists(found, expected):
    """Same ids and bits, in the same order."""
    assert np.diff(found.indptr).tolist() == [len(row) for row in expected]
    assert found.indices.tolist() == [j for row in expected for _, j in row]
    scores = np.array([score for row in expected for score, _ in row], found.dtype)
    assert found.data.tobytes() == scores.tobytes(), (found.data, scores)


KINDS = ("ratings", "half stars", "signed", "large", "real", "binary", "zeros", "wide")


def random_rows(rng, rows, cols, density, kind, dtype, index_dtype):
    stored = rng.random((rows, cols)) < density
    values = {
        "ratings": rng.integers(1, 6, stored.shape),
        "half stars": rng.integers(1, 11, stored.shape) / 2,
        "signed": rng.integers(-2, 3, stored.shape),
        "large": rng.integers(-40000, 40000, stored.shape),
        "real": rng.normal(size=stored.shape),
        "binary": np.ones(stored.shape),
        "zeros": rng.integers(0, 2, stored.shape) * rng.integers(0, 2, (rows, 1)),
        "wide": rng.normal(size=stored.shape) * 10.0 ** rng.integers(-15, 15, (rows, 1)),
    }[kind]
    row, column = np.nonzero(stored)
    matrix = csr_matrix((values[row, column].astype(dtype), (row, column)), stored.shape)
    matrix.indices, matrix.indptr = matrix.indices.astype(index_dtype), matrix.indptr.astype(index_dtype)
    if rows > 2:
        copies = rng.integers(rows, size=rows // 3)  # ties
        order = np.arange(rows)
        order[rng.permutation(rows)[: len(copies)]] = copies
        matrix = matrix[order]
        matrix.indices, matrix.indptr = matrix.indices.astype(index_dtype), matrix.indptr.astype(index_dtype)
    return matrix


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cols = draw(st.sampled_from([0, 1, 2, 5, 30, 300]))
    density = draw(st.sampled_from([0.02, 0.2, 0.7]))
    kind = draw(st.sampled_from(KINDS))

    def rows(count):
        dtype = draw(st.sampled_from([np.float32, np.float64]))
        return random_rows(rng, count, cols, density, kind, dtype, draw(st.sampled_from([np.int32, np.int64])))

    n = draw(st.sampled_from([1, 2, 3, 17, 40, 90]))
    a = rows(n)
    other = draw(st.sampled_from([None, n, n + 5, 0, 150]))
    b = None if other is None else rows(other)
    options = {
        "metric": draw(st.sampled_from(["cosine", "pearson"])),
        "shrink": draw(st.sampled_from([0.0, 0.0, 2.5, 100.0])),
        "threshold": draw(st.sampled_from([None, None, 0.3, -0.2, 0.0, 1.0])),
        "min_overlap": draw(st.sampled_from([1, 1, 2, 3])),
        "exclude_self": other in (None, n) and draw(st.booleans()),
    }
    k = draw(st.sampled_from([0, 1, 2, 5, 20, 200]))
    if options["threshold"] is not None and draw(st.booleans()):
        k = None
    return a, b, k, options


@given(
    problem=problems(),
    threads=st.integers(1, 3),
    block_rows=st.sampled_from([0, 1, 65]),
)
def test_every_way_gives_the_bits_of_the_definition(problem, threads, block_rows):
    a, b, k, options = problem
    expected = reference.topk(a, a if b is None else b, k, **options)
    for (way, no_integers), isa in itertools.product(ALL_WAYS, available_isas()):
        with plan(way, no_integers, block_rows, isa):
            assert_lists(sparse_cosine_topk(a, b, k, num_threads=threads, **options), expected)


@pytest.mark.parametrize("kind", ["ratings", "real"])
def test_larger_rows_scans_and_threads(kind):
    """Several blocks of panels, cutoffs from peaks and from results: against SciPy's float64 product."""
    rng = np.random.default_rng(0)
    rows = random_rows(rng, 3000, 200, 0.1, kind, np.float64, np.int32)
    unit = rows.multiply(1 / np.sqrt(rows.multiply(rows).sum(axis=1))).tocsr()
    scores = (unit @ unit.T).toarray()
    np.fill_diagonal(scores, -np.inf)
    results = []
    for (way, no_integers), threads, block_rows in itertools.product(ALL_WAYS, (1, 3), (0, 640)):
        with plan(way, no_integers, block_rows, available_isas()[0]):
            results.append(sparse_cosine_topk(rows, k=50, exclude_self=True, num_threads=threads))
    for other in results[1:]:
        assert (other.indices == results[0].indices).all()
        assert other.data.tobytes() == results[0].data.tobytes()
    best = -np.sort(-scores, axis=1)[:, :50]
    np.testing.assert_allclose(results[0].data.reshape(3000, 50), best, rtol=0, atol=1e-14)
    np.testing.assert_allclose(
        np.take_along_axis(scores, results[0].indices.reshape(3000, 50), 1), best, rtol=0, atol=1e-14
    )


def test_rows_longer_than_any_tile_and_one_column():
    rng = np.random.default_rng(1)
    long_rows = csr_matrix(rng.normal(size=(4, 70_000)).astype(np.float32))
    dense = cosine_similarity(long_rows.toarray())
    found = sparse_cosine_topk(long_rows, k=4)
    np.testing.assert_allclose(found.toarray(), dense, rtol=0, atol=2.0**-23)
    column = csr_matrix(np.array([[2.0], [0.0], [-1.0], [3.0]]))
    assert_lists(
        sparse_cosine_topk(column, k=3),
        [[(1.0, 0), (1.0, 3), (-1.0, 2)], [], [(1.0, 2), (-1.0, 0), (-1.0, 3)], [(1.0, 0), (1.0, 3), (-1.0, 2)]],
    )


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_the_size_of_values_does_not_matter(scale):
    """Half of the rows are far smaller or larger, beyond what float32 estimates can tell."""
    rng = np.random.default_rng(3)
    rows = csr_matrix(rng.random((120, 20)) + 0.1)
    rows.data[rows.indptr[60] :] *= scale
    assert_lists(sparse_cosine_topk(rows, k=5), reference.topk(rows, rows, 5))


def test_many_queries_are_answered_as_each_alone():
    """More queries than one chunk of the driver: parts of them get the same lists."""
    rng = np.random.default_rng(4)
    rows = random_rows(rng, 17_000, 40, 0.05, "ratings", np.float32, np.int32)
    found = sparse_cosine_topk(rows, k=3)
    for part in (slice(0, 50), slice(16_350, 16_420), slice(16_990, 17_000)):
        alone = sparse_cosine_topk(rows[part], rows, 3)
        assert (found[part].indices == alone.indices).all()
        assert found[part].data.tobytes() == alone.data.tobytes()


def test_any_form_of_the_same_matrix():
    rng = np.random.default_rng(2)
    rows = random_rows(rng, 30, 20, 0.3, "ratings", np.float32, np.int32)
    expected = sparse_cosine_topk(rows, k=5)
    shuffled = rows.copy()
    for i in range(30):
        part = slice(rows.indptr[i], rows.indptr[i + 1])
        shuffled.indices[part], shuffled.data[part] = rows.indices[part][::-1], rows.data[part][::-1]
    shuffled.has_sorted_indices = False
    halves = coo_matrix(rows)
    halves = csr_matrix((np.repeat(halves.data / 2, 2), np.repeat(rows.indices, 2), rows.indptr * 2), rows.shape)
    before = halves.indices.copy(), halves.data.copy()
    for same in (shuffled, halves, csc_matrix(rows), csr_array(rows), rows.astype(np.int8)):
        found = sparse_cosine_topk(same, k=5)
        assert found.dtype == np.float32
        assert (found.indices == expected.indices).all()
        assert found.data.tobytes() == expected.data.tobytes()
    assert (halves.indices == before[0]).all()
    assert (halves.data == before[1]).all()


def test_stored_zeros_are_entries():
    rows = csr_matrix((np.array([1.0, 0.0, 5.0]), np.array([0, 0, 1]), np.array([0, 1, 3])), (2, 2))
    assert_lists(sparse_cosine_topk(rows, k=2), [[(1.0, 0), (0.0, 1)], [(1.0, 1), (0.0, 0)]])


def out_of_range():
    matrix = csr_matrix((3, 3))
    matrix.data, matrix.indices, matrix.indptr = np.ones(1), np.array([7], np.int32), np.array([0, 1, 1, 1], np.int32)
    return matrix


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"b": out_of_range()}, ValueError, "b must be a valid CSR matrix: indices must be < 3"),
        ({"a": np.eye(3)}, TypeError, "a must be a SciPy sparse matrix, got ndarray"),
        ({"b": csr_matrix(np.eye(4))}, ValueError, "a and b must have the same number of columns"),
        ({"b": csr_matrix([[np.nan, 1, 2]])}, ValueError, "b must hold finite values"),
        ({"b": csr_matrix([[np.inf, 1, 2]])}, ValueError, "b must hold finite values"),
        ({"b": csr_matrix([[1e200, 1, 2]])}, ValueError, r"b must hold magnitudes from 2\*\*-400"),
        ({"b": csr_matrix([[1j, 1, 2]])}, TypeError, "b must hold float64, float32 or integers, got dtype complex128"),
        ({"k": None}, ValueError, "k and threshold must not both be None"),
        ({"k": -1}, ValueError, "k must be at least 0, got -1"),
        ({"k": 1.5}, TypeError, "k must be an integer"),
        ({"threshold": np.nan}, ValueError, "threshold must not be NaN"),
        ({"threshold": [1.0]}, ValueError, r"threshold must be one number or have shape \(3,\)"),
        ({"metric": "euclidean"}, ValueError, "metric must be 'cosine' or 'pearson', got 'euclidean'"),
        ({"shrink": -1}, ValueError, "shrink must be a finite number of at least 0, got -1"),
        ({"shrink": "2"}, TypeError, "shrink must be a number, got str"),
        ({"min_overlap": 0}, ValueError, "min_overlap must be at least 1, got 0"),
        ({"b": csr_matrix(np.eye(3)[:2]), "exclude_self": True}, ValueError, "exclude_self takes as many rows"),
        ({"num_threads": 0}, ValueError, "num_threads must be at least 1"),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        sparse_cosine_topk(**({"a": csr_matrix(np.eye(3)), "k": 1} | arguments))


def test_more_overlap_than_there_are_columns():
    rows = csr_matrix(np.ones((3, 4), np.float32))
    assert sparse_cosine_topk(rows, k=2, min_overlap=4).nnz == 6
    for overlap in (5, 2**70):
        assert sparse_cosine_topk(rows, k=2, min_overlap=overlap).nnz == 0
