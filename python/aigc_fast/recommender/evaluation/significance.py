"""How sure a mean over users is, and whether two recommenders differ on the same users."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aigc_fast.arrays import plain_array
from aigc_fast.recommender.arguments import as_count, as_fraction

#: Numbers drawn in one block: bounds the memory of a resampling whatever the number of users.
_BLOCK = 1 << 22

Float64 = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval."""

    mean: float
    low: float
    high: float


class PairedTest(NamedTuple):
    """Mean difference (first minus second), the ends of its interval, and the two-sided p-value of "no difference"."""

    mean: float
    low: float
    high: float
    p_value: float


def bootstrap_interval(
    values: npt.ArrayLike, *, confidence: float = 0.95, n_samples: int = 2000, seed: int = 0
) -> Interval:
    """Mean over the users, with its percentile bootstrap interval.

    Parameters
    ----------
    values : (n_users,)
        One number a user, as `accuracy_by_user` gives; NaN (no test items) is left out.
    confidence
        Share of the resampled means inside the interval, in (0, 1).
    n_samples
        Number of resamples of the users, with replacement.
    seed
        Same seed, same interval.

    Returns
    -------
    Interval
        All NaN where there is no value.

    Raises
    ------
    ValueError, TypeError
        An infinity, another shape, or a parameter out of range.

    Notes
    -----
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3. O(n_samples · n_users) time, constant
    memory beside the values. Users are drawn, not lists or items: the interval says what other users of this kind
    would give, and nothing about another split or another training seed.

    Examples
    --------
    >>> interval = bootstrap_interval([0.0, 1.0] * 50)
    >>> interval.mean, round(interval.low, 2), round(interval.high, 2)
    (0.5, 0.4, 0.6)
    """
    known = _by_user(values, "values")
    known = known[~np.isnan(known)]
    share = as_fraction("confidence", confidence)
    if not known.size:
        return Interval(*[float("nan")] * 3)
    rng = np.random.default_rng(as_count("seed", seed))
    means = np.concatenate(
        [
            known[rng.integers(len(known), size=(rows, len(known)))].mean(axis=1)
            for rows in _blocks(as_count("n_samples", n_samples, minimum=1), len(known))
        ]
    )
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return Interval(float(known.mean()), float(low), float(high))


def paired_test(
    first: npt.ArrayLike, second: npt.ArrayLike, *, confidence: float = 0.95, n_samples: int = 2000, seed: int = 0
) -> PairedTest:
    """Compare two recommenders on the same users: interval of the mean difference, and a randomization test.

    Under the hypothesis that the two do not differ, the sign of each user's difference is a coin; p is the share of
    ``n_samples`` drawn sign patterns (the observed one beside them) whose mean is at least as far from 0.

    Parameters
    ----------
    first, second : (n_users,)
        One number a user, from the same split; a user who is NaN in either is left out.
    confidence, n_samples, seed
        As in `bootstrap_interval`.

    Returns
    -------
    PairedTest
        All NaN where no user has both.

    Raises
    ------
    ValueError, TypeError
        As of `bootstrap_interval`, or shapes that differ.

    Notes
    -----
    Fisher's randomization test, recommended for retrieval by Smucker, Allan and Carterette, CIKM 2007. The smallest p
    is 1 / (n_samples + 1). Comparing many pairs takes a correction, for instance p times the number of pairs.

    Examples
    --------
    >>> better = np.linspace(0.1, 0.9, 40)
    >>> paired_test(better, better - 0.05).p_value < 0.001
    True
    """
    one, other = _by_user(first, "first"), _by_user(second, "second")
    if one.shape != other.shape:
        raise ValueError(f"first has shape {one.shape} and second {other.shape}; one number for each of the same users")
    difference = one - other
    difference = difference[~np.isnan(difference)]
    interval = bootstrap_interval(difference, confidence=confidence, n_samples=n_samples, seed=seed)
    if not difference.size:
        return PairedTest(*interval, float("nan"))
    rng = np.random.default_rng(as_count("seed", seed))
    # What rounding alone moves a mean by must not hide that two patterns are equally far.
    observed = abs(difference.sum()) - 1e-12 * abs(difference).sum()
    reached = 0
    for rows in _blocks(n_samples, len(difference)):
        signs = rng.integers(2, size=(rows, len(difference))) * 2.0 - 1.0
        reached += int(np.count_nonzero(abs(signs @ difference) >= observed))
    return PairedTest(*interval, (1 + reached) / (1 + n_samples))


def _by_user(values: npt.ArrayLike, name: str) -> Float64:
    array = plain_array(values, name, "one number a user")
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}; one number a user is taken")
    numbers: Float64 = array.astype(np.float64)
    if np.isinf(numbers).any():
        raise ValueError(f"{name} holds an infinity; finite numbers, and NaN for nothing, are taken")
    return numbers


def _blocks(n_samples: int, width: int) -> Iterator[int]:
    rows = max(1, _BLOCK // width)
    for first in range(0, n_samples, rows):
        yield min(rows, n_samples - first)
