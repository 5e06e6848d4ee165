"""The two networks: a generator onto the unit sphere and a projection discriminator, both conditional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import skip_init

LEAK = 0.2  # negative slope of every LeakyReLU; the initial weights are scaled for it


class Standardize(nn.Module):
    """Centre conditions and divide them by one scale: mean 0, mean square 1 over what :meth:`fit` saw.

    One scale for all columns keeps the geometry of the conditions (a column of small variance stays small),
    and puts them on the scale of the noise whatever unit the caller measures in. Mean and scale are buffers,
    so they travel with the weights.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, rows: Tensor) -> None:
        """Learn mean and scale from the rows (n, width); constant rows get scale 1."""
        mean = rows.mean(dim=0)
        scale = (rows - mean).square().mean().sqrt()
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(scale > 0, scale, torch.ones_like(scale)))

    def forward(self, rows: Tensor) -> Tensor:
        """Return the standardized rows, (n, width)."""
        return (rows - self.mean) / self.scale


class Generator(nn.Module):
    """Turn noise and a condition into a vector on the unit sphere: ``normalize(MLP([noise, condition]))``.

    Noise is an input of its own and always fed: without it a conditional generator is an autoencoder of its
    condition (what became of CFGAN) and cannot give two answers to one profile.

    Parameters
    ----------
    noise_dim, condition_dim, vector_dim
        Widths of the noise, the condition and the vectors.
    hidden
        Widths of the hidden layers.
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
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.noise_dim = noise_dim
        self.vector_dim = vector_dim
        self.standardize = Standardize(condition_dim)
        self.layers = _mlp(noise_dim + condition_dim, hidden)
        self.output = _linear(hidden[-1], vector_dim)
        _initialize(self, rng)

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Return unit vectors (n, vector_dim) for noise (n, noise_dim) and conditions (n, condition_dim)."""
        inputs = torch.cat([noise, self.standardize(condition)], dim=1)
        return normalize(self.output(self.layers(inputs)), dim=1)


class Discriminator(nn.Module):
    """Score (vector, condition) pairs with a projection discriminator; returns logits, no sigmoid.

    ``logit(x, c) = psi(phi(x)) + <embed(c), phi(x)> / sqrt(h)`` [1]_: phi is an MLP with h outputs, psi a linear
    layer, embed an MLP, for conditions here are vectors where the paper has classes. The root of h keeps the
    first logits near 1 in size for every width.

    Parameters
    ----------
    vector_dim, condition_dim
        Widths of the vectors and the conditions.
    hidden
        Widths of the hidden layers of phi and of embed.
    rng
        Source of the initial weights; None takes PyTorch's global one.

    References
    ----------
    .. [1] Miyato and Koyama, "cGANs with Projection Discriminator", ICLR 2018, equation 4.
    """

    def __init__(
        self,
        vector_dim: int,
        condition_dim: int,
        hidden: Sequence[int],
        *,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.standardize = Standardize(condition_dim)
        self.features = _mlp(vector_dim, hidden)
        # No bias: it would cancel in the relativistic loss, and Adam would walk it by the rounding of its gradient.
        self.psi = _linear(hidden[-1], 1, bias=False)
        self.embed = nn.Sequential(_mlp(condition_dim, hidden[:1]), _linear(hidden[0], hidden[-1]))
        _initialize(self, rng)

    def forward(self, vectors: Tensor, condition: Tensor) -> Tensor:
        """Return logits (..., n) for vectors (..., n, vector_dim) and their conditions (n, condition_dim).

        Leading dimensions share the conditions, as a stack of real and generated vectors does: (2, n, d).
        """
        # A unit row has entries of size 1/sqrt(d); the layers are initialized for entries of size 1.
        features = self.features(vectors * vectors.shape[-1] ** 0.5)
        embedding = self.embed(self.standardize(condition))
        projection = (embedding * features).sum(dim=-1) / features.shape[-1] ** 0.5
        return cast(Tensor, self.psi(features).squeeze(-1) + projection)


def _linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    # skip_init: nn.Linear would draw its weights from the global generator, which is the caller's.
    return cast(nn.Linear, skip_init(nn.Linear, inputs, outputs, bias=bias))


def _mlp(inputs: int, hidden: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [_linear(inputs, width), nn.LeakyReLU(LEAK)]
        inputs = width
    return nn.Sequential(*layers)


def _initialize(network: nn.Module, rng: torch.Generator | None) -> None:
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, a=LEAK, generator=rng)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
