"""The networks: a generator onto the unit sphere, a projection discriminator, an encoder; all conditional.

They have fully connected layers, or, for vectors that are the pixels of images, the convolutions of a DCGAN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from aigc_fast.gan.layers import (
    ImageShape,
    Standardize,
    image_decoder,
    image_features,
    initialize,
    linear,
    mlp,
    normalize_spectra,
)


class Generator(nn.Module):
    """Turn noise and a condition into a vector on the unit sphere: ``normalize(output(MLP([noise, condition])))``.

    Noise is an input of its own: without it a conditional generator is an autoencoder of its condition (what
    became of CFGAN) and cannot give two answers to one profile.

    Parameters
    ----------
    noise_dim, condition_dim, vector_dim
        Widths of the noise, the condition and the vectors.
    hidden
        Widths of the hidden layers.
    n_codes
        Number of codes, which follow the noise one-hot (Chen et al., "InfoGAN", NIPS 2016).
    image_shape
        (height, width) where vectors are the pixels of images; output is then a decoder of transposed convolutions.
    rng
        Source of the initial weights; None takes PyTorch's global one.
    """

    def __init__(
        self,
        noise_dim: int,
        condition_dim: int,
        vector_dim: int,
        hidden: Sequence[int],
        *,
        n_codes: int = 0,
        image_shape: ImageShape | None = None,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.noise_dim = noise_dim
        self.n_codes = n_codes
        self.vector_dim = vector_dim
        self.standardize = Standardize(condition_dim)
        self.layers = mlp(noise_dim + n_codes + condition_dim, hidden)
        self.output = linear(hidden[-1], vector_dim) if image_shape is None else image_decoder(hidden[-1], image_shape)
        initialize(self, rng)

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Return unit vectors (n, vector_dim) for noise and codes (n, noise_dim + n_codes), conditions (n, c)."""
        inputs = torch.cat([noise, self.standardize(condition)], dim=1)
        return normalize(self.output(self.layers(inputs)), dim=1)


class Discriminator(nn.Module):
    """Score (vector, condition) pairs with a projection discriminator; returns logits, no sigmoid.

    ``logit(x, c) = psi(phi(x)) + <embed(c), phi(x)> / sqrt(h)`` [1]_: phi is an MLP (convolutions, for images) with h
    outputs, psi a linear layer, embed an MLP, for conditions here are vectors where the paper has classes. The root
    of h keeps the first logits near 1 in size for every width.

    Parameters
    ----------
    vector_dim, condition_dim
        Widths of the vectors and the conditions.
    hidden
        Widths of the hidden layers of phi and of embed.
    pack
        Pairs judged together, by one logit: a generator that has lost variety shows in a pack where it does not in a
        single vector [2]_. The conditions stand side by side like the vectors, for each pair has its own.
    image_shape
        (height, width) where vectors are the pixels of images.
    spectral
        Divide all weights by their largest singular value [3]_.
    rng
        Source of the initial weights; None takes PyTorch's global one.

    References
    ----------
    .. [1] Miyato and Koyama, "cGANs with Projection Discriminator", ICLR 2018, equation 4.
    .. [2] Lin et al., "PacGAN", NeurIPS 2018, section 3.
    .. [3] Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, section 2.1.
    """

    def __init__(
        self,
        vector_dim: int,
        condition_dim: int,
        hidden: Sequence[int],
        *,
        pack: int = 1,
        image_shape: ImageShape | None = None,
        spectral: bool = False,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.pack = pack
        self.standardize = Standardize(condition_dim)
        if image_shape is None:
            self.features = mlp(pack * vector_dim, hidden)
        else:
            self.features = image_features(pack, image_shape, hidden[-1])
        # No bias: it would cancel in the relativistic loss, and Adam would walk it by the rounding of its gradient.
        self.psi = linear(hidden[-1], 1, bias=False)
        self.embed = nn.Sequential(mlp(pack * condition_dim, hidden[:1]), linear(hidden[0], hidden[-1]))
        initialize(self, rng)
        if spectral:
            normalize_spectra(self, rng)

    def forward(self, vectors: Tensor, condition: Tensor) -> Tensor:
        """Return logits (..., n / pack) for vectors (..., n, vector_dim) and their conditions (n, condition_dim).

        Leading dimensions share the conditions, as a stack of real and generated vectors does: (2, n, d).
        """
        # A unit row has entries of size 1/sqrt(d); the layers are initialized for entries of size 1.
        features = self.features(self._packed(vectors * vectors.shape[-1] ** 0.5))
        embedding = self.embed(self._packed(self.standardize(condition)))
        projection = (embedding * features).sum(dim=-1) / features.shape[-1] ** 0.5
        return cast(Tensor, self.psi(features).squeeze(-1) + projection)

    def _packed(self, rows: Tensor) -> Tensor:
        return rows.reshape(*rows.shape[:-2], rows.shape[-2] // self.pack, self.pack * rows.shape[-1])


class Encoder(nn.Module):
    """Say what a vector was generated from: ``MLP([vector, condition])``.

    The encoder of a variational autoencoder (mean and logarithm of the variance of the noise), or InfoGAN's auxiliary
    head (logits of the code). It is a network of its own: InfoGAN's shares layers with the discriminator, which then
    would move with the generator's steps.

    Parameters
    ----------
    vector_dim, condition_dim, outputs
        Widths of the vectors, the conditions and the result.
    hidden
        Widths of the hidden layers.
    rng
        Source of the initial weights; None takes PyTorch's global one.
    """

    def __init__(
        self,
        vector_dim: int,
        condition_dim: int,
        outputs: int,
        hidden: Sequence[int],
        *,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.standardize = Standardize(condition_dim)
        self.layers = mlp(vector_dim + condition_dim, hidden)
        self.output = linear(hidden[-1], outputs)
        initialize(self, rng)

    def forward(self, vectors: Tensor, condition: Tensor) -> Tensor:
        """Return (n, outputs) for vectors (n, vector_dim) and conditions (n, condition_dim)."""
        inputs = torch.cat([vectors * vectors.shape[-1] ** 0.5, self.standardize(condition)], dim=1)
        return cast(Tensor, self.output(self.layers(inputs)))
