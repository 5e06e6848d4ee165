"""Compare training with a plain PyTorch loop of the same networks, and with mixed precision and torch.compile.

    python -m benchmarks.gan_training             # 20,000 pairs of 97 and 97 numbers, as on MovieLens-100K
    python -m benchmarks.gan_training --check     # small; the times mean nothing

The plain loop is what one would write by hand: the same networks, losses, penalties, Adam and moving average, without
seeds, checks of the losses, curves, checkpoints or processes. Both train an epoch in turn, in one thread; times are the
processor's, since neither waits. "with quality" adds the measures that follow each epoch, whatever its length.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from aigc_fast.gan import ContentGAN, Discriminator, Generator
from aigc_fast.gan.config import GANConfig
from aigc_fast.gan.losses import LOSSES
from aigc_fast.gan.state import TrainingState
from aigc_fast.gan.steps import Pairs
from aigc_fast.gan.training import Probe, train_epoch
from benchmarks import machine

DIM, N_PAIRS, PROBE_ROWS = 97, 20_000, 1000

Epoch = Callable[[], Any]


def data(n: int) -> Pairs:
    """Return pairs of unit vectors."""
    rng = torch.Generator().manual_seed(0)
    vectors, conditions = (normalize(torch.randn(n, DIM, generator=rng), dim=1) for _ in range(2))
    return Pairs(vectors, conditions)


def by_hand(pairs: Pairs, config: GANConfig) -> Epoch:
    """Return a call that trains one epoch of a plain loop."""
    generator = Generator(config.noise_dim, DIM, DIM, config.hidden)
    discriminator = Discriminator(DIM, DIM, config.hidden)
    average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
    adam = {"lr": config.learning_rate, "betas": (0.0, 0.99), "fused": True}
    improve_g = torch.optim.Adam(generator.parameters(), **adam)
    improve_d = torch.optim.Adam(discriminator.parameters(), **adam)

    def penalty(logits: Tensor, samples: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
        return gradient.square().sum(dim=1).mean()

    def epoch() -> None:
        for rows in torch.randperm(len(pairs.vectors)).split(config.batch_size):
            real, condition = pairs.vectors[rows].requires_grad_(), pairs.conditions[rows]
            with torch.no_grad():
                fake = generator(torch.randn(len(rows), config.noise_dim), condition)
            fake.requires_grad_()
            of_real, of_fake = discriminator(real, condition), discriminator(fake, condition)
            loss = softplus(of_fake - of_real).mean()
            loss = loss + config.penalty / 2 * (penalty(of_real, real) + penalty(of_fake, fake))
            improve_d.zero_grad()
            loss.backward()
            improve_d.step()

            for weights in discriminator.parameters():
                weights.requires_grad_(False)
            fake = generator(torch.randn(len(rows), config.noise_dim), condition)
            with torch.no_grad():
                of_real = discriminator(real, condition)
            loss = softplus(of_real - discriminator(fake, condition)).mean()
            improve_g.zero_grad()
            loss.backward()
            improve_g.step()
            for weights in discriminator.parameters():
                weights.requires_grad_(True)
            average.update_parameters(generator)

    return epoch


def ours(
    pairs: Pairs,
    config: GANConfig,
    *,
    quality: bool = False,
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    compiled: bool = False,
) -> Epoch:
    """Return a call that trains one epoch of the product."""
    state = TrainingState.initial(config, DIM, DIM)
    state.standardize(pairs.conditions)
    if compiled:
        networks: list[nn.Module] = [state.generator]
        if not LOSSES[config.loss].penalized:  # penalties take second derivatives, which compiled graphs do not have
            networks.append(state.discriminator)
        for network in networks:
            network.compile()
    probe = Probe(pairs.vectors[:PROBE_ROWS].numpy(), pairs.conditions[:PROBE_ROWS].numpy())

    def epoch() -> None:
        with context(), tqdm(disable=True) as bar:
            train_epoch(state, pairs, config, lambda done: config.learning_rate, bar, None)
        if quality:
            probe.measure(state, config)

    return epoch


def main() -> None:
    """Print the machine and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=N_PAIRS)
    parser.add_argument("--compile", action="store_true", help="also torch.compile (needs a C++ compiler, minutes)")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.check:
        machine.refuse_slowed_peers()
    print(json.dumps(machine.describe("gan_training", 1), indent=1))
    pairs = data(1024 if options.check else options.pairs)
    config = GANConfig.checked(**ContentGAN().get_params())
    hinge = GANConfig.checked(**ContentGAN(loss="hinge").get_params())

    def bfloat16() -> AbstractContextManager[Any]:
        return torch.autocast("cpu", torch.bfloat16)

    epochs = {
        "plain loop": by_hand(pairs, config),
        "aigc_fast": ours(pairs, config),
        "with quality": ours(pairs, config, quality=True),
        "bfloat16": ours(pairs, config, context=bfloat16),
        "hinge": ours(pairs, hinge),
    }
    if options.compile:
        epochs["generator compiled"] = ours(pairs, config, compiled=True)
        epochs["hinge, both compiled"] = ours(pairs, hinge, compiled=True)
    times: dict[str, list[float]] = {name: [] for name in epochs}
    for turn in range(options.rounds + 1):
        for name, epoch in epochs.items():
            start = time.process_time()
            epoch()
            if turn:  # the first warms up, and compiles
                times[name].append(time.process_time() - start)
    print("| | s an epoch | against the plain loop |\n| --- | --- | --- |")
    for name, taken in times.items():
        ratio = statistics.median(a / b for a, b in zip(taken, times["plain loop"], strict=True))
        print(f"| {name} | {statistics.median(taken):.3f} | {ratio:.2f}× |")


if __name__ == "__main__":
    main()
