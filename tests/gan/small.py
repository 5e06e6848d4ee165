"""Data and models small enough for a test."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aigc_fast.gan import ContentGAN
from aigc_fast.gan.state import Snapshot

Pairs = tuple[NDArray[np.float32], NDArray[np.float32]]


def draw_pairs(n: int, *, seed: int, vector_dim: int = 6, condition_dim: int = 3) -> Pairs:
    """Unit vectors scattered around a direction that their condition sets."""
    rng = np.random.default_rng(seed)
    conditions = rng.standard_normal((n, condition_dim)).astype(np.float32)
    means = conditions @ np.random.default_rng(99).standard_normal((condition_dim, vector_dim))
    vectors = means + rng.standard_normal((n, vector_dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), conditions


def small_gan(**settings: Any) -> ContentGAN:
    return ContentGAN(**{"noise_dim": 4, "hidden": (16,), "epochs": 4, "batch_size": 32, **settings})


def assert_same_state(one: Snapshot, other: Snapshot) -> None:
    """Assert that two snapshots agree in every tensor, bit for bit, and in the curves."""
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        assert tensor.dtype == other.tensors[name].dtype, name
        assert tensor.numpy().tobytes() == other.tensors[name].numpy().tobytes(), name
    assert one.history == other.history
