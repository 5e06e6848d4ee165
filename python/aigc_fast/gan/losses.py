"""Adversarial losses as pure functions of logits, and the gradient penalty.

D(x) below is the probability sigmoid(logit). ``-log sigmoid(t) = softplus(-t)`` and ``-log(1 - sigmoid(t)) =
softplus(t)``, which neither overflow nor lose digits where a logarithm of a sigmoid would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


def non_saturating_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return ``L_D = -E[log D(x)] - E[log(1 - D(G(z)))]`` (Goodfellow et al. 2014, equation 1)."""
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def non_saturating_generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return ``L_G = -E[log D(G(z))]`` (Goodfellow et al. 2014, section 3); the real logits play no part."""
    return softplus(-fake_logits).mean()


def relativistic_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return ``E[softplus(-(D(x) - D(G(z))))]`` over pairs of one real and one generated vector, in logits.

    The relativistic pairing loss (Jolicoeur-Martineau 2019; Huang et al., "The GAN is dead; long live the
    GAN!", NeurIPS 2024, section 2.1): a generated vector is judged beside a real one of the same condition, so a
    discriminator cannot be satisfied by one boundary for all, and modes that the generator drops keep a gradient.
    """
    return softplus(fake_logits - real_logits).mean()


def relativistic_generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return ``E[softplus(-(D(G(z)) - D(x)))]``: the discriminator's pairs with the roles exchanged."""
    return softplus(real_logits - fake_logits).mean()


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return ``E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]``, in logits (Miyato et al., ICLR 2018, equation 16)."""
    return relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()


def hinge_generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return ``-E[D(G(z))]``, in logits (Miyato et al., ICLR 2018, equation 17); the real logits play no part."""
    return -fake_logits.mean()


def squared_gradient_norms(logits: Tensor, samples: Tensor) -> Tensor:
    """Return the squared norm of each logit's gradient with respect to its own sample, differentiably.

    The mean over real samples is the penalty R1 of Mescheder et al. 2018, over generated ones R2; both are
    zero-centred: they pull the gradient to zero, not to a norm of one.

    Parameters
    ----------
    logits
        (..., n / pack), each computed from its own rows of ``samples`` (no batch statistics).
    samples
        (..., n, d), requiring a gradient.

    Returns
    -------
    Tensor
        (..., n / pack), each at least 0; part of the graph, so that it can be minimized.
    """
    # The sum's gradient holds every pack's own gradient, because logit i depends on the rows of pack i only.
    (gradients,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
    return gradients.square().reshape(*logits.shape, -1).sum(dim=-1)


class AdversarialLoss(NamedTuple):
    """The two players' losses, each a function of (real logits, fake logits) that returns a scalar."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    penalized: bool = False  # whether the discriminator's loss goes with the penalties R1 and R2
    spectral: bool = False  # whether it takes a discriminator with spectral normalization


LOSSES = {
    "relativistic": AdversarialLoss(relativistic_discriminator_loss, relativistic_generator_loss, penalized=True),
    "non_saturating": AdversarialLoss(non_saturating_discriminator_loss, non_saturating_generator_loss),
    "hinge": AdversarialLoss(hinge_discriminator_loss, hinge_generator_loss, spectral=True),
}
"""What ``ContentGAN(loss=...)`` may name."""
