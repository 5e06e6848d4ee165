"""What a run of the demonstration can be told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from aigc_fast.recommender.ranking import Fusion


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
        Share of the ratings that only measures.
    cold_fraction
        Share of the items hidden from the model that is selected, to see how it ranks new items.
    newcomer_fraction, newcomer_ratings
        Share of the users of whom that model sees this many ratings only: they answer in the feedback loop.
    validation_fraction
        Share of the ratings left to that model that choose the parameters.
    n_vectors, fusion
        Values to choose from on the validation part.
    rounds, feedback_length
        Rounds of the feedback loop at most, and the length of the lists shown in them.
    """

    output: Path
    epochs: int = 12
    seed: int = 0
    resume: bool = False
    dim: int = 64
    content_weight: float = 0.3
    test_fraction: float = 0.2
    cold_fraction: float = 0.05
    newcomer_fraction: float = 0.15
    newcomer_ratings: int = 5
    validation_fraction: float = 0.1
    n_vectors: tuple[int, ...] = (1, 8, 64)
    fusion: tuple[Fusion, ...] = ("mean", "max")
    rounds: int = 6
    feedback_length: int = 10

    def quick(self) -> DemoSettings:
        """Return settings that run every step in a fraction of the time; the figures mean nothing."""
        return replace(self, epochs=min(self.epochs, 2), n_vectors=(8,), rounds=2)
