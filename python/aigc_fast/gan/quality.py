"""Measures of generated vectors against real ones; nearest neighbours come from the exact kernels.

All take unit rows. A good generator reaches the ``coverage`` and ``nearest_real`` that real vectors reach among
themselves, its ``pairwise_cosine`` is that of the real vectors of one condition (near 1: collapse), and its
``effective_rank`` that of the real vectors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aigc_fast import cosine_topk

Array = NDArray[np.floating]


def mean_best_cosine(queries: Array, items: Array) -> float:
    """Return the mean over the queries (n, d) of the cosine to the nearest of the items (m, d), m > 0.

    Real queries against generated items say how much of the real data is covered; generated queries against
    real items say how close to real data the generated vectors lie.
    """
    return float(cosine_topk(queries, items, 1).scores.mean(dtype=np.float64))


def mean_pairwise_cosine(vectors: Array) -> float:
    """Return the mean cosine of two different vectors of one condition, over conditions (m, n, d), n > 1.

    O(m n d): the pairs' sum is ``|sum of the n rows|**2 - n`` for unit rows, over ``n (n - 1)`` ordered pairs.
    """
    n = vectors.shape[1]
    totals = vectors.sum(axis=1, dtype=np.float64)
    return float(((totals**2).sum(axis=1) - n).mean() / (n * (n - 1)))


def effective_rank(rows: Array) -> float:
    """Return ``exp(H(s / sum(s)))`` for the singular values s of the rows (n, d): 1 (one line) to min(n, d).

    Roy and Vetterli, "The effective rank", EUSIPCO 2007. O(n d**2 + d**3).
    """
    wide = np.asarray(rows, dtype=np.float64)
    squares = np.linalg.eigvalsh(wide.T @ wide)
    singular = np.sqrt(squares.clip(min=0))
    shares = singular[singular > 0] / singular.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def energy_score(real: Array, generated: Array) -> float:
    """Return the mean energy score of generated sets (m, n, d) for one real vector each (m, d); lower is better.

    ``E|X - x| - E|X - X'| / 2`` with X, X' drawn by the generator for the condition that x came with: the
    multivariate continuous ranked probability score. It is strictly proper: its expectation is smallest for
    the true conditional distribution alone, so neither collapse, nor an ignored condition, nor vectors blurred to
    the mean can win, each of which some mean of cosines prefers. That is why it decides the early stop.

    Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", JASA 2007, section 4.2;
    the second mean runs over different pairs only, which makes it unbiased for n > 1. O(m n**2 d).
    """
    n = generated.shape[1]
    to_real = np.linalg.norm(generated - real[:, None], axis=2).mean(dtype=np.float64)
    # For unit rows |a - b|**2 = 2 - 2 a.b, so the Gram matrix of a set holds all its distances.
    grams = np.einsum("mid,mjd->mij", generated, generated, optimize=True)
    distances = np.sqrt((2 - 2 * grams).clip(min=0))
    distances[:, np.arange(n), np.arange(n)] = 0  # exactly, where rounding left a trace
    among = distances.sum(dtype=np.float64) / (len(real) * n * (n - 1))
    return float(to_real - among / 2)


def measure(real: Array, generated: Array) -> dict[str, float]:
    """Return all measures of generated sets (m, n, d) whose conditions came with the real rows (m, d).

    Returns
    -------
    dict
        ``coverage``, ``nearest_real``, ``pairwise_cosine``, ``effective_rank``, ``energy_score``.
    """
    rows = generated.reshape(-1, generated.shape[2])
    return {
        "coverage": mean_best_cosine(real, rows),
        "nearest_real": mean_best_cosine(rows, real),
        "pairwise_cosine": mean_pairwise_cosine(generated),
        "effective_rank": effective_rank(rows),
        "energy_score": energy_score(real, generated),
    }
