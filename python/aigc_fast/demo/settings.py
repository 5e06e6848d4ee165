"""What a run of the demonstration can be told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from aigc_fast.recommender.generative import Fusion


@dataclass(frozen=True)
class DemoSettings:
    """Settings of one run; the defaults take MovieLens-100K through everything in a few minutes on two cores.

    Attributes
    ----------
    output
        Folder of the report, the lists, the metrics and the checkpoints.
    epochs
        Epochs of each of the two trainings, at most.
    seed
        Seeds splits, training and noise.
    resume
        Go on from the checkpoints in ``output``.
    dim, content_weight
        Width of the collaborative part of the item vectors, and weight of the content part beside it.
    test_fraction
        Share of the ratings that nothing but the final evaluation looks at.
    cold_fraction
        Share of the items hidden from the model that is selected, to see how it ranks new items.
    validation_fraction
        Share of the remaining train ratings that the choice of parameters looks at, and feedback comes from later.
    n_vectors, popularity, fusion
        Values to choose from on the validation part.
    rounds, feedback_length
        Rounds of the feedback loop at most, and the length of the lists shown in them.
    list_length
        Length of the lists that are written and evaluated.
    """

    output: Path
    epochs: int = 12
    seed: int = 0
    resume: bool = False
    dim: int = 64
    content_weight: float = 0.3
    test_fraction: float = 0.2
    cold_fraction: float = 0.05
    validation_fraction: float = 0.2
    n_vectors: tuple[int, ...] = (8, 64)
    popularity: tuple[float, ...] = (0.0, 0.1, 0.2)
    fusion: tuple[Fusion, ...] = ("mean", "max")
    rounds: int = 6
    feedback_length: int = 10
    list_length: int = 20

    def quick(self) -> DemoSettings:
        """Return settings that run every step in a fraction of the time; the figures mean nothing."""
        return replace(self, epochs=min(self.epochs, 2), n_vectors=(8,), popularity=(0.0, 0.1), rounds=2)

    def for_profiles(self) -> DemoSettings:
        """Return settings with the choices that are left where the profile is the only vector."""
        return replace(self, n_vectors=(1,), fusion=("mean",))
