"""ContentGAN: the estimator around networks, losses and training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from aigc_fast.gan.checkpoints import (
    Arrays,
    Checkpoint,
    CheckpointWriter,
    check_same_run,
    fingerprint,
    from_arrays,
    read_checkpoint,
    restore,
    to_arrays,
    write_checkpoint,
)
from aigc_fast.gan.config import GANConfig
from aigc_fast.gan.inputs import Matrix, check_codes, check_integer, check_matrix, check_pairs, check_streams
from aigc_fast.gan.sampling import sample
from aigc_fast.gan.state import History, TrainingState
from aigc_fast.gan.steps import Pairs
from aigc_fast.gan.training import Probe, cosine_schedule, train

CHECKPOINT_NAME = "checkpoint.safetensors"
PROBE_ROWS = 1000  # pairs on which quality is measured after each epoch
FINE_TUNE_RATE = 0.1  # of learning_rate, constant: partial_fit corrects a trained model


class ContentGAN:
    """A conditional GAN over content vectors: give it profiles, it generates vectors of content to like.

    Trained on pairs of a unit vector (an item's features) and the condition that it came with (say, the
    profile of a user who liked the item), it learns to draw several different vectors for one condition. They
    lie on the unit sphere, where :func:`aigc_fast.cosine_topk` finds the nearest real items.

    Parameters
    ----------
    generator
        ``"mlp"``, or ``"vae"``: an encoder learns with the generator, which also gives back what was encoded.
    noise_dim
        Width of the noise. 0: none, one answer to one condition (for ablations).
    n_codes
        Number of codes beside the noise (InfoGAN): an auxiliary head must be able to read the code from the vector, so
        that each code comes to stand for a kind of content; :meth:`generate` takes them. 0: none.
    hidden
        Widths of the hidden layers of all networks.
    image_shape
        (height, width), multiples of 4, where vectors are the pixels of grey images: the networks are then
        convolutional (DCGAN), and generated pixels are not negative. None: vectors without a shape.
    loss
        ``"relativistic"``: the pairing loss with R1 and R2 penalties (R3GAN), recommended.
        ``"hinge"``: with a spectrally normalized discriminator.
        ``"non_saturating"``: ``L_G = -E[log D(G(z))]``, ``L_D = -E[log D(x)] - E[log(1 - D(G(z)))]``.
    penalty
        Weight gamma of ``gamma / 2 * (R1 + R2)``; the relativistic loss alone uses it. A gradient for unit vectors of d
        columns is the root of d times one for entries of size 1, so images take a smaller weight than the default.
    pack
        Pairs that the discriminator judges together (PacGAN), against collapse.
    adversarial
        Weight of the adversarial loss in the generator's. 0: no discriminator (for ablations).
    reconstruction
        Weight of 1 - cosine of the real vector and the one generated from its code in a VAE, or, for ``"mlp"``, from
        noise; the latter draws all vectors of a condition to their mean.
    kl
        Weight of the divergence of a VAE's code from the noise, for each nat.
    epochs
        Passes over the pairs, at most.
    batch_size
        Pairs for each pair of steps.
    learning_rate
        Peak of Adam's learning rate; it rises over the first steps and falls to 0 along a cosine.
    ema_decay
        Decay, for each step, of the moving average of the generator; the average generates.
    patience
        Epochs without a better energy score on the validation pairs (:func:`aigc_fast.gan.quality.energy_score`, no
        loss) after which training stops. It often stands still while the learning rate is high and improves as it
        falls, so half the epochs is not too many.
    seed
        Seeds weights, order and noise: same seed, same data, same machine, same bits. PyTorch's and NumPy's
        global random states are left alone.

    Attributes
    ----------
    history_
        One float an epoch under each of ``generator_loss``, ``discriminator_loss`` (penalties included) and the
        measures of :func:`aigc_fast.gan.quality.measure`.
    generator_
        The averaged generator, a :class:`torch.nn.Module`.

    Examples
    --------
    >>> import numpy as np
    >>> from aigc_fast.gan import ContentGAN
    >>> angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 1000)
    >>> circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> gan = ContentGAN(epochs=2).fit(circle, np.ones((1000, 1)), progress=False)
    >>> gan.generate(np.ones((3, 1)), n_vectors=4).shape
    (3, 4, 2)
    """

    def __init__(
        self,
        *,
        generator: str = "mlp",
        noise_dim: int = 32,
        n_codes: int = 0,
        hidden: Sequence[int] = (128, 128),
        image_shape: tuple[int, int] | None = None,
        loss: str = "relativistic",
        penalty: float = 0.05,
        pack: int = 1,
        adversarial: float = 1.0,
        reconstruction: float = 0.0,
        kl: float = 0.01,
        epochs: int = 20,
        batch_size: int = 256,
        learning_rate: float = 4e-3,
        ema_decay: float = 0.999,
        patience: int = 10,
        seed: int = 0,
    ) -> None:
        self.generator = generator
        self.noise_dim = noise_dim
        self.n_codes = n_codes
        self.hidden = hidden
        self.image_shape = image_shape
        self.loss = loss
        self.penalty = penalty
        self.pack = pack
        self.adversarial = adversarial
        self.reconstruction = reconstruction
        self.kl = kl
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.ema_decay = ema_decay
        self.patience = patience
        self.seed = seed
        self._state: TrainingState | None = None
        self._about: dict[str, Any] = {}

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"ContentGAN({settings})"

    def get_params(self) -> dict[str, Any]:
        """Return the constructor's arguments by name."""
        return {name: getattr(self, name) for name in (setting.name for setting in fields(GANConfig))}

    def fit(
        self,
        vectors: ArrayLike,
        conditions: ArrayLike,
        *,
        validation: tuple[ArrayLike, ArrayLike] | None = None,
        checkpoint_dir: str | Path | None = None,
        resume: bool = False,
        progress: bool = True,
    ) -> ContentGAN:
        """Train from new weights.

        Parameters
        ----------
        vectors
            (n, d), rows of any length but zero; they are scaled to unit length.
        conditions
            (n, c), the condition of each vector, on any scale.
        validation
            (vectors, conditions) that training does not see. Quality is measured on up to ``PROBE_ROWS`` of
            them, training stops when the energy score stalls, and the model ends on the epoch where it was best.
            Without them quality is measured on the training pairs and stops nothing.
        checkpoint_dir
            Folder for ``checkpoint.safetensors``, replaced after each epoch; on Ctrl-C it holds the last one
            finished. :meth:`load` reads it as well.
        resume
            Go on from the checkpoint in that folder where there is one. The result is that of a run that was
            never interrupted, bit for bit.
        progress
            Show a progress bar on standard error.

        Returns
        -------
        ContentGAN
            Itself.

        Raises
        ------
        ValueError, TypeError
            A wrong argument or setting, a checkpoint of another run, a file that is no checkpoint.
        NonFiniteLossError
            A loss became NaN or infinite. The model is at the last good epoch.
        """
        config = self._config()
        rows = check_pairs(vectors, conditions)
        held_out = _check_validation(validation, rows)
        if resume and checkpoint_dir is None:
            raise ValueError("resume=True needs checkpoint_dir, got None")

        state, about = _start(config, *rows)
        about["data"] = fingerprint(*rows, *(held_out or ()))
        save, best = None, None
        if checkpoint_dir is not None:
            folder = Path(checkpoint_dir)
            folder.mkdir(parents=True, exist_ok=True)
            save = CheckpointWriter(folder / CHECKPOINT_NAME, about)
            if resume and save.path.exists():
                checkpoint = read_checkpoint(save.path)
                check_same_run(save.path, checkpoint.about, about)
                restore(str(save.path), state, checkpoint.last)
                best = checkpoint.best
        self._state, self._about = state, about  # from here on an interrupted fit leaves a usable model
        train(
            state,
            Pairs(*map(torch.from_numpy, rows)),
            config,
            epochs=config.epochs,
            rate=cosine_schedule(config.learning_rate, config.epochs),
            probe=_probe(*(held_out or rows), seed=config.seed),
            early_stop=held_out is not None,
            save=save,
            best=best,
            progress=progress,
        )
        return self

    def partial_fit(self, vectors: ArrayLike, conditions: ArrayLike, *, epochs: int = 1) -> ContentGAN:
        """Train a few epochs more on new pairs, as after feedback; a model that is not fitted starts here.

        The averaged generator is the one that goes on learning, with ``FINE_TUNE_RATE`` of the learning rate.
        What the new pairs do not show is forgotten in time: mix old pairs in where it must stay.

        Parameters
        ----------
        vectors, conditions
            As in :meth:`fit`, with the same widths.
        epochs
            Passes over the new pairs.

        Returns
        -------
        ContentGAN
            Itself; the curves in ``history_`` go on, measured on the new pairs.
        """
        config = self._config()
        epochs = check_integer("epochs", epochs, minimum=1)
        dims = (self._about.get("vector_dim"), self._about.get("condition_dim"))
        rows = check_pairs(vectors, conditions, columns=dims)
        rate = config.learning_rate
        if self._state is None:
            self._state, self._about = _start(config, *rows)
        else:
            rate *= FINE_TUNE_RATE
            self._state.continue_from_average()
        train(
            self._state,
            Pairs(*map(torch.from_numpy, rows)),
            config,
            epochs=self._state.epoch + epochs,
            rate=lambda epoch: rate,
            probe=_probe(*rows, seed=config.seed),
            early_stop=False,
        )
        return self

    def generate(
        self,
        conditions: ArrayLike,
        n_vectors: int = 8,
        *,
        seed: int | Sequence[int] | NDArray[np.integer] = 0,
        codes: int | Sequence[int] | NDArray[np.integer] | None = None,
    ) -> NDArray[np.float32]:
        """Generate unit vectors for conditions.

        Parameters
        ----------
        conditions
            (m, c).
        n_vectors
            Vectors for each condition; fewer are the first of more.
        seed
            One integer: row i of a call draws its noise from stream i of that seed. Or (m,) integers: each row
            draws as though it were generated alone with its own seed; a user's number as the seed makes
            their vectors independent of the batch that they are in and of other users.
        codes
            One code, or (n_vectors,), one for each vector of a condition, from 0 to ``n_codes`` - 1. None: one after
            the other.

        Returns
        -------
        ndarray of float32, (m, n_vectors, d)
            Rows of length 1. The same call gives the same bits.
        """
        state = self._fitted()
        rows = check_matrix("conditions", conditions, columns=self._about["condition_dim"])
        count = check_integer("n_vectors", n_vectors, minimum=1)
        own = None if codes is None else check_codes(codes, count, state.generator.n_codes)
        return sample(state.averaged_generator, rows, count, check_streams(seed, len(rows)), own)

    @property
    def history_(self) -> History:
        """Losses and quality, one float an epoch under each name."""
        return self._fitted().history

    @property
    def generator_(self) -> torch.nn.Module:
        """The averaged generator."""
        return self._fitted().averaged_generator

    def save(self, path: str | Path) -> None:
        """Write the model with all its training state to one safetensors file, whole or not at all."""
        write_checkpoint(Path(path), self._checkpoint())

    @classmethod
    def load(cls, path: str | Path) -> ContentGAN:
        """Read a model from a file of :meth:`save`, or from a checkpoint of :meth:`fit`.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file is damaged, of another version, or of another kind.
        """
        return cls._of(read_checkpoint(Path(path)), str(path))

    def to_arrays(self) -> tuple[dict[str, Any], Arrays]:
        """Return what :meth:`save` writes, facts that JSON can hold and arrays, for a file that holds more."""
        checkpoint = self._checkpoint()
        return checkpoint.about, to_arrays(checkpoint)

    @classmethod
    def from_arrays(cls, about: dict[str, Any], arrays: Arrays) -> ContentGAN:
        """Return the model that :meth:`to_arrays` described; it takes the arrays over."""
        return cls._of(from_arrays(about, arrays), "arrays")

    @classmethod
    def _of(cls, checkpoint: Checkpoint, where: str) -> ContentGAN:
        about = checkpoint.about
        config = GANConfig.checked(**about["config"])
        state = TrainingState.initial(config, about["vector_dim"], about["condition_dim"])
        restore(where, state, checkpoint.last)
        model = cls(**asdict(config))
        model._state, model._about = state, about
        return model

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(self._about, self._fitted().snapshot(), best=None)

    def _config(self) -> GANConfig:
        return GANConfig.checked(**self.get_params())

    def _fitted(self) -> TrainingState:
        if self._state is None:
            raise AttributeError("this ContentGAN is not fitted yet; call fit first")
        return self._state


def _start(config: GANConfig, vectors: Matrix, conditions: Matrix) -> tuple[TrainingState, dict[str, Any]]:
    """Return an untrained state and what checkpoints say about it."""
    dims = {"vector_dim": vectors.shape[1], "condition_dim": conditions.shape[1]}
    if config.image_shape is not None and math.prod(config.image_shape) != vectors.shape[1]:
        raise ValueError(
            f"image_shape {config.image_shape} takes vectors of {math.prod(config.image_shape)} columns, "
            f"got {vectors.shape[1]}"
        )
    state = TrainingState.initial(config, **dims)
    state.standardize(torch.from_numpy(conditions))
    return state, {"config": asdict(config), **dims}


def _check_validation(validation: Any, rows: tuple[Matrix, Matrix]) -> tuple[Matrix, Matrix] | None:
    if validation is None:
        return None
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise TypeError(f"validation must be a pair (vectors, conditions), got {type(validation).__name__}")
    return check_pairs(*validation, where="validation ", columns=(rows[0].shape[1], rows[1].shape[1]))


def _probe(vectors: Matrix, conditions: Matrix, *, seed: int) -> Probe:
    if len(vectors) > PROBE_ROWS:
        chosen = np.random.default_rng(seed).choice(len(vectors), PROBE_ROWS, replace=False)
        vectors, conditions = vectors[chosen], conditions[chosen]
    return Probe(vectors, conditions)
