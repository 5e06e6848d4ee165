"""PRDC against the package of its authors, and against balls counted one by one."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from aigc_fast import normalize
from aigc_fast.gan.manifolds import PRDC, prdc


def sets(n: int, m: int, *, d: int = 12, shift: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    real = normalize(rng.standard_normal((n, d))).astype(np.float32)
    return real, normalize(rng.standard_normal((m, d)) + shift).astype(np.float32)


@pytest.mark.parametrize(("n", "m", "k"), [(700, 700, 5), (300, 500, 1), (500, 300, 10)])
@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0])
def test_it_is_that_of_the_package_prdc(n, m, k, shift):
    package = pytest.importorskip("prdc", reason="the package prdc is not installed")
    real, generated = sets(n, m, shift=shift)
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints
        # In float64, so that its distances are not rounded more than our cosines.
        expected = package.compute_prdc(real.astype(np.float64), generated.astype(np.float64), k)
    found = prdc(real, generated, k)._asdict()
    assert found == pytest.approx(expected, abs=1e-12)  # ratios of the same counts
    assert (found["coverage"] < 0.2) == (shift == 3.0)


def test_it_counts_the_points_of_balls():
    """The definitions, pair by pair, on the circle."""
    real, generated = sets(40, 30, d=2, shift=0.8, seed=3)

    def inside(centres: np.ndarray, points: np.ndarray, k: int) -> np.ndarray:
        radii = [sorted(np.linalg.norm(centres - centre, axis=1))[k] for centre in centres.astype(np.float64)]
        distances = np.linalg.norm(centres[:, None].astype(np.float64) - points, axis=2)
        return distances < np.array(radii)[:, None]

    in_real, in_generated = inside(real, generated, 3), inside(generated, real, 3)
    expected = PRDC(
        in_real.any(axis=0).mean(), in_generated.any(axis=0).mean(), in_real.sum() / 3 / 30, in_real.any(axis=1).mean()
    )
    assert prdc(real, generated, 3) == pytest.approx(expected)


def test_balls_are_open():
    # Each of the four has its first neighbour at 90 degrees, where the generated ones lie: on the rim.
    real = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)
    assert prdc(real, real[:, ::-1].copy(), 1).density == 1  # the centres themselves
    rim = np.array([[0, 1], [0, -1]], np.float32)
    assert prdc(real[::2], rim, 1) == PRDC(1, 1, 2, 1)  # of radius 2, at 90 degrees
    three = np.eye(3, dtype=np.float32)
    assert prdc(three[:2], three[1:], 1) == PRDC(0.5, 0.5, 0.5, 0.5)  # of radius 90 degrees: the shared centre alone


def test_lengths_do_not_matter():
    real, generated = sets(100, 100)
    scale = np.random.default_rng(1).uniform(0.1, 9, (100, 1))
    assert prdc(real * scale, generated / scale) == prdc(real, generated)


@pytest.mark.parametrize(
    ("real", "generated", "k", "message"),
    [
        (np.ones((5, 2)), np.ones((5, 3)), 1, "generated must have 2 columns"),
        (np.ones((5, 2)), np.ones((9, 2)), 5, "k must be at least 1 and less than 5"),
        (np.zeros((5, 2)), np.ones((9, 2)), 2, "real must not contain zero rows"),
        (np.full((5, 2), np.nan), np.ones((9, 2)), 2, "real must be a 2-d array of finite"),
    ],
)
def test_bad_sets_are_refused_by_name(real, generated, k, message):
    with pytest.raises(ValueError, match=message):
        prdc(real, generated, k)
