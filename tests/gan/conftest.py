"""Small data and small models that the GAN tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from aigc_fast.gan import ContentGAN

from .small import Pairs, draw_pairs, small_gan


@pytest.fixture(autouse=True)
def repeatable() -> Iterator[None]:
    """One thread, the fastest at this size, and the same inputs every time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def pairs() -> Pairs:
    return draw_pairs(200, seed=0)


@pytest.fixture
def validation() -> Pairs:
    return draw_pairs(50, seed=1)


@pytest.fixture
def fitted(pairs: Pairs) -> ContentGAN:
    return small_gan().fit(*pairs, progress=False)
