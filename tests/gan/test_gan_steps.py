"""One step at a time: its loss by hand, what it changes and what it leaves alone."""

import copy
import math

import numpy as np
import pytest
import torch

from aigc_fast.gan.config import GANConfig
from aigc_fast.gan.state import TrainingState
from aigc_fast.gan.steps import Pairs, discriminator_step, generator_step
from aigc_fast.gan.training import cosine_schedule

from .small import draw_pairs, small_gan

LOSSES = ["relativistic", "non_saturating"]


def config_with(**settings) -> GANConfig:
    return GANConfig.checked(**small_gan(**settings).get_params())


def start(**settings) -> tuple[TrainingState, Pairs, GANConfig]:
    config = config_with(**settings)
    batch = Pairs(*map(torch.from_numpy, draw_pairs(5, seed=2)))
    state = TrainingState.initial(config, vector_dim=6, condition_dim=3)
    state.standardize(batch.conditions)
    return state, batch, config


def fake_vectors(state: TrainingState, batch: Pairs) -> torch.Tensor:
    """What the next step will generate, from a copy of its random stream."""
    rng = torch.Generator()
    rng.set_state(state.rng.get_state())
    noise = torch.randn(len(batch.vectors), state.generator.noise_dim, generator=rng)
    return state.generator(noise, batch.conditions).detach()


def gradient_norms_by_hand(state: TrainingState, vectors: torch.Tensor, conditions: torch.Tensor) -> list[float]:
    """Squared norms of each logit's gradient, one row at a time by central differences in float64."""
    discriminator = copy.deepcopy(state.discriminator).double()
    step, norms = 1e-6, []
    for vector, condition in zip(vectors.double(), conditions.double(), strict=True):
        moved = vector + step * torch.cat([torch.eye(6), -torch.eye(6)])
        with torch.no_grad():
            up, down = discriminator(moved, condition.expand(12, -1)).chunk(2)
        norms.append((((up - down) / (2 * step)) ** 2).sum().item())
    return norms


def log_sigmoid(logits: torch.Tensor) -> np.ndarray:
    return np.array([math.log(1 / (1 + math.exp(-logit))) for logit in logits.tolist()])


@pytest.mark.parametrize("loss", LOSSES)
def test_discriminator_loss_by_hand(loss):
    state, batch, config = start(loss=loss, penalty=0.3)
    fake = fake_vectors(state, batch)
    real_logits = state.discriminator(batch.vectors, batch.conditions).detach()
    fake_logits = state.discriminator(fake, batch.conditions).detach()
    if loss == "relativistic":
        r1 = np.mean(gradient_norms_by_hand(state, batch.vectors, batch.conditions))
        r2 = np.mean(gradient_norms_by_hand(state, fake, batch.conditions))
        expected = -log_sigmoid(real_logits - fake_logits).mean() + 0.3 / 2 * (r1 + r2)
    else:
        expected = -log_sigmoid(real_logits).mean() - np.log(1 - np.exp(log_sigmoid(fake_logits))).mean()
    assert discriminator_step(state, batch, config).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_generator_loss_by_hand(loss):
    state, batch, config = start(loss=loss)
    fake_logits = state.discriminator(fake_vectors(state, batch), batch.conditions).detach()
    real_logits = state.discriminator(batch.vectors, batch.conditions).detach()
    sure_of = fake_logits - real_logits if loss == "relativistic" else fake_logits
    expected = -log_sigmoid(sure_of).mean()
    assert generator_step(state, batch, config).item() == pytest.approx(expected, rel=1e-5)


def test_without_weight_the_penalty_is_left_out():
    state, batch, config = start(penalty=0.0)
    real_logits = state.discriminator(batch.vectors, batch.conditions).detach()
    fake_logits = state.discriminator(fake_vectors(state, batch), batch.conditions).detach()
    expected = -log_sigmoid(real_logits - fake_logits).mean()
    assert discriminator_step(state, batch, config).item() == pytest.approx(expected, rel=1e-5)


def parts(state: TrainingState) -> dict[str, dict[str, bytes]]:
    """The bytes of every tensor, sorted by the part that it belongs to."""
    sorted_by_part: dict[str, dict[str, bytes]] = {}
    for name, tensor in state.snapshot().tensors.items():
        sorted_by_part.setdefault(name.partition(".")[0], {})[name] = tensor.numpy().tobytes()
    return sorted_by_part


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("step", "changed"),
    [
        (discriminator_step, {"discriminator", "discriminator_optimizer", "rng"}),
        (generator_step, {"generator", "generator_optimizer", "average", "rng"}),
    ],
)
def test_a_step_changes_its_own_network_only(step, changed, loss):
    state, batch, config = start(loss=loss)
    for other in (generator_step, discriminator_step, generator_step):  # so that gradients of the other one exist
        other(state, batch, config)
    before = parts(state)
    step(state, batch, config)
    after = parts(state)
    assert {part for part in before if before[part] != after[part]} == changed


def test_every_weight_of_the_trained_network_moves():
    state, batch, config = start()
    before = copy.deepcopy(state.discriminator), copy.deepcopy(state.generator)
    discriminator_step(state, batch, config)
    generator_step(state, batch, config)
    for old, new in zip(before, (state.discriminator, state.generator), strict=True):
        for (name, weights), moved in zip(old.named_parameters(), new.parameters(), strict=True):
            assert not torch.equal(weights, moved), name


def test_a_step_goes_down_the_loss():
    """Adam's first step without momentum is the learning rate against the gradient's sign."""
    state, batch, config = start(penalty=0.0)
    before = copy.deepcopy(state.discriminator)
    logits = before(torch.stack([batch.vectors, fake_vectors(state, batch)]), batch.conditions)
    (-torch.log(torch.sigmoid(logits[0] - logits[1]))).mean().backward()
    discriminator_step(state, batch, config)
    for old, new in zip(before.parameters(), state.discriminator.parameters(), strict=True):
        clear = old.grad.abs() > 1e-5  # beside Adam's epsilon and rounding
        assert clear.any()
        moved = (new - old).detach()[clear]
        torch.testing.assert_close(moved, -config.learning_rate * old.grad.sign()[clear], rtol=1e-2, atol=0)


def test_average_follows_the_generator_by_hand():
    state, batch, config = start(ema_decay=0.2)
    expected: list[np.ndarray] = []
    for n in range(4):
        generator_step(state, batch, config)
        weights = state.generator.output.weight.detach().numpy().copy()
        if n == 0:
            average = weights
        else:
            decay = min(0.2, (1 + n) / (10 + n))  # 2/11 at n = 1, the constant from n = 2 on
            average = decay * expected[-1] + (1 - decay) * weights
        expected.append(average)
        np.testing.assert_allclose(state.averaged_generator.output.weight.detach().numpy(), average, rtol=1e-5)


def test_all_networks_standardize_conditions_alike_from_the_start():
    state, batch, _ = start()
    for network in (state.generator, state.discriminator, state.averaged_generator):
        assert torch.equal(network.standardize.mean, batch.conditions.mean(dim=0))
        assert torch.equal(network.standardize.scale, state.generator.standardize.scale)
        assert network.standardize.scale != 1


def test_fine_tuning_starts_a_new_average_from_the_old_one():
    state, batch, config = start()
    for _ in range(5):
        generator_step(state, batch, config)
    average = {name: tensor.clone() for name, tensor in state.averaged_generator.state_dict().items()}
    state.continue_from_average()
    for networks in (state.generator, state.averaged_generator):
        assert all(torch.equal(tensor, average[name]) for name, tensor in networks.state_dict().items())
    generator_step(state, batch, config)  # the new average's first value, not a thousandth of the way to it
    assert torch.equal(state.averaged_generator.output.weight, state.generator.output.weight)
    assert not torch.equal(state.averaged_generator.output.weight, average["output.weight"])


def test_schedule_rises_then_falls_along_a_cosine():
    rate = cosine_schedule(0.8, epochs=20)
    assert rate(0) == 0
    assert rate(0.5) == pytest.approx(0.4)
    assert rate(1) == pytest.approx(0.8)  # 5 % of 20 epochs
    assert rate(10.5) == pytest.approx(0.4)  # half way down
    assert rate(20) == pytest.approx(0, abs=1e-12)
    assert all(rate(x) > rate(x + 0.5) for x in range(1, 20))
