"""Draw vectors from a generator: the noise is fixed by seeds, memory by the block size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

from aigc_fast.gan.networks import Generator

BLOCK_ROWS = 1024  # rows that pass through the generator at once: a few MiB of activations
ROW_MULTIPLE = 64  # blocks are padded to it: matrix products of a few rows take another path, with other bits


def sample(
    generator: Generator,
    conditions: NDArray[np.float32],
    n_vectors: int,
    streams: Sequence[tuple[int, ...]],
    codes: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Generate ``n_vectors`` unit vectors for every condition, with noise from one stream per condition.

    Parameters
    ----------
    generator
        The network.
    conditions
        (m, c).
    n_vectors
        Vectors for each condition.
    streams
        (m,), what seeds the noise of each row (see :func:`noise_rows`).
    codes
        (n_vectors,), the code of each vector of a condition. None: one after the other, so that the vectors of a
        condition have them in equal shares.

    Returns
    -------
    ndarray of float32, (m, n_vectors, d)

    Notes
    -----
    ``m * n_vectors`` rows pass through the network in blocks, so that the working memory beside the result does
    not grow with m.
    """
    vectors = np.empty((len(conditions), n_vectors, generator.vector_dim), dtype=np.float32)
    size = max(1, BLOCK_ROWS // n_vectors)
    own = np.arange(n_vectors) % max(generator.n_codes, 1) if codes is None else codes
    one_hot = np.equal.outer(own, np.arange(generator.n_codes)).astype(np.float32)
    for start in range(0, len(conditions), size):
        rows = slice(start, start + size)
        noise = noise_rows(streams[rows], n_vectors, generator.noise_dim)
        noise = np.concatenate([noise, np.broadcast_to(one_hot, (len(noise), *one_hot.shape))], axis=2)
        condition = conditions[rows].repeat(n_vectors, axis=0)
        latent = noise.reshape(len(condition), -1)
        vectors[rows] = _forward(generator, latent, condition).reshape(-1, n_vectors, generator.vector_dim)
    return vectors


def noise_rows(streams: Sequence[tuple[int, ...]], n_vectors: int, noise_dim: int) -> NDArray[np.float32]:
    """Draw standard normal noise, (len(streams), n_vectors, noise_dim), each row from a stream of its own.

    A row's noise depends on its stream alone, not on the rows beside it, and fewer vectors are the first of more.
    NumPy draws it, because ``torch.randn`` fills a tensor differently according to its size.
    """
    noise = np.empty((len(streams), n_vectors, noise_dim), dtype=np.float32)
    for row, stream in zip(noise, streams, strict=True):
        np.random.default_rng(stream).standard_normal(out=row, dtype=np.float32)
    return noise


@torch.inference_mode()
def _forward(generator: Generator, noise: NDArray[np.float32], condition: NDArray[np.float32]) -> NDArray[np.float32]:
    blocks = zip(torch.from_numpy(noise).split(BLOCK_ROWS), torch.from_numpy(condition).split(BLOCK_ROWS), strict=True)
    outputs = []
    for block in blocks:
        missing = -len(block[0]) % ROW_MULTIPLE
        padded = (pad(rows, (0, 0, 0, missing)) for rows in block)
        with torch.autocast("cpu", enabled=False):  # the caller's would round what is generated, and measured
            outputs.append(generator(*padded)[: len(block[0])])
    return torch.cat(outputs).numpy()
