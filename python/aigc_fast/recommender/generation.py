"""Vectors of content for profiles, from any generator, and the items that are near enough to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from aigc_fast import ThresholdHits, cosine_threshold
from aigc_fast.recommender.arguments import as_count, as_dense
from aigc_fast.recommender.fusion import merge_threshold

Float32 = npt.NDArray[np.float32]


@runtime_checkable
class VectorGenerator(Protocol):
    """What `GenerativeRecommender` asks of its generator; `aigc_fast.gan.ContentGAN` is one."""

    def fit(
        self,
        vectors: Any,
        conditions: Any,
        *,
        validation: Any = None,
        checkpoint_dir: Any = None,
        resume: bool = False,
        progress: bool = True,
    ) -> Any:
        """Train from new weights."""

    def partial_fit(self, vectors: Any, conditions: Any, *, epochs: int = 1) -> Any:
        """Train on."""

    def generate(self, conditions: Any, n_vectors: int = 8, *, seed: Any = 0) -> Any:
        """Return unit vectors, (len(conditions), n_vectors, d)."""


def as_generator(value: object) -> VectorGenerator:
    """Return a generator, or say that it is none."""
    if not isinstance(value, VectorGenerator):
        raise TypeError(f"gan is a {type(value).__name__}; a ContentGAN or another VectorGenerator is taken")
    return value


def default_generator(seed: int) -> VectorGenerator:
    """Return an untrained GAN with its defaults, which needs PyTorch."""
    from aigc_fast.gan import ContentGAN

    return ContentGAN(seed=seed)


def generate_recommendations(
    users: npt.ArrayLike,
    items: npt.ArrayLike,
    generator: Any,
    similarity_threshold: float = 0.8,
    *,
    n_vectors: int = 8,
    noise_dim: int = 100,
    seed: int = 0,
) -> ThresholdHits:
    """Items whose cosine to content generated for a user reaches a threshold.

    Parameters
    ----------
    users : (m, c)
        Profiles of the users, the conditions of the generator.
    items : (n, d)
        Vectors of the items.
    generator
        A fitted `aigc_fast.gan.ContentGAN` (or whatever has its ``generate``); or a callable, for instance a
        `torch.nn.Module`, that maps profiles, or (noise, profiles), to vectors (rows, d).
    similarity_threshold
        Cosine from which an item belongs to the list, itself included.
    n_vectors
        Vectors generated for each user. An item scores the best of its cosines to them. A callable of profiles
        alone gives one answer to one profile, and so one vector.
    noise_dim
        Width of the noise that a callable of (noise, profiles) takes.
    seed
        Seeds the noise, the same for all users.

    Returns
    -------
    ThresholdHits
        CSR: user i gets ``ids[indptr[i]:indptr[i + 1]]``, best first, with their ``scores``. One exact search for
        n_users · n_vectors queries.

    Raises
    ------
    ValueError, TypeError
        An argument of the wrong type, shape or range, or a generator whose vectors have another width than the items.

    Examples
    --------
    >>> items = np.eye(3, dtype=np.float32)
    >>> hits = generate_recommendations([[4, 3, 0]], items, lambda profiles: profiles, similarity_threshold=0.6)
    >>> hits.ids.tolist(), hits.scores.round(3).tolist()
    ([0, 1], [0.800000011920929, 0.6000000238418579])
    """
    profiles = as_dense("users", users).astype(np.float32)
    candidates = as_dense("items", items)
    count = as_count("n_vectors", n_vectors, minimum=1)
    width = as_count("noise_dim", noise_dim, minimum=1)
    vectors = draw_vectors(generator, profiles, count, width, as_count("seed", seed))
    if vectors.shape[2] != candidates.shape[1]:
        raise ValueError(
            f"generator gave vectors of {vectors.shape[2]} dimensions; {candidates.shape[1]} as in items are taken"
        )
    hits = cosine_threshold(vectors.reshape(-1, vectors.shape[2]), candidates, similarity_threshold)
    return merge_threshold(hits, len(profiles))


def draw_vectors(
    generator: VectorGenerator | Callable[..., Any], profiles: Float32, count: int, noise_dim: int, seed: int
) -> npt.NDArray[np.floating[Any]]:
    """Vectors for profiles (m, c) from any kind of generator that `generate_recommendations` takes.

    Returns
    -------
    (m, count, d) floats
        (m, 1, d) from a callable of profiles alone.
    """
    if hasattr(generator, "generate"):
        return np.asarray(generator.generate(profiles, count, seed=np.full(len(profiles), seed)))
    if not callable(generator):
        raise TypeError(f"generator is a {type(generator).__name__}; a ContentGAN or a callable is taken")
    if not _takes_noise(generator):
        return _rows_of(_call(generator, profiles), len(profiles))[:, None]
    noise = np.random.default_rng(seed).standard_normal((count, noise_dim), dtype=np.float32)
    called = _call(generator, np.tile(noise, (len(profiles), 1)), np.repeat(profiles, count, axis=0))
    rows = _rows_of(called, len(profiles) * count)
    return rows.reshape(len(profiles), count, rows.shape[1])


def _takes_noise(generator: Callable[..., Any]) -> bool:
    """Whether a callable takes (noise, profiles), and not the profiles alone."""
    wanted = [
        parameter
        for parameter in inspect.signature(getattr(generator, "forward", generator)).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
    ]
    if len(wanted) not in (1, 2):
        raise TypeError(f"generator takes {len(wanted)} arguments; one of (profiles) or (noise, profiles) is taken")
    return len(wanted) == 2


def _call(generator: Callable[..., Any], *inputs: Float32) -> Any:
    """Call with arrays, or a PyTorch module with tensors, in evaluation mode and without gradients."""
    if not hasattr(generator, "forward"):
        return generator(*inputs)
    import torch

    was_training = generator.training  # type: ignore[attr-defined]
    generator.eval()  # type: ignore[attr-defined]
    try:
        with torch.no_grad():
            return generator(*map(torch.from_numpy, inputs)).numpy()
    finally:
        generator.train(was_training)  # type: ignore[attr-defined]


def _rows_of(vectors: Any, rows: int) -> npt.NDArray[np.floating[Any]]:
    return as_dense("vectors of the generator", vectors, rows)
