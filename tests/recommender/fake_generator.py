"""A generator that learns nothing and whose vectors a test can compute by itself."""

import numpy as np


class FakeGenerator:
    """Vectors are the condition plus fixed offsets, normalised; records what it is trained on."""

    def __init__(self, spread: float = 0.4) -> None:
        self.spread = spread
        self.fitted = None
        self.fit_options = None
        self.updates = []

    def fit(self, vectors, conditions, **options):
        self.fitted, self.fit_options = (vectors, conditions), options
        return self

    def partial_fit(self, vectors, conditions, *, epochs=1):
        self.updates.append((vectors, conditions, epochs))
        return self

    def generate(self, conditions, n_vectors=8, *, seed=0):
        assert len(np.broadcast_to(seed, len(conditions))) == len(conditions)
        offsets = np.random.default_rng(7).normal(size=(n_vectors, conditions.shape[1]))
        vectors = conditions[:, None] + self.spread * offsets
        return (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).astype(np.float32)
