import platform

import numpy as np
import pytest
import torch

from aigc_fast.gan import Generator, sampling
from aigc_fast.gan.sampling import noise_rows, sample


@pytest.fixture
def generator() -> Generator:
    return Generator(4, 3, 6, (16,), rng=torch.Generator().manual_seed(0))


@pytest.fixture
def conditions() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)


def streams(n: int) -> list[tuple[int, int]]:
    return [(7, row) for row in range(n)]


def test_sample_feeds_each_condition_with_its_own_noise(generator, conditions):
    vectors = sample(generator, conditions, 5, streams(50))
    assert vectors.shape == (50, 5, 6)
    assert vectors.dtype == np.float32
    for row in (0, 17, 49):
        noise = np.random.default_rng((7, row)).standard_normal((5, 4), dtype=np.float32)
        condition = np.repeat(conditions[row : row + 1], 5, axis=0)
        expected = generator(torch.from_numpy(noise), torch.from_numpy(condition)).detach().numpy()
        np.testing.assert_allclose(vectors[row], expected, atol=1e-6)


def test_noise_is_standard_normal():
    noise = noise_rows(streams(1000), 8, 32)  # 256,000 draws
    assert abs(noise.mean()) < 5 / np.sqrt(256_000)
    assert abs(noise.var() - 1) < 5 * np.sqrt(2 / 256_000)
    flat = noise.reshape(1000, -1)
    assert abs((flat[:-1] * flat[1:]).mean()) < 5 / np.sqrt(256_000)  # neighbouring streams are unrelated


def test_noise_of_a_row_depends_on_its_stream_alone():
    together = noise_rows([(1, 0), (5, 2), (9, 9)], 4, 3)
    assert np.array_equal(together[1], noise_rows([(5, 2)], 4, 3)[0])


def test_fewer_vectors_are_the_first_of_more():
    assert np.array_equal(noise_rows(streams(3), 8, 5)[:, :3], noise_rows(streams(3), 3, 5))


@pytest.mark.parametrize("n_vectors", [1, 3, 8, 200])
def test_the_split_into_blocks_does_not_show(n_vectors, generator, conditions, monkeypatch):
    whole = sample(generator, conditions, n_vectors, streams(50))
    for rows in (1, 64, 100, 640):
        monkeypatch.setattr(sampling, "BLOCK_ROWS", rows)
        assert_same_vectors(sample(generator, conditions, n_vectors, streams(50)), whole)


def test_a_condition_alone_gets_what_it_gets_in_a_batch(generator, conditions):
    whole = sample(generator, conditions, 3, streams(50))
    for row in (0, 1, 49):
        assert_same_vectors(sample(generator, conditions[row : row + 1], 3, streams(50)[row : row + 1])[0], whole[row])


def assert_same_vectors(one: np.ndarray, other: np.ndarray) -> None:
    if platform.machine() in ("x86_64", "AMD64"):
        assert np.array_equal(one, other)
    else:  # other libraries' matrix products may round rows by where they stand
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_memory_is_bounded_by_the_block(generator, conditions, monkeypatch):
    sizes = []
    generator.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    monkeypatch.setattr(sampling, "BLOCK_ROWS", 128)
    sample(generator, conditions, 8, streams(50))  # 400 rows of many conditions
    sample(generator, conditions[:1], 1000, streams(1))  # 1000 rows of one
    assert max(sizes) == 128


def test_no_conditions_give_no_vectors(generator):
    assert sample(generator, np.empty((0, 3), np.float32), 4, []).shape == (0, 4, 6)
