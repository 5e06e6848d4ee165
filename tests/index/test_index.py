"""CosineIndex against a dict of rows: searches, changes, snapshots."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
import weakref

import numpy as np
import pytest

import aigc_fast
from aigc_fast import CosineIndex

from .model import Model, assert_equal, assert_same, scanned


def integer_rows(rng, count, dim=17, dtype=np.float32):
    """Rows with many equal scores."""
    return rng.integers(-3, 4, (count, dim)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8])
@pytest.mark.parametrize("given_ids", [False, True])
def test_random_changes(dtype, given_ids):
    rng = np.random.default_rng(3)
    rows = integer_rows(rng, 6000, dtype=dtype)
    ids = rng.permutation(100_000)[:6000] if given_ids else np.arange(6000)
    index, model = CosineIndex(rows, ids if given_ids else None), Model(ids, rows)
    for _ in range(25):
        change = rng.integers(3)
        if change == 0:
            new = integer_rows(rng, int(rng.choice([0, 1, 10, 500, 5000])), dtype=dtype)
            model.add(index.add(new), new)
        elif change == 1:
            gone = rng.choice(model.ids, min(len(model.rows) // 3, int(rng.choice([1, 20, 3000]))), replace=False)
            index.remove(gone)
            model.remove(gone)
        else:
            changed = rng.choice(model.ids, 20, replace=False)
            new = integer_rows(rng, 20, dtype=dtype)
            index.update(changed, new)
            model.add(changed, new)
        assert_equal(index, model, integer_rows(rng, 5, dtype=dtype))
    np.testing.assert_array_equal(np.sort(index.ids), model.ids)
    index.verify(20)


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "pearson"])
def test_metrics_and_special_rows(metric):
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((5000, 33)).astype(np.float32)
    rows[::50] = 0
    rows[7::50, 3] = np.nan
    rows[8::50] *= np.float32(1e30)
    rows[9::50] *= np.float32(1e-30)
    rows[10::50] = 5 + rows[10::50] * np.float32(1e-6)
    queries = np.concatenate([rows[:60], rng.standard_normal((9, 33)).astype(np.float32)])
    index, model = CosineIndex(rows, metric=metric), Model(range(5000), rows)
    for way in ("int8", "bf16", "dense", "f32", "direct"):
        with scanned(way, threads=2, block_rows=64):
            assert_same(index.topk(queries, 40), model.topk(queries, 40, metric=metric))
            assert_same(index.threshold(queries, 0.4), model.threshold(queries, 0.4, metric=metric))


@pytest.mark.parametrize("isa", aigc_fast.available_isas())
def test_an_index_built_on_one_isa_serves_on_another(isa):
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((4500, 40)).astype(np.float32)
    queries = rng.standard_normal((30, 40)).astype(np.float32)
    expected = aigc_fast.cosine_topk(queries, rows, 25)
    before = aigc_fast.isa()
    index = CosineIndex(rows)
    try:
        aigc_fast._core.set_isa(isa)
        assert aigc_fast.isa() == isa
        assert_same(index.topk(queries, 25), expected)
        assert_same(CosineIndex(rows).topk(queries, 25), expected)
    finally:
        aigc_fast._core.set_isa(before)


def test_new_ids_are_never_used_before():  # case 15 of the design's list
    index = CosineIndex(np.eye(10, dtype=np.float32))
    index.remove(range(5))
    assert index.add(np.eye(10, dtype=np.float32)[:5]).tolist() == [10, 11, 12, 13, 14]
    found = index.topk(np.eye(10, dtype=np.float32), 15).ids
    assert not np.isin(found, range(5)).any()
    assert sorted(index.ids.tolist()) == list(range(5, 15))


def test_removal_does_not_cost_time_for_every_row():
    # A thousand removals of one id among 300,000 rows: were each to touch every row, that would be 3e8 steps of
    # interpreted or vectorized work, far over the bound; marking takes a few microseconds each.
    index = CosineIndex(np.random.default_rng(0).standard_normal((300_000, 4)).astype(np.float32))
    index.remove([0])
    seconds = []
    for i in range(1, 200):
        started = time.perf_counter()
        index.remove([i])
        seconds.append(time.perf_counter() - started)
    assert np.median(seconds) < 1e-3


def test_chunks_equal_one_build():  # case 11
    rng = np.random.default_rng(6)
    rows = rng.standard_normal((9000, 24)).astype(np.float32)
    queries = rng.standard_normal((20, 24)).astype(np.float32)
    index = CosineIndex(rows[:1])
    for start, stop in ((1, 8), (8, 8), (8, 5000), (5000, 9000)):
        assert index.add(rows[start:stop]).tolist() == list(range(start, stop))
    assert_same(index.topk(queries, 30), aigc_fast.cosine_topk(queries, rows, 30))


def test_duplicates_are_told_apart_by_id():
    ids = np.random.default_rng(7).permutation(5000)
    index = CosineIndex(np.ones((5000, 6), np.float32), ids)
    for way in ("direct", "f32", "dense", "bf16", "int8"):
        with scanned(way, threads=2, block_rows=256):
            assert index.topk(np.ones((3, 6), np.float32), 7).ids.tolist() == [list(range(7))] * 3


def test_readers_see_the_items_of_their_start():
    """While a writer replaces all items again and again, a reader sees one state or the other, never a mixture."""
    count = 500
    index = CosineIndex(np.full((count, 3), 1, np.float32), metric="inner_product")
    query = np.ones((1, 3), np.float32)
    stop = threading.Event()
    failures = []

    def write():
        for value in range(2, 120):
            index.update(range(count), np.full((count, 3), value, np.float32))
        stop.set()

    def read():
        while not stop.is_set():
            top = index.topk(query, count)
            if len(np.unique(top.scores)) != 1 or top.ids[0].tolist() != list(range(count)):
                failures.append(top)

    threads = [threading.Thread(target=read) for _ in range(3)] + [threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert index.topk(query, 1).scores[0, 0] == 3 * 119


def test_pickle_and_copy_are_independent():
    rng = np.random.default_rng(8)
    rows = integer_rows(rng, 5000)
    index, model = CosineIndex(rows), Model(range(5000), rows)
    index.remove([3, 4])
    model.remove([3, 4])
    for twin in (pickle.loads(pickle.dumps(index)), copy.copy(index), copy.deepcopy(index)):
        assert_equal(twin, model, rows[:5])
        assert twin.add(rows[:1]).tolist() == [5000]
        twin.remove([0, 5000])
    assert_equal(index, model, rows[:5])


def test_memory_is_freed_with_the_index():
    index = CosineIndex(np.eye(300, 8, dtype=np.float32))
    index.add(np.ones((5000, 8), np.float32))
    gone = weakref.ref(index)
    gc.disable()
    try:
        del index
        assert gone() is None
    finally:
        gc.enable()


def test_what_it_says_of_itself():
    rows = np.random.default_rng(0).standard_normal((10_000, 128)).astype(np.float32)
    index = CosineIndex(rows)
    assert repr(index) == "CosineIndex(10000 items, dim=128, metric='cosine', dtype=float32)"
    assert (len(index), index.dim, index.metric) == (10_000, 128, "cosine")
    assert index.nbytes <= 0.3 * rows.nbytes
    explanation = index.explain(rows[:64], 10)
    assert explanation.reports[0].way in ("direct", "f32", "dense", "bf16", "int8")
    assert explanation.reports[0].scored >= 64 * 10
    assert "10,000 rows, 64 queries" in str(explanation)


def test_empty():
    index = CosineIndex(np.empty((0, 5), np.float32))
    top = index.topk(np.ones((2, 5), np.float32), 3)
    assert top.ids.tolist() == [[-1] * 3] * 2
    assert index.threshold(np.ones((2, 5), np.float32), 0).indptr.tolist() == [0, 0, 0]
    assert index.add(np.ones((2, 5), np.float32)).tolist() == [0, 1]
    assert index.topk(np.ones((1, 5), np.float32), 3).ids.tolist() == [[0, 1, -1]]


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda i: i.add(np.ones((1, 4), np.float32)), ValueError, r"items and the index .* \(1, 4\) and \(3, 3\)"),
        (lambda i: i.add([[1, 2, 3j]]), TypeError, "items must hold"),
        (
            lambda i: i.add(np.eye(3, dtype=np.float32), ids=[7, 8]),
            ValueError,
            "one entry for each of the 3 rows, got 2",
        ),
        (lambda i: i.add(np.eye(3, dtype=np.float32), ids=[7, 8, 7]), ValueError, "distinct, but 7 occurs 2 times"),
        (lambda i: i.add(np.eye(3, dtype=np.float32)[:1], ids=[2]), ValueError, "2 is in the index already"),
        (lambda i: i.add(np.eye(3, dtype=np.float32)[:1], ids=[-2]), ValueError, "must not be negative"),
        (lambda i: i.remove([1, 9]), KeyError, "id 9 is not in the index"),
        (lambda i: i.update([9], np.ones((1, 3), np.float32)), KeyError, "id 9 is not in the index"),
        (lambda i: i.topk(np.ones((1, 2), np.float32), 1), ValueError, "queries and items"),
        (lambda i: i.topk(np.ones((1, 3), np.float32), -1), ValueError, "k must be at least 0, got -1"),
        (lambda i: i.topk(np.ones((1, 3), np.float32), 1, allow=np.ones(3, bool)), TypeError, "allow must be ids"),
        (lambda i: CosineIndex(np.ones((2, 3)), metric="euclid"), ValueError, "metric must be 'cosine'"),
        (lambda i: CosineIndex(np.ones((2, 3)), num_threads=0), ValueError, "num_threads must be at least 1"),
        (lambda i: CosineIndex(np.ones((2, 3)), num_threads=True), TypeError, "num_threads must be an integer"),
    ],
)
def test_errors_name_the_argument_and_change_nothing(action, error, message):
    index = CosineIndex(np.eye(3, dtype=np.float32))
    with pytest.raises(error, match=message):
        action(index)
    assert index.topk(np.eye(3, dtype=np.float32), 1).ids.tolist() == [[0], [1], [2]]


def test_filters_take_the_largest_id():
    largest = np.iinfo(np.int64).max
    index = CosineIndex(np.eye(2, dtype=np.float32), ids=[3, largest])
    assert index.topk([[0.0, 1.0]], 2, exclude=([0, 1], [largest])).ids.tolist() == [[3, -1]]
    assert index.topk([[0.0, 1.0]], 2, allow=[largest]).ids.tolist() == [[largest, -1]]


def test_torch_comes_back_as_torch():
    torch = pytest.importorskip("torch")
    index = CosineIndex(torch.eye(4))
    top = index.topk(torch.eye(4), 2)
    assert isinstance(top.ids, torch.Tensor)
    assert top.ids[:, 0].tolist() == [0, 1, 2, 3]


def test_progress(capsys):
    pytest.importorskip("tqdm")
    rows = np.random.default_rng(6).standard_normal((3000, 8)).astype(np.float32)
    assert len(CosineIndex(rows, progress=True)) == 3000
    assert "3.00k/3.00k" in capsys.readouterr().err
    CosineIndex(rows)
    assert capsys.readouterr().err == ""


def test_what_progress_raises_stops_the_build():
    rows = np.zeros((3000, 8), np.float32)

    def stop(done):
        raise KeyboardInterrupt(done)

    with pytest.raises(KeyboardInterrupt, match="3000"):
        aigc_fast._core.ItemCodes.encode(rows, None, "cosine", 2, stop)


def test_no_ids_after_the_largest():
    index = CosineIndex(np.eye(2, dtype=np.float32), ids=[0, np.iinfo(np.int64).max])
    with pytest.raises(ValueError, match="ids must be given"):
        index.add(np.ones((1, 2), np.float32))
    assert index.add(np.ones((1, 2), np.float32), ids=[7]).tolist() == [7]


def test_rows_that_do_not_fit_the_dtype():
    index = CosineIndex(np.eye(3, dtype=np.float32))
    with pytest.raises(ValueError, match="items has numbers too large for the index's dtype, float32"):
        index.add([[1e200, 0, 0]])
    assert index.add([[np.inf, 0, 0]]).tolist() == [3]  # as in the items at the start: there, and never a result
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"index's \(float32\), got bfloat16"):
        index.add(torch.eye(3).bfloat16())


def test_nbytes_counts_rows_that_had_to_be_converted():
    rows = np.eye(300, dtype=np.float32)
    in_place = CosineIndex(rows).nbytes
    assert CosineIndex(rows[:, ::-1]).nbytes == in_place
    assert CosineIndex(rows.tolist()).nbytes == in_place + 2 * rows.nbytes  # float64 now
    assert CosineIndex(rows.astype(">f4")).nbytes == in_place + rows.nbytes


def test_explanation_of_nothing():
    assert str(CosineIndex(np.empty((0, 3), np.float32)).explain(np.eye(3), 1)) == "0 rows, 3 queries"
