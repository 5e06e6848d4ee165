"""Everything that training changes, as one object that can be copied out and put back bit for bit."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel

from aigc_fast.gan.config import GANConfig
from aigc_fast.gan.losses import LOSSES
from aigc_fast.gan.networks import Discriminator, Encoder, Generator

ADAM_BETAS = (0.0, 0.99)  # no momentum: it chases an opponent that has moved since (R3GAN, StyleGAN)

History = dict[str, list[float]]


class Snapshot(NamedTuple):
    """A copy of a :class:`TrainingState`."""

    tensors: dict[str, Tensor]
    history: History


@dataclass
class TrainingState:
    """The networks, the averaged generator, both optimizers, the random stream and the curves so far."""

    generator: Generator
    discriminator: Discriminator
    encoder: Encoder | None  # of a VAE's noise or of InfoGAN's codes; learns with the generator
    average: AveragedModel
    generator_optimizer: Adam
    discriminator_optimizer: Adam
    rng: torch.Generator
    history: History = field(default_factory=dict)

    @classmethod
    def initial(cls, config: GANConfig, vector_dim: int, condition_dim: int) -> TrainingState:
        """Draw the weights from ``config.seed``; PyTorch's global random state is neither read nor changed."""
        rng = torch.Generator().manual_seed(config.seed)
        generator = Generator(
            config.noise_dim,
            condition_dim,
            vector_dim,
            config.hidden,
            n_codes=config.n_codes,
            image_shape=config.image_shape,
            rng=rng,
        )
        discriminator = Discriminator(
            vector_dim,
            condition_dim,
            config.hidden,
            pack=config.pack,
            image_shape=config.image_shape,
            spectral=LOSSES[config.loss].spectral,
            rng=rng,
        )
        encoder = None
        if encoded := 2 * config.noise_dim if config.generator == "vae" else config.n_codes:
            encoder = Encoder(vector_dim, condition_dim, encoded, config.hidden, rng=rng)
        learning = [*generator.parameters(), *(encoder.parameters() if encoder else ())]
        return cls(
            generator,
            discriminator,
            encoder,
            AveragedModel(generator, avg_fn=partial(_moving_average, decay=config.ema_decay)),
            Adam(learning, lr=config.learning_rate, betas=ADAM_BETAS, fused=True),
            Adam(discriminator.parameters(), lr=config.learning_rate, betas=ADAM_BETAS, fused=True),
            rng,
        )

    @property
    def epoch(self) -> int:
        """The number of finished epochs."""
        return len(next(iter(self.history.values()), []))

    @property
    def averaged_generator(self) -> Generator:
        """The moving average of the generator, which is the one to use."""
        return cast(Generator, self.average.module)

    def standardize(self, conditions: Tensor) -> None:
        """Fit the scale of the conditions (n, c) in all networks."""
        for network in (self.generator, self.discriminator, self.averaged_generator, self.encoder):
            if network is not None:
                network.standardize.fit(conditions)

    def continue_from_average(self) -> None:
        """Make the averaged generator the one that is trained, and start a new average from it."""
        self.generator.load_state_dict(self.average.module.state_dict())
        self.average.n_averaged.zero_()

    def snapshot(self) -> Snapshot:
        """Copy the whole state."""
        tensors = {
            f"{part}.{name}": tensor.clone()
            for part, module in self._modules().items()
            for name, tensor in module.state_dict().items()
        }
        for part, optimizer in self._optimizers().items():
            for index, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"{part}.{index}.{name}": value.clone() for name, value in moments.items()}
        tensors["rng"] = self.rng.get_state()
        return Snapshot(tensors, copy.deepcopy(self.history))

    def restore(self, snapshot: Snapshot) -> None:
        """Put a snapshot back.

        Raises
        ------
        KeyError, RuntimeError
            The snapshot comes from networks of another shape.
        """
        for part, module in self._modules().items():
            module.load_state_dict(_below(part, snapshot.tensors))
        for part, optimizer in self._optimizers().items():
            moments: dict[int, dict[str, Tensor]] = {}
            for key, tensor in _below(part, snapshot.tensors).items():
                index, _, name = key.partition(".")
                moments.setdefault(int(index), {})[name] = tensor
            groups = optimizer.state_dict()["param_groups"]
            # A deep copy, because load_state_dict keeps the tensors it is given and the next step writes to them.
            optimizer.load_state_dict({"state": copy.deepcopy(moments), "param_groups": groups})
        self.rng.set_state(snapshot.tensors["rng"])
        self.history = copy.deepcopy(snapshot.history)

    def _modules(self) -> dict[str, torch.nn.Module]:
        modules = {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}
        return modules if self.encoder is None else modules | {"encoder": self.encoder}

    def _optimizers(self) -> dict[str, Adam]:
        return {
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


def _below(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = part + "."
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _moving_average(averaged: Tensor, current: Tensor, n_averaged: Tensor, *, decay: float) -> Tensor:
    """Move the average towards the current weights; the decay grows as (1 + n) / (10 + n) up to ``decay``.

    A constant decay would leave the average of a short run at its initial weights.
    """
    n = int(n_averaged)
    return torch.lerp(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))
