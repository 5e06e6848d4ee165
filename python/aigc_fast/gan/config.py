"""The settings of one model and its training, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aigc_fast.gan.inputs import check_integer, check_real
from aigc_fast.gan.layers import STRIDE, ImageShape
from aigc_fast.gan.losses import LOSSES

GENERATORS = ("mlp", "vae")


@dataclass(frozen=True)
class GANConfig:
    """Settings of a :class:`~aigc_fast.gan.ContentGAN`, which documents them and has their defaults."""

    generator: str
    noise_dim: int
    n_codes: int
    hidden: tuple[int, ...]
    image_shape: ImageShape | None
    loss: str
    penalty: float
    pack: int
    adversarial: float
    reconstruction: float
    kl: float
    epochs: int
    batch_size: int
    learning_rate: float
    ema_decay: float
    patience: int
    seed: int

    @classmethod
    def checked(
        cls, *, generator: Any, hidden: Any, image_shape: Any, loss: Any, seed: Any, **numbers: Any
    ) -> GANConfig:
        """Return the settings as plain Python numbers and tuples, or say which one is wrong.

        Raises
        ------
        ValueError, TypeError
            A setting is out of its range or of another type, or two exclude each other; the message names it.
        """
        for name, value, known in (("generator", generator, GENERATORS), ("loss", loss, LOSSES)):
            if not isinstance(value, str) or value not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
        counts = {"noise_dim": 0, "n_codes": 0, "pack": 1, "epochs": 1, "batch_size": 1, "patience": 1}
        weights = ("penalty", "adversarial", "reconstruction", "kl")
        checked: dict[str, Any] = {
            **{name: check_integer(name, numbers[name], minimum=least) for name, least in counts.items()},
            **{name: check_real(name, numbers[name], "at least 0", lambda x: x >= 0) for name in weights},
        }
        config = cls(
            **checked,
            generator=generator,
            hidden=_widths("hidden", hidden),
            image_shape=None if image_shape is None else _image_shape(image_shape),
            loss=loss,
            learning_rate=check_real("learning_rate", numbers["learning_rate"], "above 0", lambda x: x > 0),
            ema_decay=check_real("ema_decay", numbers["ema_decay"], "in [0, 1)", lambda x: 0 <= x < 1),
            seed=check_integer("seed", seed, minimum=0, below=2**63),
        )
        config._check_together()
        return config

    def _check_together(self) -> None:
        if self.pack > self.batch_size:
            raise ValueError(f"pack must be at most batch_size, {self.batch_size}, got {self.pack}")
        if not self.adversarial and not self.reconstruction:
            raise ValueError("adversarial or reconstruction must be above 0: nothing else trains the generator")
        if self.generator == "vae" and not (self.noise_dim and self.reconstruction):
            raise ValueError("generator='vae' needs a noise_dim and a reconstruction above 0")
        if self.generator == "vae" and self.n_codes:
            raise ValueError(f"n_codes must be 0 with generator='vae', whose encoder finds none; got {self.n_codes}")


def _widths(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise TypeError(f"{name} must be a non-empty sequence of layer widths, got {value!r}")
    return tuple(check_integer(f"{name}[{i}]", width, minimum=1) for i, width in enumerate(value))


def _image_shape(value: Any) -> ImageShape:
    shape = _widths("image_shape", value)
    if len(shape) != 2 or any(side % STRIDE**2 for side in shape):
        raise ValueError(f"image_shape must be (height, width), multiples of {STRIDE**2}, got {value!r}")
    return shape[0], shape[1]
