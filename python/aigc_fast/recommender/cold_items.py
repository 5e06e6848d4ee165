"""Vectors for items that nobody has interacted with, generated from what is known of them.

The idea of GAR (Chen et al., "Generative Adversarial Framework for Cold-Start Item Recommendation", SIGIR 2022): a
generator conditioned on an item's content learns, against a discriminator, the vectors that interactions gave to
known items, so that new items get vectors in the same space and are ranked by the same search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aigc_fast import normalize
from aigc_fast.recommender.arguments import as_count, as_dense, as_fraction
from aigc_fast.recommender.generation import VectorGenerator, as_generator

if TYPE_CHECKING:
    from typing import Self

Float32 = npt.NDArray[np.float32]


class ColdItemGenerator:
    """Generate vectors of items from their content.

    Parameters
    ----------
    gan
        An untrained `aigc_fast.gan.ContentGAN`. There are as many pairs as known items, far fewer than interactions:
        small batches and many epochs suit it.
    n_vectors
        Vectors drawn for each item; their mean is the item's vector.
    validation_fraction
        Share of the known items that stop the training early and are not trained on.
    seed
        Seeds their choice and the noise.

    Examples
    --------
    >>> from aigc_fast.gan import ContentGAN
    >>> rng = np.random.default_rng(0)
    >>> content = rng.standard_normal((200, 4))
    >>> vectors = content @ rng.standard_normal((4, 6))  # what interactions would give
    >>> model = ColdItemGenerator(ContentGAN(epochs=2)).fit(content[:150], vectors[:150])
    >>> model.vectors(content[150:]).shape
    (50, 6)
    """

    def __init__(
        self, gan: VectorGenerator, *, n_vectors: int = 32, validation_fraction: float = 0.1, seed: int = 0
    ) -> None:
        self.gan = as_generator(gan)
        self.n_vectors = as_count("n_vectors", n_vectors, minimum=1)
        self.validation_fraction = as_fraction("validation_fraction", validation_fraction)
        self.seed = as_count("seed", seed)

    def fit(self, content: npt.ArrayLike, item_vectors: npt.ArrayLike, *, progress: bool = False) -> Self:
        """Learn from items that have both.

        Parameters
        ----------
        content : (n_items, c)
            What is known of each item, for instance `content_vectors`.
        item_vectors : (n_items, d)
            Their vectors, for instance `collaborative_vectors`. Items with a zero row are left out.
        progress
            Show a training bar.

        Raises
        ------
        ValueError, TypeError
            An array of the wrong shape or type, or fewer than two items with a vector.
        """
        conditions = as_dense("content", content)
        vectors = as_dense("item_vectors", item_vectors, len(conditions))
        known = np.random.default_rng(self.seed).permutation(np.flatnonzero(vectors.any(axis=1)))
        n_held_out = max(1, round(self.validation_fraction * len(known)))
        held_out, trained = known[:n_held_out], known[n_held_out:]
        if not len(trained):
            raise ValueError(f"item_vectors has {len(known)} rows that are not zero; two at least are taken")
        self.gan.fit(
            vectors[trained],
            conditions[trained],
            validation=(vectors[held_out], conditions[held_out]),
            progress=progress,
        )
        return self

    def vectors(self, content: npt.ArrayLike) -> Float32:
        """Generate the vectors of items.

        Parameters
        ----------
        content : (m, c)
            In the space of `fit`.

        Returns
        -------
        (m, d) float32
            Unit rows: the direction of the mean of ``n_vectors`` generated ones. An item's vector does not depend on
            the items beside it.
        """
        conditions = as_dense("content", content)
        generated = self.gan.generate(conditions, self.n_vectors, seed=np.full(len(conditions), self.seed))
        unit: Float32 = normalize(np.asarray(generated).mean(axis=1, dtype=np.float64)).astype(np.float32)
        return unit
