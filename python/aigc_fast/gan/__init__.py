"""A conditional GAN that generates content vectors on the unit sphere; needs the extra ``gan`` (PyTorch).

``ContentGAN`` is the way in. The parts under it are small enough to be used, read and replaced one by one:
networks, losses, training, sampling, quality, checkpoints.
"""

from aigc_fast.errors import require

for _module in ("torch", "safetensors", "tqdm"):
    require(_module, "gan")

from aigc_fast.gan.content import ContentGAN  # noqa: E402 - after the check, so that a missing extra is named
from aigc_fast.gan.losses import (  # noqa: E402
    LOSSES,
    AdversarialLoss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    non_saturating_discriminator_loss,
    non_saturating_generator_loss,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
    squared_gradient_norms,
)
from aigc_fast.gan.manifolds import PRDC, prdc  # noqa: E402
from aigc_fast.gan.networks import Discriminator, Encoder, Generator  # noqa: E402
from aigc_fast.gan.training import NonFiniteLossError  # noqa: E402

__all__ = [
    "LOSSES",
    "PRDC",
    "AdversarialLoss",
    "ContentGAN",
    "Discriminator",
    "Encoder",
    "Generator",
    "NonFiniteLossError",
    "hinge_discriminator_loss",
    "hinge_generator_loss",
    "non_saturating_discriminator_loss",
    "non_saturating_generator_loss",
    "prdc",
    "relativistic_discriminator_loss",
    "relativistic_generator_loss",
    "squared_gradient_norms",
]
