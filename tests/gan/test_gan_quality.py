import math

import numpy as np
import pytest
from scipy import linalg

from aigc_fast.gan.manifolds import prdc
from aigc_fast.gan.quality import (
    effective_rank,
    energy_score,
    frechet_distance,
    mean_best_cosine,
    mean_pairwise_cosine,
    measure,
    near_duplicates,
    squared_mmd,
)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def at(*degrees: float) -> np.ndarray:
    """Unit vectors of the plane at these angles."""
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def test_mean_best_cosine_by_hand():
    # 0 has its nearest at 60 degrees away, 90 at 30, 200 at 80.
    expected = np.cos(np.deg2rad([60, 30, 80])).mean()
    assert mean_best_cosine(at(0, 90, 200), at(60, 280)) == pytest.approx(expected, abs=1e-12)


def test_mean_best_cosine_has_a_direction():
    real, collapsed = at(0, 90, 180), at(0, 0, 0)
    assert mean_best_cosine(collapsed, real) == pytest.approx(1)  # all close to something real
    assert mean_best_cosine(real, collapsed) == pytest.approx(0)  # (1 + 0 - 1) / 3: little of it covered


def test_mean_pairwise_cosine_by_hand():
    sets = np.stack([at(0, 60, 90), at(10, 10, 10)])
    first = np.cos(np.deg2rad([60, 90, 30])).mean()
    assert mean_pairwise_cosine(sets) == pytest.approx((first + 1) / 2, abs=1e-12)


def test_mean_pairwise_cosine_against_every_pair():
    sets = unit(np.random.default_rng(0).standard_normal((5, 4, 7)))
    pairs = [s[i] @ s[j] for s in sets for i in range(4) for j in range(4) if i != j]
    assert mean_pairwise_cosine(sets) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_effective_rank_by_hand():
    assert effective_rank(np.eye(5)) == pytest.approx(5)
    assert effective_rank(np.tile([0.6, 0.8, 0.0], (9, 1))) == pytest.approx(1, abs=1e-6)
    # Singular values 3 and 1: shares 3/4 and 1/4.
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(np.diag([3.0, 1.0, 0.0])) == pytest.approx(math.exp(entropy))


def test_effective_rank_is_that_of_the_singular_values():
    rows = np.random.default_rng(0).standard_normal((30, 6)) @ np.diag([5, 3, 2, 1, 0.5, 0.1])
    shares = np.linalg.svd(rows, compute_uv=False)
    shares /= shares.sum()
    assert effective_rank(rows) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)


def test_energy_score_against_loops():
    rng = np.random.default_rng(0)
    real, generated = unit(rng.standard_normal((3, 4))), unit(rng.standard_normal((3, 5, 4)))
    scores = []
    for x, draws in zip(real, generated, strict=True):
        to_real = np.mean([np.linalg.norm(draw - x) for draw in draws])
        among = np.mean([np.linalg.norm(draws[i] - draws[j]) for i in range(5) for j in range(5) if i != j])
        scores.append(to_real - among / 2)
    assert energy_score(real, generated) == pytest.approx(np.mean(scores), abs=1e-12)
    assert energy_score(real.astype(np.float32), generated.astype(np.float32)) == pytest.approx(
        np.mean(scores), abs=1e-6
    )


def test_energy_score_is_best_for_the_true_conditional_distribution():
    rng = np.random.default_rng(0)
    n, m, d = 8, 2000, 6

    def draw(condition: np.ndarray, size: int, spread: float) -> np.ndarray:
        """Two modes for each condition, scattered by ``spread``."""
        modes = np.stack([np.eye(d)[condition], np.eye(d)[(condition + 1) % d]])
        chosen = modes[rng.integers(0, 2, (len(condition), size)), np.arange(len(condition))[:, None]]
        return unit(chosen + spread * rng.standard_normal((len(condition), size, d)))

    condition = rng.integers(0, d, m)
    real = draw(condition, 1, 0.2)[:, 0]
    true = energy_score(real, draw(condition, n, 0.2))
    one_mode = energy_score(real, unit(np.eye(d)[condition][:, None] + 0.2 * rng.standard_normal((m, n, d))))
    mean_of_modes = np.eye(d)[condition] + np.eye(d)[(condition + 1) % d]
    averaged = energy_score(real, unit(np.repeat(mean_of_modes[:, None], n, axis=1)))
    ignored = energy_score(real, draw(rng.integers(0, d, m), n, 0.2))
    blurred = energy_score(real, draw(condition, n, 0.6))
    assert true < min(one_mode, averaged, ignored, blurred) - 0.01
    # The best of means of cosines would have taken the averaged vectors for better than the true ones.
    assert (real @ unit(mean_of_modes).T).diagonal().mean() > (real[:, None] * draw(condition, n, 0.2)).sum(
        axis=2
    ).mean()


def test_near_duplicates_by_hand():
    assert near_duplicates(at(0, 1, 90, 180)) == 0.5  # one degree apart: cosine 0.9998
    assert near_duplicates(at(0, 10, 90, 180)) == 0


def test_frechet_distance_by_the_matrix_root():
    rng = np.random.default_rng(0)
    real, generated = rng.standard_normal((60, 5)), rng.standard_normal((50, 5)) @ rng.standard_normal((5, 5)) + 0.3
    first, second = np.cov(real.T), np.cov(generated.T)
    shift = ((real.mean(axis=0) - generated.mean(axis=0)) ** 2).sum()
    expected = shift + np.trace(first + second - 2 * linalg.sqrtm(first @ second).real)
    assert frechet_distance(real, generated) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(real, real + 2) == pytest.approx(20)  # five columns, each moved by 2


def test_squared_mmd_against_loops():
    rng = np.random.default_rng(0)
    real, generated = unit(rng.standard_normal((9, 4))), unit(rng.standard_normal((7, 4)) + 0.5)
    width = np.median([np.sum((a - b) ** 2) for a in real for b in real])

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return math.exp(-np.sum((a - b) ** 2) / (2 * width))

    within = np.mean([kernel(real[i], real[j]) for i in range(9) for j in range(9) if i != j])
    among = np.mean([kernel(generated[i], generated[j]) for i in range(7) for j in range(7) if i != j])
    between = np.mean([kernel(a, b) for a in real for b in generated])
    assert squared_mmd(real, generated) == pytest.approx(within + among - 2 * between, abs=1e-12)


def test_squared_mmd_is_unbiased_and_tells_distributions_apart():
    rng = np.random.default_rng(0)
    draws = [unit(rng.standard_normal((100, 4))) for _ in range(40)]
    same = [squared_mmd(one, other) for one, other in zip(draws[::2], draws[1::2], strict=True)]
    assert abs(np.mean(same)) < 4 * np.std(same) / math.sqrt(len(same))
    assert min(same) < 0
    assert squared_mmd(draws[0], unit(draws[1] + 1)) > 20 * np.std(same)


def test_measure_names_what_it_measures():
    rng = np.random.default_rng(0)
    real = unit(rng.standard_normal((6, 4))).astype(np.float32)
    generated = unit(rng.standard_normal((6, 3, 4))).astype(np.float32)
    rows = generated.reshape(18, 4)
    assert measure(real, generated) == {
        "nearest_generated": pytest.approx((real @ rows.T).max(axis=1).mean(), abs=1e-6),
        "nearest_real": pytest.approx((rows @ real.T).max(axis=1).mean(), abs=1e-6),
        "pairwise_cosine": mean_pairwise_cosine(generated),
        "effective_rank": effective_rank(rows),
        "near_duplicates": near_duplicates(rows),
        "energy_score": energy_score(real, generated),
        **prdc(real, generated[:, 0], 5)._asdict(),
        "frechet": frechet_distance(real, generated[:, 0]),
        "mmd": squared_mmd(real, generated[:, 0]),
    }


def test_measure_of_too_few_rows_leaves_out_what_needs_neighbours():
    rows = unit(np.random.default_rng(0).standard_normal((5, 2, 4))).astype(np.float32)
    assert "precision" not in measure(rows[:, 0], rows)
