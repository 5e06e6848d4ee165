from __future__ import annotations

import numpy as np
import pytest
from fake_generator import FakeGenerator

from aigc_fast.recommender import ColdItemGenerator


def content(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 4)).astype(np.float32)


def test_it_trains_on_known_items_and_holds_some_out():
    vectors = content(40, seed=1)
    vectors[[3, 8]] = 0
    gan = FakeGenerator()
    ColdItemGenerator(gan, validation_fraction=0.25).fit(content(40), vectors)
    trained = {tuple(row) for row in gan.fitted[1]}
    held_out = {tuple(row) for row in gan.fit_options["validation"][1]}
    assert (len(trained), len(held_out)) == (28, 10)  # a quarter of the 38 with a vector
    assert trained | held_out == {tuple(row) for row in np.delete(content(40), [3, 8], axis=0)}
    for row, condition in zip(*gan.fitted, strict=True):
        place = np.flatnonzero((content(40) == condition).all(axis=1))
        assert np.array_equal(vectors[place[0]], row)


def test_vectors_are_the_mean_directions_and_do_not_depend_on_each_other():
    gan = FakeGenerator()
    model = ColdItemGenerator(gan, n_vectors=6, seed=4).fit(content(20), content(20, seed=1))
    new = content(5, seed=2)
    found = model.vectors(new)
    mean = gan.generate(new, 6, seed=np.full(5, 4)).mean(axis=1)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(model.vectors(new[3:4])[0], found[3], atol=1e-6)


def test_generated_vectors_beat_chance_where_content_tells():
    torch = pytest.importorskip("torch", reason="the extra gan is not installed")
    from aigc_fast.gan import ContentGAN

    torch.set_num_threads(1)
    described = content(330)
    vectors = described @ np.random.default_rng(5).standard_normal((4, 8))
    gan = ContentGAN(noise_dim=4, hidden=(32,), epochs=20, batch_size=30, patience=20)
    model = ColdItemGenerator(gan).fit(described[:300], vectors[:300])
    found = model.vectors(described[300:])
    own = vectors[300:] / np.linalg.norm(vectors[300:], axis=1, keepdims=True)
    assert (found * own).sum(axis=1).mean() > 0.5  # chance: 0


@pytest.mark.parametrize(
    ("described", "vectors", "message"),
    [
        (content(5), content(4), "item_vectors has shape"),
        (content(5), np.zeros((5, 3)), "0 rows that are not zero"),
        (content(1), content(1), "1 rows that are not zero"),
    ],
)
def test_bad_items_are_refused(described, vectors, message):
    with pytest.raises(ValueError, match=message):
        ColdItemGenerator(FakeGenerator()).fit(described, vectors)
