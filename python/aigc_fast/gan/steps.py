"""One step of each player: what it draws, its loss, its descent."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot
from torch.optim import Adam

from aigc_fast.gan import distributed
from aigc_fast.gan.config import GANConfig
from aigc_fast.gan.losses import LOSSES, squared_gradient_norms
from aigc_fast.gan.state import TrainingState


class Pairs(NamedTuple):
    """Real vectors (n, d) on the unit sphere and the conditions (n, c) that they came with."""

    vectors: Tensor
    conditions: Tensor


def discriminator_step(state: TrainingState, batch: Pairs, config: GANConfig) -> Tensor:
    """Fix the generator, improve the discriminator once; return its loss, penalties included."""
    _train_only([state.discriminator], fixed=[state.generator])
    loss_of = LOSSES[config.loss]
    penalized = loss_of.penalized and config.penalty > 0
    fake = state.generator(_latent(state, batch)[0], batch.conditions)
    samples = torch.stack([batch.vectors, fake]).requires_grad_(penalized)
    logits = state.discriminator(samples, batch.conditions)
    loss = loss_of.discriminator(*logits)
    if penalized:
        r1, r2 = squared_gradient_norms(logits, samples).mean(dim=1)
        loss = loss + config.penalty / 2 * (r1 + r2)
    return _descend(state.discriminator_optimizer, loss)


def generator_step(state: TrainingState, batch: Pairs, config: GANConfig) -> Tensor:
    """Fix the discriminator, improve the generator, its encoder and its average once; return the generator's loss."""
    learning: list[nn.Module] = [state.generator] if state.encoder is None else [state.generator, state.encoder]
    _train_only(learning, fixed=[state.discriminator])
    latent, codes = _latent(state, batch)
    fake = state.generator(latent, batch.conditions)
    loss = torch.zeros(())
    if config.adversarial:
        logits = state.discriminator(torch.stack([batch.vectors, fake]), batch.conditions)
        loss = loss + config.adversarial * LOSSES[config.loss].generator(*logits)
    if config.generator == "vae":
        loss = loss + _autoencoder_loss(state, batch, config)
    elif config.reconstruction:
        loss = loss + config.reconstruction * _cosine_distance(fake, batch.vectors)
    if codes is not None and state.encoder is not None:
        # InfoGAN's lower bound of the mutual information of code and vector, up to the constant entropy of the code.
        loss = loss + cross_entropy(state.encoder(fake, batch.conditions), codes)
    done = _descend(state.generator_optimizer, loss)
    state.average.update_parameters(state.generator)
    return done


def _autoencoder_loss(state: TrainingState, batch: Pairs, config: GANConfig) -> Tensor:
    """Return the negative evidence bound of a conditional variational autoencoder, weighted.

    Kingma and Welling, ICLR 2014, equation 10, with 1 - cosine for the logarithm of the likelihood (a von Mises-Fisher
    distribution, of which ``reconstruction`` is the concentration); beside an adversarial loss: Larsen et al., ICML
    2016.
    """
    assert state.encoder is not None
    mean, log_variance = state.encoder(batch.vectors, batch.conditions).chunk(2, dim=1)
    noise = mean + torch.exp(log_variance / 2) * _normal(state, batch)
    distance = _cosine_distance(state.generator(noise, batch.conditions), batch.vectors)
    divergence: Tensor = (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1).mean() / 2
    return config.reconstruction * distance + config.kl * divergence


def _cosine_distance(one: Tensor, other: Tensor) -> Tensor:
    return 1 - (one * other).sum(dim=1).mean()


def _latent(state: TrainingState, batch: Pairs) -> tuple[Tensor, Tensor | None]:
    """Draw the generator's noise, with a code's one-hot row behind it where there are codes, and the codes."""
    noise = _normal(state, batch)
    if not state.generator.n_codes:
        return noise, None
    n = len(batch.vectors) * distributed.size()
    codes = distributed.own_part(torch.randint(state.generator.n_codes, (n,), generator=state.rng))
    return torch.cat([noise, one_hot(codes, state.generator.n_codes)], dim=1), codes


def _normal(state: TrainingState, batch: Pairs) -> Tensor:
    """Draw noise for the batch. Processes draw that of all of them from the same stream, so they stay in step."""
    n = len(batch.vectors) * distributed.size()
    return distributed.own_part(torch.randn(n, state.generator.noise_dim, generator=state.rng))


def _train_only(trained: list[nn.Module], *, fixed: list[nn.Module]) -> None:
    for modules, learns in ((trained, True), (fixed, False)):
        for module in modules:
            module.train(learns)  # spectral normalization takes its steps in training mode
            module.requires_grad_(learns)


def _descend(optimizer: Adam, loss: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss.backward()
    distributed.average_gradients(optimizer)
    optimizer.step()
    torch.clear_autocast_cache()  # under an autocast of the caller's: the rounded copies of the weights are old now
    return distributed.mean(loss.detach())
