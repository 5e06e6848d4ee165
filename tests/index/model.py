"""The plainest possible index, a dict of rows, against which the real one is compared."""

from __future__ import annotations

import numpy as np

import aigc_fast
from aigc_fast import CosineIndex, _core


class Model:
    """Rows by id; answers by searching all of them directly, without codes."""

    def __init__(self, ids, rows):
        self.rows = dict(zip(map(int, ids), rows, strict=True))

    def add(self, ids, rows):
        self.rows.update(zip(map(int, ids), rows, strict=True))

    def remove(self, ids):
        for i in ids:
            del self.rows[int(i)]

    @property
    def ids(self):
        return np.array(sorted(self.rows), dtype=np.int64)

    def topk(self, queries, k, **options):
        ids, rows = self._arrays()
        top = aigc_fast.cosine_topk(queries, rows, k, **options)
        return top._replace(ids=np.where(top.ids >= 0, ids[top.ids], -1))

    def threshold(self, queries, threshold, **options):
        ids, rows = self._arrays()
        hits = aigc_fast.cosine_threshold(queries, rows, threshold, **options)
        return hits._replace(ids=ids[hits.ids])

    def _arrays(self):
        ids = self.ids
        return ids, np.array([self.rows[int(i)] for i in ids])


def assert_same(result, expected):
    """Compare bit for bit."""
    for name, a, b in zip(result._fields, result, expected, strict=True):
        assert a.dtype == b.dtype, name
        np.testing.assert_array_equal(a, b, err_msg=name)


def assert_equal(index: CosineIndex, model: Model, queries, k=12, **options):
    """Compare an index with its model: top k, threshold, a filtered search and pages."""
    ids = model.ids
    assert len(index) == len(ids)
    assert_same(index.topk(queries, k), model.topk(queries, k, **options))
    assert_same(index.threshold(queries, 0.5), model.threshold(queries, 0.5, **options))
    if len(ids) < 60:
        return
    rng = np.random.default_rng(0)
    excluded = np.sort(rng.choice(ids, (len(queries), 50)), axis=1)
    indptr = np.arange(len(queries) + 1) * 50
    assert_same(
        index.topk(queries, k, exclude=(indptr, excluded.ravel())),
        model.topk(queries, k, exclude=(indptr, np.searchsorted(ids, excluded).ravel()), **options),
    )
    allowed = rng.choice(ids, len(ids) // 3, replace=False)
    assert_same(
        index.topk(queries, k, allow=allowed),
        model.topk(queries, k, allow=np.searchsorted(ids, allowed), **options),
    )
    first = index.topk(queries, k // 2)
    second = index.topk(queries, k - k // 2, after=(first.scores[:, -1], first.ids[:, -1]))
    whole = index.topk(queries, k)
    np.testing.assert_array_equal(np.hstack([first.ids, second.ids]), whole.ids)


def scanned(way="int8", **overrides):
    """Make searches take one way until the end of a with block."""
    return _Override(way=way, **overrides)


class _Override:
    def __init__(self, **overrides):
        self.overrides = overrides

    def __enter__(self):
        _core.override_plan(**self.overrides)

    def __exit__(self, *error):
        _core.override_plan()
