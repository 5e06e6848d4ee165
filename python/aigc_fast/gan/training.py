"""Alternating training: one function an epoch, one for the run; the steps are in :mod:`aigc_fast.gan.steps`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from aigc_fast.gan import distributed
from aigc_fast.gan.checkpoints import CheckpointWriter
from aigc_fast.gan.config import GANConfig
from aigc_fast.gan.quality import measure
from aigc_fast.gan.sampling import sample
from aigc_fast.gan.state import History, Snapshot, TrainingState
from aigc_fast.gan.steps import Pairs, discriminator_step, generator_step

CHECK_EVERY = 50  # steps between looks at the losses: reading one waits for the device
QUALITY_VECTORS = 8  # vectors generated for each condition when quality is measured
WARM_UP = 0.05  # share of a run in which the learning rate rises: Adam's second moments settle first
SHOWN = ("generator_loss", "discriminator_loss", "energy_score", "precision", "recall", "coverage")  # in the bar
EARLY_STOP_MEASURE = "energy_score"  # lower is better; strictly proper, see quality.energy_score


class NonFiniteLossError(ArithmeticError):
    """A loss or a network's weights became NaN or infinite; the model is back at its last finished epoch.

    Attributes
    ----------
    epoch, step
        Where, both counted from 0.
    what
        ``"discriminator loss"``, ``"generator loss"``, ``"discriminator weights"`` or ``"generator weights"``.
    checkpoint
        Path of the file that holds the last good state, or None where no folder for it was given.
    """

    def __init__(self, epoch: int, step: int, what: str, checkpoint: str | None) -> None:
        kept = f"saved in {checkpoint}" if checkpoint else "not saved, as no checkpoint_dir was given"
        super().__init__(
            f"{what} not finite at step {step} of epoch {epoch}; the model is back where that epoch began ({kept}). "
            "A smaller learning_rate or a larger penalty usually helps."
        )
        self.epoch, self.step, self.what, self.checkpoint = epoch, step, what, checkpoint


def train_epoch(
    state: TrainingState,
    pairs: Pairs,
    config: GANConfig,
    rate: Callable[[float], float],
    bar: tqdm[None],
    checkpoint: str | None,
) -> dict[str, float]:
    """Pass once over the pairs in random order, a discriminator and a generator step on every batch.

    Returns
    -------
    dict
        The epoch's mean ``generator_loss`` and ``discriminator_loss``.

    Raises
    ------
    NonFiniteLossError
        A loss or a weight is NaN or infinite; the state is then of no use.
    """
    n = len(pairs.vectors)
    size = batch_size(n, config)
    steps = n // size  # the rest, less than a batch, has its turn in another epoch's order
    order = torch.randperm(n, generator=state.rng)[: steps * size]
    losses = torch.zeros(steps, 2)
    for step, rows in enumerate(map(distributed.own_part, order.split(size))):
        _set_learning_rate(state, rate(state.epoch + step / steps))
        batch = Pairs(pairs.vectors[rows], pairs.conditions[rows])
        if config.adversarial:
            losses[step, 0] = discriminator_step(state, batch, config)
        losses[step, 1] = generator_step(state, batch, config)
        bar.update()
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == steps:
            _check_finite(state, losses[: step + 1], checkpoint)
    discriminator_loss, generator_loss = losses.mean(dim=0).tolist()
    return {"generator_loss": generator_loss, "discriminator_loss": discriminator_loss}


def batch_size(n_pairs: int, config: GANConfig) -> int:
    """Return the rows of a batch: no more than there are, in whole packs for each process.

    Raises
    ------
    ValueError
        There are fewer pairs than that takes.
    """
    multiple = config.pack * distributed.size()
    size = min(config.batch_size, n_pairs) // multiple * multiple
    if not size:
        raise ValueError(
            f"batch_size is {config.batch_size} and there are {n_pairs} pairs; at least {multiple} of both are taken "
            f"(pack {config.pack}, {distributed.size()} process{'es' if distributed.size() > 1 else ''})"
        )
    return size


class Probe(NamedTuple):
    """Real rows (m, d), float32, on which quality is measured, and their conditions (m, c)."""

    vectors: NDArray[np.float32]
    conditions: NDArray[np.float32]

    def measure(self, state: TrainingState, config: GANConfig) -> dict[str, float]:
        """Return the measures of the averaged generator, with the same noise every time."""
        streams = [(config.seed, row) for row in range(len(self.conditions))]
        generated = sample(state.averaged_generator, self.conditions, QUALITY_VECTORS, streams)
        return measure(self.vectors, generated)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute in one thread, and put its number of threads back.

    Products of a batch with layers of some hundred units are too small to gain much from more, and where other
    work keeps the cores busy the threads wait for each other longer than they compute (measured on two cores: 9 %
    faster when idle, more than 10 times slower when busy). And so the result does not depend on the core count.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@one_thread()
def train(
    state: TrainingState,
    pairs: Pairs,
    config: GANConfig,
    *,
    epochs: int,
    rate: Callable[[float], float],
    probe: Probe,
    early_stop: bool,
    save: CheckpointWriter | None = None,
    best: dict[str, Tensor] | None = None,
    progress: bool = False,
) -> None:
    """Train until the state has seen ``epochs`` epochs or quality on the probe stalls.

    Parameters
    ----------
    state
        Changed in place; on any exception, Ctrl-C included, it is put back to its last finished epoch.
    pairs
        What to learn.
    config
        The settings.
    epochs
        Where to stop, counted from the state's very first epoch.
    rate
        Learning rate by the epochs done, in fractions, counted from the state's very first.
    probe
        Where quality is measured after every epoch.
    early_stop
        Stop after ``config.patience`` epochs without a better ``EARLY_STOP_MEASURE``, and end on the best epoch.
    save
        Called after every epoch, at an interruption and at the end.
    best
        The best epoch so far, of a run that is resumed.
    progress
        Show a bar.
    """
    steps = len(pairs.vectors) // batch_size(len(pairs.vectors), config)
    checkpoint = str(save.path) if save else None
    if not distributed.is_first():
        save, progress = None, False
    last = state.snapshot()
    bar = tqdm(total=epochs * steps, initial=state.epoch * steps, desc="GAN", unit="step", disable=not progress)
    try:
        with bar:
            while state.epoch < epochs and not (early_stop and _stalled(state.history, config.patience)):
                losses = train_epoch(state, pairs, config, rate, bar, checkpoint)
                curves = losses | probe.measure(state, config)
                for name, value in curves.items():
                    state.history.setdefault(name, []).append(value)
                bar.set_postfix({name: f"{curves[name]:.3f}" for name in SHOWN if name in curves})
                snapshot = state.snapshot()
                if early_stop and _epochs_since_best(state.history) == 0:
                    best = snapshot.tensors
                last = snapshot
                if save:
                    save(last, best)
    except BaseException:
        state.restore(last)
        if save:
            save(last, best)
        raise
    if best is not None:
        state.restore(Snapshot(best, state.history))
        if save:
            save(state.snapshot(), None)


def cosine_schedule(peak: float, epochs: int) -> Callable[[float], float]:
    """Rise linearly to the peak over the first ``WARM_UP`` of the epochs, then fall along a half cosine to 0."""

    def rate(epoch: float) -> float:
        share = epoch / epochs
        if share < WARM_UP:
            return peak * share / WARM_UP
        return peak * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))) / 2

    return rate


def _stalled(history: History, patience: int) -> bool:
    return _epochs_since_best(history) >= patience


def _epochs_since_best(history: History) -> int:
    scores = history.get(EARLY_STOP_MEASURE, [])
    return len(scores) - 1 - int(np.argmin(scores)) if scores else 0


def _set_learning_rate(state: TrainingState, rate: float) -> None:
    for optimizer in (state.discriminator_optimizer, state.generator_optimizer):
        for group in optimizer.param_groups:
            group["lr"] = rate


def _check_finite(state: TrainingState, losses: Tensor, checkpoint: str | None) -> None:
    wrong = (~losses.isfinite()).nonzero()
    if len(wrong):
        step, loss = wrong[0].tolist()
        what = ("discriminator loss", "generator loss")[loss]
        raise NonFiniteLossError(state.epoch, step, what, checkpoint)
    for what, network in (("discriminator", state.discriminator), ("generator", state.generator)):
        if not all(bool(weights.isfinite().all()) for weights in network.parameters()):
            raise NonFiniteLossError(state.epoch, len(losses) - 1, f"{what} weights", checkpoint)
