"""Precision, recall, density and coverage by exact nearest neighbours, without a matrix of all pairs.

A set's manifold is the union of balls around its rows, each as large as the distance to the row's k-th nearest
neighbour in the set. On the unit sphere |a - b|**2 = 2 - 2 cos(a, b), so a ball is a cosine threshold of its own: one
top-k search of a set in itself finds all radii, and one threshold search, whose queries are the centres, finds who
lies in them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aigc_fast import ThresholdHits, cosine_threshold, cosine_topk
from aigc_fast.gan.inputs import Matrix, check_directions, check_integer


class PRDC(NamedTuple):
    """What `prdc` returns: four shares, of which density alone may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: npt.ArrayLike, generated: npt.ArrayLike, k: int = 5) -> PRDC:
    """Compare two sets of vectors by the balls of their nearest neighbours.

    Parameters
    ----------
    real : (n, d)
        Real vectors; their lengths do not matter.
    generated : (m, d)
        Generated ones.
    k
        Neighbour that sets the radius of a ball, less than n and m.

    Returns
    -------
    PRDC
        - precision: share of the generated vectors that lie in the ball of a real one, and recall: share of the real
          ones that lie in the ball of a generated one (Kynkäänniemi et al., NeurIPS 2019, section 2);
        - density: mean number of real balls that a generated vector lies in, over k, and coverage: share of the real
          balls that hold a generated vector (Naeem et al., ICML 2020, section 3). Outliers blow up the first two; these
          two they cannot.

        Balls are open: a vector as far as the k-th neighbour is outside.

    Raises
    ------
    ValueError, TypeError
        Sets that do not fit together, or too small for k.

    Notes
    -----
    The definitions of the package ``prdc``, which needs three matrices of all distances; here memory is that of the
    hits, about (n + m) k where the sets resemble each other. O(n² + m² + n m) products, at the speed of the exact scan.

    Examples
    --------
    >>> rows = np.random.default_rng(0).standard_normal((600, 8))
    >>> prdc(rows[:300], rows[300:]).coverage > 0.9
    True
    >>> prdc(rows[:300], np.abs(rows[300:])).coverage < 0.2
    True
    """
    rows = check_directions("real", real)
    others = check_directions("generated", generated, columns=rows.shape[1])
    count = check_integer("k", k, minimum=1, below=min(len(rows), len(others)))
    in_real = _inside(rows, others, count)
    in_generated = _inside(others, rows, count)
    return PRDC(
        precision=len(np.unique(in_real.ids)) / len(others),
        recall=len(np.unique(in_generated.ids)) / len(rows),
        density=len(in_real.ids) / (count * len(others)),
        coverage=int(np.count_nonzero(np.diff(in_real.indptr))) / len(rows),
    )


def _inside(centres: Matrix, points: Matrix, k: int) -> ThresholdHits:
    """Find the points inside the ball of each centre."""
    itself = np.arange(len(centres) + 1), np.arange(len(centres))
    radii = cosine_topk(centres, centres, k, exclude=itself).scores[:, -1]
    return cosine_threshold(centres, points, np.nextafter(radii, np.inf))
