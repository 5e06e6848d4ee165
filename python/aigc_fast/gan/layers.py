"""What the networks are built of: layers whose weights are drawn from a given stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init
from torch.nn.utils.parametrizations import spectral_norm

LEAK = 0.2  # negative slope of every LeakyReLU; the initial weights are scaled for it
CHANNELS = (16, 32)  # of the convolutions, at half and at a quarter of the size of the image
STRIDE = 2

ImageShape = tuple[int, int]


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


def linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """Return a linear layer without weights: nn.Linear would draw them from the global stream, the caller's."""
    return cast(nn.Linear, skip_init(nn.Linear, inputs, outputs, bias=bias))


def mlp(inputs: int, hidden: Sequence[int]) -> nn.Sequential:
    """Return fully connected layers of these widths, each with its LeakyReLU."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [linear(inputs, width), nn.LeakyReLU(LEAK)]
        inputs = width
    return nn.Sequential(*layers)


def image_decoder(inputs: int, shape: ImageShape) -> nn.Sequential:
    """Return layers from ``inputs`` numbers to the pixels (height * width) of an image, none of them negative.

    The generator of a DCGAN (Radford, Metz and Chintala, ICLR 2016): transposed convolutions that double the size.
    Without its batch normalization, so that a picture depends on its own noise and condition alone.
    """
    height, width = (side // STRIDE**2 for side in shape)
    half, quarter = CHANNELS
    return nn.Sequential(
        linear(inputs, quarter * height * width),
        nn.Unflatten(-1, (quarter, height, width)),
        nn.LeakyReLU(LEAK),
        _convolution(nn.ConvTranspose2d, quarter, half),
        nn.LeakyReLU(LEAK),
        _convolution(nn.ConvTranspose2d, half, 1),
        nn.Softplus(),
        nn.Flatten(),
    )


def image_features(images: int, shape: ImageShape, outputs: int) -> nn.Sequential:
    """Return layers from the pixels (..., images * height * width) of images side by side to (..., outputs) features.

    The discriminator of a DCGAN: convolutions that halve the size, and a fully connected layer.
    """
    half, quarter = CHANNELS
    height, width = (side // STRIDE**2 for side in shape)
    return nn.Sequential(
        nn.Unflatten(-1, (images, *shape)),
        Flattened(
            _convolution(nn.Conv2d, images, half),
            nn.LeakyReLU(LEAK),
            _convolution(nn.Conv2d, half, quarter),
            nn.LeakyReLU(LEAK),
        ),
        linear(quarter * height * width, outputs),
        nn.LeakyReLU(LEAK),
    )


class Flattened(nn.Sequential):
    """Layers for images (n, channels, height, width) that take any leading dimensions and return flat rows."""

    def forward(self, images: Tensor) -> Tensor:
        """Return (..., n) for images (..., channels, height, width)."""
        features: Tensor = super().forward(images.flatten(0, -4))  # type: ignore[no-untyped-call]
        return features.reshape(*images.shape[:-3], -1)


def initialize(network: nn.Module, rng: torch.Generator | None) -> None:
    """Draw all weights as Kaiming normal ones, with biases of zero."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=LEAK, generator=rng)
        elif isinstance(module, nn.ConvTranspose2d):
            # Its inputs are the first dimension, and with a stride of s a pixel sees 1 / s**2 of the kernel's taps.
            nn.init.kaiming_normal_(module.weight, a=LEAK, mode="fan_out", generator=rng)
            with torch.no_grad():
                module.weight.mul_(STRIDE)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def normalize_spectra(network: nn.Module, rng: torch.Generator | None) -> None:
    """Divide the weights of all layers by their largest singular value from here on, found by power iteration.

    Each pass in training mode takes one step of the iteration. Its first vectors are random, and PyTorch draws them
    from its global stream: that is put back.
    """
    seed = torch.randint(2**31, (), generator=rng).item()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in list(network.modules()):
            if isinstance(module, nn.Linear | nn.Conv2d):
                spectral_norm(module)


def _convolution(kind: type[nn.Module], inputs: int, outputs: int) -> nn.Module:
    """Return a convolution by 4 x 4 pixels that halves or doubles the size."""
    return cast(nn.Module, skip_init(kind, inputs, outputs, 2 * STRIDE, stride=STRIDE, padding=1))
