import math

import numpy as np
import pytest
import torch
from torch import nn

from aigc_fast.gan import Discriminator, Generator
from aigc_fast.gan.layers import LEAK, Standardize


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, LEAK * x)


def affine(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    return x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()


def test_generator_is_a_normalized_mlp_of_noise_and_condition():
    generator = Generator(3, 2, 5, (7, 6), rng=seeded(0))
    noise, condition = torch.randn(4, 3, generator=seeded(1)), torch.randn(4, 2, generator=seeded(2))
    x = torch.cat([noise, condition], dim=1).double().numpy()
    for layer in (generator.layers[0], generator.layers[2]):
        x = leaky(affine(layer, x))
    x = affine(generator.output, x)
    expected = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(generator(noise, condition).detach().numpy(), expected, atol=1e-6)


def test_generated_vectors_have_length_one_and_the_asked_shape():
    vectors = Generator(3, 2, 5, (7,), rng=seeded(0))(torch.randn(11, 3), torch.randn(11, 2))
    assert vectors.shape == (11, 5)
    np.testing.assert_allclose(vectors.detach().norm(dim=1), 1, atol=1e-6)


def test_noise_and_condition_both_change_the_output():
    generator = Generator(3, 2, 5, (7,), rng=seeded(0))
    noise, condition = torch.randn(2, 3, generator=seeded(1)), torch.randn(2, 2, generator=seeded(2))
    base = generator(noise[:1], condition[:1])
    assert not torch.allclose(base, generator(noise[1:], condition[:1]), atol=1e-2)
    assert not torch.allclose(base, generator(noise[:1], condition[1:]), atol=1e-2)


def test_discriminator_is_psi_of_phi_plus_the_projection_on_the_condition():
    discriminator = Discriminator(5, 2, (7, 6), rng=seeded(0))
    vectors, condition = torch.randn(4, 5, generator=seeded(1)), torch.randn(4, 2, generator=seeded(2))
    phi = vectors.double().numpy() * math.sqrt(5)
    for layer in (discriminator.features[0], discriminator.features[2]):
        phi = leaky(affine(layer, phi))
    hidden, output = discriminator.embed[0][0], discriminator.embed[1]
    embedding = affine(output, leaky(affine(hidden, condition.double().numpy())))
    expected = phi @ discriminator.psi.weight.detach().double().numpy()[0] + (embedding * phi).sum(axis=1) / math.sqrt(
        6
    )
    np.testing.assert_allclose(discriminator(vectors, condition).detach().numpy(), expected, atol=1e-5)


def test_discriminator_scores_a_stack_as_it_scores_its_parts():
    discriminator = Discriminator(5, 2, (7, 6), rng=seeded(0))
    real, fake, condition = torch.randn(4, 5), torch.randn(4, 5), torch.randn(4, 2)
    logits = discriminator(torch.stack([real, fake]), condition)
    assert logits.shape == (2, 4)
    torch.testing.assert_close(logits[0], discriminator(real, condition))
    torch.testing.assert_close(logits[1], discriminator(fake, condition))


def test_logits_are_not_squashed():
    discriminator = Discriminator(5, 2, (7,), rng=seeded(0))
    with torch.no_grad():
        discriminator.psi.weight.mul_(100)
    assert discriminator(torch.randn(30, 5), torch.randn(30, 2)).abs().max() > 1


@pytest.mark.parametrize(
    "network", [lambda rng: Generator(3, 2, 5, (7,), rng=rng), lambda rng: Discriminator(5, 2, (7,), rng=rng)]
)
def test_weights_come_from_the_given_stream_and_leave_the_global_one_alone(network):
    before = torch.get_rng_state()
    first, again, other = network(seeded(3)), network(seeded(3)), network(seeded(4))
    assert torch.equal(torch.get_rng_state(), before)
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, again.state_dict()[name])
    assert any(not torch.equal(weights, other.state_dict()[name]) for name, weights in first.state_dict().items())


def test_without_a_stream_the_global_one_is_used():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        by_global = Generator(3, 2, 5, (7,))
    by_own = Generator(3, 2, 5, (7,), rng=seeded(3))
    assert torch.equal(by_global.output.weight, by_own.output.weight)


def test_initial_weights_have_kaimings_scale():
    generator = Generator(100, 100, 50, (400,), rng=seeded(0))
    expected = math.sqrt(2 / (1 + LEAK**2) / 200)
    # The standard deviation of 80,000 normal draws is known to 1/sqrt(2 * 80000) of itself: 5 sigma are 1.3 %.
    assert generator.layers[0].weight.std().item() == pytest.approx(expected, rel=0.013)
    assert not generator.layers[0].bias.any()


def test_standardize_centres_and_takes_one_scale():
    rows = torch.randn(50, 3, generator=seeded(0)) * torch.tensor([1.0, 10.0, 0.1]) + 5
    standardize = Standardize(3)
    standardize.fit(rows)
    out = standardize(rows)
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    assert out.square().mean().item() == pytest.approx(1, abs=1e-5)
    # One scale for all: the ratios of the columns' spreads stay.
    torch.testing.assert_close(out.std(dim=0) / out.std(), rows.std(dim=0) / (rows - rows.mean(dim=0)).std())


def test_standardize_takes_constant_rows():
    standardize = Standardize(2)
    standardize.fit(torch.full((4, 2), 7.0))
    assert torch.equal(standardize(torch.full((1, 2), 8.0)), torch.ones(1, 2))
