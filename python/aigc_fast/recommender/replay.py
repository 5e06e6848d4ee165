"""Replay interactions in the order of their times: train on the past, recommend, see what comes next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from aigc_fast.recommender.arguments import CSR, as_count, as_csr, as_same_pattern
from aigc_fast.recommender.base import Recommender
from aigc_fast.recommender.evaluation.metrics import evaluate
from aigc_fast.recommender.splits import entries_where


def temporal_replay(
    make: Callable[[], Recommender], user_items: CSR, timestamps: CSR, *, steps: int = 10, n: int = 20
) -> list[dict[str, Any]]:
    """Evaluate prequentially: each window of time is first predicted and then learned.

    All interactions, ordered by time (ties by user, then item), fall into ``steps`` + 1 windows of equal size. For each
    window but the first a new recommender is trained on all before it, and recommends to the users who have a history
    and interactions in the window; these interactions are what is relevant.

    Parameters
    ----------
    make
        Makes an untrained recommender.
    user_items, timestamps : (n_users, n_items) CSR
        Same pattern.
    steps
        Windows to predict.
    n
        Length of the lists.

    Returns
    -------
    list of dict
        For each window "step" (from 1), "time" (of its first interaction), "users" (how many were evaluated) and the
        metrics of `evaluate`, novelty included.

    Raises
    ------
    ValueError, TypeError
        No more interactions than steps, or an argument of the wrong type, shape or range.

    Notes
    -----
    Prequential evaluation: Dawid, Journal of the Royal Statistical Society A 147(2), 1984; Gama, Sebastião and
    Rodrigues, Machine Learning 90(3), 2013. What users saw is not known, so the metrics compare recommenders on the
    same replay and do not say what a recommender would have caused: that is what `simulate` is for.
    """
    matrix = as_csr("user_items", user_items, dtype=np.float32)
    times = as_same_pattern("timestamps", timestamps, matrix, "user_items")
    count = as_count("steps", steps, minimum=1)
    if matrix.nnz <= count:
        raise ValueError(f"user_items has {matrix.nnz} interactions; more than steps, {count}, are taken")
    order = np.argsort(times.data, kind="stable")  # entries come by user, then item
    edges = np.linspace(0, matrix.nnz, count + 2).astype(np.int64)
    window = np.empty(matrix.nnz, np.int64)
    window[order] = np.searchsorted(edges, np.arange(matrix.nnz), side="right") - 1
    rows = []
    for step in range(1, count + 1):
        past, now = entries_where(matrix, window < step), entries_where(matrix, window == step)
        users = np.flatnonzero((np.diff(past.indptr) > 0) & (np.diff(now.indptr) > 0))
        lists = make().fit(past).recommend(users, n)
        metrics = evaluate(lists, now[users], [n], train=past)
        rows.append({"step": step, "time": times.data[order[edges[step]]].item(), "users": len(users), **metrics})
    return rows
