"""Intervals and paired tests against SciPy, and against all sign patterns where there are few."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from aigc_fast.recommender import bootstrap_interval, paired_test
from aigc_fast.recommender.evaluation import significance


def skewed(n, seed=0):
    return np.random.default_rng(seed).beta(0.5, 2, n)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_interval_is_that_of_scipy(confidence):
    values = skewed(300)
    ours = bootstrap_interval(values, confidence=confidence, n_samples=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, confidence_level=confidence, method="percentile", rng=1
    ).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    # The standard error of a quantile of 20,000 draws is below 2 % of that of the mean (density of the normal law).
    error = 5 * 0.02 * values.std() / np.sqrt(len(values))
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=2 * error)


def test_blocks_change_nothing_but_the_draws(monkeypatch):
    values = skewed(50)
    whole = bootstrap_interval(values, n_samples=500)
    monkeypatch.setattr(significance, "_BLOCK", 1000)
    assert bootstrap_interval(values, n_samples=500) == whole


def test_p_value_is_the_share_of_all_sign_patterns():
    first, second = skewed(9, 1), skewed(9, 2)
    difference = first - second
    means = np.array(list(product([-1, 1], repeat=9))) @ difference
    exact = np.mean(abs(means) >= abs(difference.sum()) - 1e-12)
    got = paired_test(first, second, n_samples=20_000)
    assert got.p_value == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / 20_000))
    assert got[:3] == bootstrap_interval(difference, n_samples=20_000)
    assert paired_test(second, first, n_samples=20_000).p_value == pytest.approx(got.p_value)


def test_p_value_is_near_that_of_the_t_test_for_many_users():
    first = skewed(500, 3)
    second = first + np.random.default_rng(4).normal(0.004, 0.05, 500)
    expected = stats.ttest_rel(first, second).pvalue
    assert 0.01 < expected < 0.3
    assert paired_test(first, second, n_samples=10_000).p_value == pytest.approx(expected, abs=0.025)


def test_no_difference_and_users_without_test_items():
    values = skewed(20)
    assert paired_test(values, values) == (0, 0, 0, 1)
    values[3] = np.nan
    assert bootstrap_interval(values) == bootstrap_interval(values[~np.isnan(values)])
    assert paired_test(values, np.ones(20)).mean == pytest.approx(np.nanmean(values) - 1)
    assert all(np.isnan(bootstrap_interval([np.nan])))
    assert all(np.isnan(paired_test([], [])))


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"values is int64 of shape \(1, 2\)"):
        bootstrap_interval([[1, 2]])
    with pytest.raises(ValueError, match="confidence is 1"):
        bootstrap_interval([1], confidence=1)
    with pytest.raises(ValueError, match="n_samples is 0"):
        bootstrap_interval([1], n_samples=0)
    with pytest.raises(ValueError, match=r"first has shape \(2,\) and second \(3,\)"):
        paired_test([1, 2], [1, 2, 3])
