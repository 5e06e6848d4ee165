"""Re-rank lists for diversity: trade the relevance of the items against their similarity to each other.

Both methods build the list greedily from the candidates of a recommender, for all users of a block at once. With r_i
the relevance of candidate i (its score, scaled to 0 … 1 within the user's candidates), v_i its unit vector, S what is
chosen so far and λ the trade-off, the next item is the one with the largest

- MMR: λ·r_i − (1 − λ)·max_{j ∈ S} v_i·v_j  (maximal marginal relevance: Carbonell and Goldstein, SIGIR 1998);
- DPP: λ·r_i + (1 − λ)·(log det K_{S ∪ i} − log det K_S) with K_ij = (1 + v_i·v_j) / 2 (the greedy
  determinantal point process of Chen, Zhang and Zhou, NeurIPS 2018: the determinant is kept by one
  row of a Cholesky factor a step, and λ is their θ).

Of equal values the candidate that ranked first is taken, so λ = 1 gives the candidates' own order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from aigc_fast import TopK, normalize
from aigc_fast.errors import require
from aigc_fast.recommender.arguments import CSR, as_count, as_csr, as_dense, as_real, as_scored
from aigc_fast.recommender.evaluation import evaluate

Method = Literal["mmr", "dpp"]
Float64 = npt.NDArray[np.float64]

#: Numbers held in the vectors of the candidates of one block of users.
_BLOCK_VALUES = 1 << 23
#: A candidate whose determinant factor is no larger is, up to rounding, a copy of what is chosen.
_COPY = 1e-10


class TradeOff(NamedTuple):
    """One point of a trade-off curve: λ, and what `evaluate` says of the lists re-ranked with it."""

    trade_off: float
    metrics: dict[str, float]


def rerank(
    candidates: TopK, item_vectors: npt.ArrayLike, n: int, *, method: Method = "mmr", trade_off: float = 0.7
) -> TopK:
    """Choose ``n`` items of each list of candidates, relevant and different from each other.

    Parameters
    ----------
    candidates
        Lists of a recommender, a few times longer than ``n``; missing slots (id -1) at the end.
    item_vectors : (n_items, d)
        What makes items similar: cosines of these. A zero row is similar to nothing.
    n
        Length of the new lists.
    method
        "mmr" or "dpp", see the top of this module. MMR looks at the most similar chosen item, DPP at the volume that
        all of them span.
    trade_off
        λ in [0, 1]: 1 is the order of the candidates, 0 diversity alone.

    Returns
    -------
    TopK
        (n_lists, n), items in the order chosen, each with the score it had as a candidate (so scores need not descend);
        id -1 and score -inf where a list has fewer candidates.

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong type, shape or range, a list with an item twice, or a score that is not finite.

    Notes
    -----
    With c candidates a list: MMR O(c·n·d), DPP O(c·n·(n + d)) a list, a few matrix products for a whole block of lists.

    Examples
    --------
    >>> lists = TopK(np.array([[0.9, 0.8, 0.3]]), np.array([[0, 1, 2]]), np.array([3]))
    >>> rerank(lists, [[1, 0], [1, 0], [0, 1]], n=2, trade_off=0.5).ids.tolist()  # 1 is a copy of 0
    [[0, 2]]
    """
    unit: npt.NDArray[Any] = normalize(as_dense("item_vectors", item_vectors))
    ids, scores = as_scored("candidates", candidates, n_items=len(unit))
    weight = as_real("trade_off", trade_off, "a number from 0 to 1", lambda share: 0 <= share <= 1)
    if not isinstance(method, str) or method not in _METHODS:
        raise ValueError(f"method is {method!r}; 'mmr' or 'dpp' is taken")
    length = as_count("n", n, minimum=1)
    chosen_ids = np.full((len(ids), length), -1, np.int64)
    chosen_scores = np.full((len(ids), length), -np.inf, scores.dtype)
    block = max(1, _BLOCK_VALUES // max(1, ids.shape[1] * unit.shape[1]))
    for first in range(0, len(ids), block):
        rows = slice(first, first + block)
        real = ids[rows] >= 0
        vectors = np.where(real[..., None], unit[ids[rows]], 0).astype(np.float64)
        relevance = _relevance(scores[rows].astype(np.float64), real)
        places = _METHODS[method](relevance, vectors, real, min(length, ids.shape[1]), weight)
        found = places >= 0
        at = np.maximum(places, 0)
        width = places.shape[1]
        chosen_ids[rows, :width] = np.where(found, np.take_along_axis(ids[rows], at, axis=1), -1)
        chosen_scores[rows, :width] = np.where(found, np.take_along_axis(scores[rows], at, axis=1), -np.inf)
    return TopK(chosen_scores, chosen_ids, (chosen_ids >= 0).sum(axis=1))


def trade_off_curve(
    candidates: TopK,
    item_vectors: npt.ArrayLike,
    test: CSR,
    n: int,
    *,
    method: Method = "mmr",
    trade_offs: Sequence[float] = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0),
    train: CSR | None = None,
) -> list[TradeOff]:
    """Measure lists re-ranked with each of some trade-offs: what accuracy costs diversity, and the other way round.

    Choose a point on validation data and report it on test data.

    Parameters
    ----------
    candidates, item_vectors, n, method
        As in `rerank`.
    test, train
        As in `evaluate`.
    trade_offs
        Values of λ.

    Returns
    -------
    list of TradeOff
        In the order of ``trade_offs``. Each costs what `rerank` and `evaluate` do, and raises what they do.
    """
    relevant = as_csr("test", test)
    curve = []
    for trade_off in trade_offs:
        lists = rerank(candidates, item_vectors, n, method=method, trade_off=trade_off)
        curve.append(TradeOff(trade_off, evaluate(lists, relevant, [n], train=train, item_vectors=item_vectors)))
    return curve


def plot_trade_off(
    curves: dict[str, Sequence[TradeOff]],
    n: int,
    *,
    quality: str = "NDCG",
    variety: str = "Diversity",
    axes: Any = None,
) -> Any:
    """Draw curves of `trade_off_curve`, quality over variety at ``n``, the ends labelled with their λ.

    Returns
    -------
    matplotlib.axes.Axes
        ``axes``, or those of a new figure.
    """
    if axes is None:
        axes = require("matplotlib.figure", "evaluation").Figure(layout="constrained").add_subplot()
    for name, curve in curves.items():
        x = [point.metrics[f"{variety}@{n}"] for point in curve]
        y = [point.metrics[f"{quality}@{n}"] for point in curve]
        axes.plot(x, y, "o-", markersize=3, label=name)
        for end in (0, -1):
            axes.annotate(f"λ={curve[end].trade_off:g}", (x[end], y[end]), textcoords="offset points", xytext=(4, 4))
    axes.set_xlabel(f"{variety}@{n}")
    axes.set_ylabel(f"{quality}@{n}")
    axes.legend()
    return axes


def _relevance(scores: Float64, real: npt.NDArray[np.bool_]) -> Float64:
    """Scale to [0, 1] within each row; 1 where all scores of a row are equal, −inf for missing slots."""
    low = np.where(real, scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    high = np.where(real, scores, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    spread = np.where(high > low, high - low, 1)
    below = np.where(real, high - np.where(real, scores, 0), np.inf)
    scaled: Float64 = 1 - below / spread
    return scaled


def _mmr(relevance: Float64, vectors: Float64, real: npt.NDArray[np.bool_], n: int, weight: float) -> npt.NDArray[Any]:
    nearest = np.full(relevance.shape, -np.inf)  # largest similarity to a chosen item

    def similar(step: int, picked: npt.NDArray[np.intp], vector: Float64) -> Float64:
        np.maximum(nearest, np.einsum("bcd,bd->bc", vectors, vector), out=nearest)
        return nearest

    return _greedy(relevance, vectors, real, n, lambda r, penalty: weight * r - (1 - weight) * penalty, similar)


def _dpp(relevance: Float64, vectors: Float64, real: npt.NDArray[np.bool_], n: int, weight: float) -> npt.NDArray[Any]:
    left = np.ones(relevance.shape)  # d_i² of the paper: the factor by which i would multiply the determinant
    factor = np.zeros((n, *relevance.shape))  # row t: entry t of each candidate's row of the Cholesky factor
    lists = np.arange(len(relevance))

    def volume(step: int, picked: npt.NDArray[np.intp], vector: Float64) -> Float64:
        kernel = (1 + np.einsum("bcd,bd->bc", vectors, vector)) / 2
        own = left[lists, picked][:, None]
        projected = np.einsum("tbc,tb->bc", factor[:step], factor[:step, lists, picked])
        factor[step] = np.where(own > _COPY, (kernel - projected) / np.sqrt(np.maximum(own, _COPY)), 0)
        np.subtract(left, factor[step] ** 2, out=left)
        return np.log(np.maximum(left, _COPY))

    return _greedy(relevance, vectors, real, n, lambda r, gain: weight * r + (1 - weight) * gain, volume)


def _greedy(
    relevance: Float64,
    vectors: Float64,
    real: npt.NDArray[np.bool_],
    n: int,
    value: Callable[[Float64, Float64], Float64],
    update: Callable[[int, npt.NDArray[np.intp], Float64], Float64],
) -> npt.NDArray[np.intp]:
    """Pick the best candidate ``n`` times; ``update`` says what the choice means for the others. Missing: -1."""
    lists = np.arange(len(relevance))
    known = np.where(real, relevance, 0)
    beside = np.zeros(relevance.shape)
    free = real.copy()
    places = np.full((len(relevance), n), -1, np.intp)
    for step in range(n):
        picked = np.where(free, value(known, beside), -np.inf).argmax(axis=1)
        places[:, step] = np.where(free[lists, picked], picked, -1)
        free[lists, picked] = False
        beside = update(step, picked, vectors[lists, picked])
    return places


_METHODS: dict[str, Callable[[Float64, Float64, npt.NDArray[np.bool_], int, float], npt.NDArray[Any]]] = {
    "mmr": _mmr,
    "dpp": _dpp,
}
