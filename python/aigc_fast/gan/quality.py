"""Measures of generated vectors against real ones; nearest neighbours come from the exact kernels.

All take unit rows. A good generator reaches the values that real vectors reach among themselves: below them in
``nearest_generated``, ``recall`` and ``coverage`` it misses kinds of content, below them in ``nearest_real`` and
``precision`` it invents some, and above them in ``nearest_real`` it repeats what it was trained on.
``pairwise_cosine`` near 1 within one condition, a small ``effective_rank`` and a large share of ``near_duplicates``
are signs of collapse.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aigc_fast import cosine_topk
from aigc_fast.gan.manifolds import prdc

Array = NDArray[np.floating]

NEAR_DUPLICATE = 0.99  # cosine from which two generated vectors count as one
NEIGHBOURS = 5  # of precision, recall, density and coverage: the papers' choice


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
    wide = _wide(rows)
    squares = torch.linalg.eigvalsh(wide.T @ wide).numpy()
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


def near_duplicates(rows: Array) -> float:
    """Return the share of the rows (n, d), n > 1, that have another one at a cosine of ``NEAR_DUPLICATE`` or more."""
    itself = np.arange(len(rows) + 1), np.arange(len(rows))
    return float((cosine_topk(rows, rows, 1, exclude=itself).scores >= NEAR_DUPLICATE).mean())


def frechet_distance(real: Array, generated: Array) -> float:
    """Return the squared Fréchet distance of the normal distributions with the means and covariances of two sets.

    ``|m - m'|**2 + tr(C + C' - 2 (C C')**0.5)``: Dowson and Landau, J. Multivariate Analysis 12 (1982), equation 4;
    the FID of Heusel et al., NeurIPS 2017, on the vectors as they are. O(n d**2 + d**3) for sets (n, d), (m, d), n, m
    > 1.
    """
    one, other = _wide(real), _wide(generated)
    first, second = (rows.T.cov().reshape(rows.shape[1], -1) for rows in (one, other))
    # C C' has the eigenvalues of the symmetric R C' R with R = C**0.5, of which the trace needs the roots.
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    shift = (one.mean(dim=0) - other.mean(dim=0)).square().sum()
    return float(shift + first.trace() + second.trace() - 2 * cross)


def squared_mmd(real: Array, generated: Array) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy of two sets (n, d), (m, d), n, m > 1.

    Gretton et al., JMLR 13 (2012), equation 3, with the Gaussian kernel whose width is the median distance of the
    real rows (their section 8). 0 in the mean for equal distributions, so it may be negative. All pairs: for sets of
    some thousands.
    """
    within = _squared_distances(real, real)
    width = np.median(within) or 1.0  # more than half of the pairs alike: any width says so

    def kernel(distances: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(-distances / (2 * width))

    def mean_of_pairs(distances: NDArray[np.float64]) -> float:
        n = len(distances)
        return float(kernel(distances).sum() - n) / (n * (n - 1))  # a row's kernel with itself is 1

    between = kernel(_squared_distances(real, generated)).mean()
    return mean_of_pairs(within) + mean_of_pairs(_squared_distances(generated, generated)) - 2 * float(between)


def measure(real: Array, generated: Array) -> dict[str, float]:
    """Return all measures of generated sets (m, n, d) whose conditions came with the real rows (m, d).

    Returns
    -------
    dict
        ``nearest_generated``, ``nearest_real``, ``pairwise_cosine``, ``effective_rank``, ``near_duplicates``,
        ``energy_score``; and, of the first vector of each set against the real rows, ``precision``, ``recall``,
        ``density``, ``coverage``, ``frechet`` and ``mmd`` where there are more than ``NEIGHBOURS`` rows.
    """
    rows = generated.reshape(-1, generated.shape[2])
    measures = {
        "nearest_generated": mean_best_cosine(real, rows),
        "nearest_real": mean_best_cosine(rows, real),
        "pairwise_cosine": mean_pairwise_cosine(generated),
        "effective_rank": effective_rank(rows),
        "near_duplicates": near_duplicates(rows),
        "energy_score": energy_score(real, generated),
    }
    if len(real) > NEIGHBOURS:
        one = np.ascontiguousarray(generated[:, 0])  # as many as there are real rows: recall grows with the number
        measures |= prdc(real, one, NEIGHBOURS)._asdict()
        measures |= {"frechet": frechet_distance(real, one), "mmd": squared_mmd(real, one)}
    return measures


def _squared_distances(a: Array, b: Array) -> NDArray[np.float64]:
    """Squared distances of unit rows; those of a set within itself have an exact zero where row meets row."""
    distances: NDArray[np.float64] = (2 - 2 * (_wide(a) @ _wide(b).T)).clamp(min=0).numpy()
    if a is b:
        np.fill_diagonal(distances, 0)
    return distances


def _wide(rows: Array) -> Tensor:
    """Rows in float64, for linear algebra by PyTorch: its threads are those that training chose, NumPy's are all."""
    return torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float64))
