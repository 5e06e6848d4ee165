"""The settings of one model and its training, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aigc_fast.gan.inputs import check_integer, check_real
from aigc_fast.gan.losses import LOSSES


@dataclass(frozen=True)
class GANConfig:
    """Settings of a :class:`~aigc_fast.gan.ContentGAN`, which documents them and has their defaults."""

    noise_dim: int
    hidden: tuple[int, ...]
    loss: str
    penalty: float
    epochs: int
    batch_size: int
    learning_rate: float
    ema_decay: float
    patience: int
    seed: int

    @classmethod
    def checked(cls, *, hidden: Any, loss: Any, seed: Any, **numbers: Any) -> GANConfig:
        """Return the settings as plain Python numbers and tuples, or say which one is wrong.

        Raises
        ------
        ValueError, TypeError
            A setting is out of its range or of another type; the message names it.
        """
        if not isinstance(hidden, Sequence) or isinstance(hidden, str) or not hidden:
            raise TypeError(f"hidden must be a non-empty sequence of layer widths, got {hidden!r}")
        if loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(map(repr, LOSSES))}, got {loss!r}")
        counts = ("noise_dim", "epochs", "batch_size", "patience")
        return cls(
            **{name: check_integer(name, numbers[name], minimum=1) for name in counts},
            hidden=tuple(check_integer(f"hidden[{i}]", width, minimum=1) for i, width in enumerate(hidden)),
            loss=loss,
            penalty=check_real("penalty", numbers["penalty"], "at least 0", lambda x: x >= 0),
            learning_rate=check_real("learning_rate", numbers["learning_rate"], "above 0", lambda x: x > 0),
            ema_decay=check_real("ema_decay", numbers["ema_decay"], "in [0, 1)", lambda x: 0 <= x < 1),
            seed=check_integer("seed", seed, minimum=0, below=2**63),
        )
