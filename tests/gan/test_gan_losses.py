import math

import pytest
import torch
from torch import nn

from aigc_fast.gan import (
    non_saturating_discriminator_loss,
    non_saturating_generator_loss,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
    squared_gradient_norms,
)

REAL, FAKE = [2.0, -1.0, 0.5], [0.0, 3.0, -2.0]
ALL = [
    non_saturating_discriminator_loss,
    non_saturating_generator_loss,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
]


def probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def value(loss, real=REAL, fake=FAKE) -> float:
    return loss(torch.tensor(real, dtype=torch.float64), torch.tensor(fake, dtype=torch.float64)).item()


def test_article_loss_of_the_discriminator_by_hand():
    expected = -mean([math.log(probability(x)) for x in REAL]) - mean([math.log(1 - probability(f)) for f in FAKE])
    assert value(non_saturating_discriminator_loss) == pytest.approx(expected, rel=1e-12)


def test_article_loss_of_the_generator_by_hand():
    expected = -mean([math.log(probability(f)) for f in FAKE])
    assert value(non_saturating_generator_loss) == pytest.approx(expected, rel=1e-12)


def test_relativistic_losses_by_hand():
    pairs = list(zip(REAL, FAKE, strict=True))
    for_discriminator = -mean([math.log(probability(x - f)) for x, f in pairs])
    for_generator = -mean([math.log(probability(f - x)) for x, f in pairs])
    assert value(relativistic_discriminator_loss) == pytest.approx(for_discriminator, rel=1e-12)
    assert value(relativistic_generator_loss) == pytest.approx(for_generator, rel=1e-12)


@pytest.mark.parametrize("loss", [relativistic_discriminator_loss, relativistic_generator_loss])
def test_relativistic_losses_see_differences_only(loss):
    shifted = value(loss, [x + 7 for x in REAL], [f + 7 for f in FAKE])
    assert shifted == pytest.approx(value(loss), rel=1e-12)


def test_undecided_discriminator_costs_log_2_for_each_term():
    zeros = [0.0, 0.0]
    assert value(non_saturating_discriminator_loss, zeros, zeros) == pytest.approx(2 * math.log(2))
    for loss in ALL[1:]:
        assert value(loss, zeros, zeros) == pytest.approx(math.log(2))


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize(("real", "fake"), [(1e4, -1e4), (-1e4, 1e4)])
def test_losses_and_their_gradients_stay_finite_for_huge_logits(loss, real, fake):
    logits = torch.tensor([real, fake], requires_grad=True)
    result = loss(logits[:1], logits[1:])
    result.backward()
    assert result.isfinite()
    assert logits.grad.isfinite().all()


def test_generator_loss_does_not_saturate_where_the_discriminator_is_sure():
    logits = torch.tensor([-50.0], requires_grad=True)
    non_saturating_generator_loss(torch.zeros(1), logits).backward()
    assert logits.grad.item() == pytest.approx(-1)


def test_penalty_of_a_linear_discriminator_is_the_squared_length_of_its_weights():
    weights = torch.tensor([3.0, -4.0, 12.0])
    samples = torch.randn(5, 3).requires_grad_()
    norms = squared_gradient_norms(samples @ weights, samples)
    torch.testing.assert_close(norms, torch.full((5,), 169.0))


def test_penalty_by_finite_differences():
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    samples = torch.randn(4, 3, dtype=torch.float64).requires_grad_()
    norms = squared_gradient_norms(network(samples).squeeze(1), samples)
    step = 1e-6
    for row, sample in enumerate(samples.detach()):
        slopes = [(network(sample + step * e) - network(sample - step * e)).item() / (2 * step) for e in torch.eye(3)]
        assert norms[row].item() == pytest.approx(sum(slope**2 for slope in slopes), rel=1e-6)


def test_penalty_can_itself_be_minimized():
    def penalty(weights: torch.Tensor) -> torch.Tensor:
        return squared_gradient_norms((torch.tanh(samples @ weights)).sum(dim=1), samples).mean()

    samples = torch.randn(4, 3, dtype=torch.float64).requires_grad_()
    weights = torch.randn(3, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(penalty, weights)


def test_penalty_of_a_stack_is_that_of_its_parts():
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    stack = torch.randn(2, 5, 3).requires_grad_()
    norms = squared_gradient_norms(network(stack).squeeze(-1), stack)
    assert norms.shape == (2, 5)
    for part, samples in zip(norms, stack.detach(), strict=True):
        samples.requires_grad_()
        torch.testing.assert_close(part, squared_gradient_norms(network(samples).squeeze(1), samples))
