"""Searches of an index's snapshot on the CPU: each segment by itself, then one result of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aigc_fast import _core
from aigc_fast.arrays import (
    Matrix,
    as_k,
    as_matrix,
    as_torch,
    item_filters,
    page_ends,
    same_columns,
    score_dtype,
    scores_like,
    threads,
)
from aigc_fast.explanation import Explanation
from aigc_fast.similarity import Metric, ThresholdHits, TopK

if TYPE_CHECKING:
    import numpy.typing as npt

    from aigc_fast.segments import Snapshot

    Filters = tuple[Any, Any, Any]  # exclude lists, allow lists, shared allowed rows: of one segment, in its rows


class SnapshotSearch:
    """The searches of ``CosineIndex``, whose parameters these have, by one metric."""

    def __init__(self, metric: Metric, num_threads: int | None) -> None:
        threads(num_threads)  # a wrong number is refused when the index is built
        self._metric = metric
        self._num_threads = num_threads

    def topk(
        self,
        snapshot: Snapshot,
        queries: Any,
        k: int,
        threshold: Any,
        exclude: Any,
        allow: Any,
        after: tuple[Any, Any] | None,
        num_threads: int | None,
    ) -> TopK:
        """As ``CosineIndex.topk`` on a snapshot."""
        query_rows = _queries(snapshot, queries)
        rows = query_rows.array
        dtype = score_dtype(rows, snapshot.segments[0].rows)
        thresholds = None if threshold is None else scores_like(threshold, "threshold", len(rows), dtype)
        ends = None if after is None else page_ends(after, len(rows), dtype)
        filters = _filters(snapshot, exclude, allow, len(rows))
        result = self._topk(snapshot, rows, as_k(k), dtype, thresholds, filters, ends, num_threads)
        return TopK(*map(as_torch, result)) if query_rows.is_torch else result

    def nearest(self, snapshot: Snapshot, rows: npt.NDArray[Any], k: int) -> TopK:
        """Search for rows in the form that segments have them, without filters."""
        dtype = score_dtype(rows, snapshot.segments[0].rows)
        return self._topk(snapshot, rows, k, dtype, None, _no_filters(snapshot), None, None)

    def explain(self, snapshot: Snapshot, queries: Any, k: int, threshold: Any, num_threads: int | None) -> Explanation:
        """As ``CosineIndex.explain`` on a snapshot."""
        rows = _queries(snapshot, queries).array
        dtype = score_dtype(rows, snapshot.segments[0].rows)
        thresholds = None if threshold is None else scores_like(threshold, "threshold", len(rows), dtype)
        reports = tuple(_core.SearchReport() for _ in snapshot.item_sets)
        self._topk(snapshot, rows, as_k(k), dtype, thresholds, _no_filters(snapshot), None, num_threads, reports)
        searched = snapshot.searched
        survivors = tuple(segment.survivors for segment in searched)
        return Explanation(len(rows), tuple(map(len, searched)), reports, survivors)

    def _topk(
        self,
        snapshot: Snapshot,
        rows: npt.NDArray[Any],
        k: int,
        dtype: type[np.float32 | np.float64],
        thresholds: Any,
        filters: list[Filters],
        ends: Any,
        num_threads: int | None,
        reports: tuple[_core.SearchReport, ...] | None = None,
    ) -> TopK:
        workers = self._workers(num_threads)
        parts = []
        for number, items in enumerate(snapshot.item_sets):
            part = _empty_topk(len(rows), k, dtype)
            report = None if reports is None else reports[number]
            _core.topk(rows, items, k, thresholds, self._metric, *filters[number], ends, workers, *part, report)
            parts.append(part)
        return parts[0] if len(parts) == 1 else _merge_topk(parts, len(rows), k, dtype)

    def threshold(
        self,
        snapshot: Snapshot,
        queries: Any,
        threshold: Any,
        exclude: Any,
        allow: Any,
        after: tuple[Any, Any] | None,
        num_threads: int | None,
    ) -> ThresholdHits:
        """As ``CosineIndex.threshold`` on a snapshot."""
        query_rows = _queries(snapshot, queries)
        rows = query_rows.array
        dtype = score_dtype(rows, snapshot.segments[0].rows)
        thresholds = scores_like(threshold, "threshold", len(rows), dtype)
        ends = None if after is None else page_ends(after, len(rows), dtype)
        filters = _filters(snapshot, exclude, allow, len(rows))
        workers = self._workers(num_threads)
        parts = [
            _core.threshold(rows, items, thresholds, self._metric, *lists, ends, workers)
            for items, lists in zip(snapshot.item_sets, filters, strict=True)
        ]
        indptr, ids, scores = parts[0] if len(parts) == 1 else _merge_hits(parts, len(rows))
        result = ThresholdHits(indptr, ids, scores.astype(dtype, copy=False))
        return ThresholdHits(*map(as_torch, result)) if query_rows.is_torch else result

    def _workers(self, num_threads: int | None) -> int:
        return threads(num_threads if num_threads is not None else self._num_threads)


def _queries(snapshot: Snapshot, queries: Any) -> Matrix:
    query_rows = as_matrix(queries, "queries")
    same_columns(query_rows.array, snapshot.segments[0].rows, "queries", "items")
    return query_rows


def _no_filters(snapshot: Snapshot) -> list[Filters]:
    return [(None, None, None)] * len(snapshot.item_sets)


def _filters(snapshot: Snapshot, exclude: Any, allow: Any, count: int) -> list[Filters]:
    if exclude is None and allow is None:
        return _no_filters(snapshot)
    excluded, lists, shared = item_filters(exclude, allow, count, None)
    return [
        (
            None if excluded is None else segment.rows_of_lists(*excluded),
            None if lists is None else segment.rows_of_lists(*lists),
            None if shared is None else segment.rows_of(shared),
        )
        for segment in snapshot.searched
    ]


def _empty_topk(count: int, k: int, dtype: Any) -> TopK:
    return TopK(np.empty((count, k), dtype), np.empty((count, k), np.int64), np.empty(count, np.int64))


def _merge_topk(parts: list[TopK], count: int, k: int, dtype: Any) -> TopK:
    if not parts:
        return TopK(np.full((count, k), -np.inf, dtype), np.full((count, k), -1), np.zeros(count, np.int64))
    scores = np.concatenate([part.scores for part in parts], axis=1)
    ids = np.concatenate([part.ids for part in parts], axis=1)
    missing = ids < 0
    order = np.lexsort((ids, -scores, missing), axis=1)[:, :k]
    counts = np.minimum(np.sum([part.counts for part in parts], axis=0), k)
    return TopK(np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1), counts)


def _merge_hits(parts: list[tuple[Any, Any, Any]], count: int) -> tuple[Any, Any, Any]:
    if not parts:
        return np.zeros(count + 1, np.int64), np.empty(0, np.int64), np.empty(0)
    query_of = np.concatenate([np.repeat(np.arange(count), np.diff(indptr)) for indptr, _, _ in parts])
    ids = np.concatenate([ids for _, ids, _ in parts])
    scores = np.concatenate([scores for _, _, scores in parts])
    order = np.lexsort((ids, -scores, query_of))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(query_of, minlength=count))])
    return indptr, ids[order], scores[order]
