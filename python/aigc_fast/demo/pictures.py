"""Content that a person can look at: pictures of clothes, generated for made-up users with tastes.

The same classes as everywhere: items are unit vectors (of pixels), a user's profile comes from who likes what, the
generator is conditioned on it, and exact cosine finds the real items nearest to what it makes.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK, cosine_topk, normalize
from aigc_fast.data.images import FASHION_MNIST_KINDS, SIDE, Images, tasteful_users
from aigc_fast.demo.results import write_bytes, write_text
from aigc_fast.errors import require
from aigc_fast.gan import ContentGAN
from aigc_fast.recommender import collaborative_vectors, user_profiles
from aigc_fast.recommender.pairs import leave_one_out_pairs
from aigc_fast.recommender.vectors import nearest_others

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Float32 = npt.NDArray[np.float32]

PICTURES_NAME, FIGURES_NAME = "pictures.png", "pictures.json"
PROFILE_DIM = 12  # of the collaborative vectors: the users differ in ten kinds
LIKES, HELD_OUT = 20, 1000
SHOWN_USERS = 5
SETTINGS: dict[str, Any] = {
    "noise_dim": 32,
    "penalty": 0.002,  # the default suits vectors of some hundred columns: with it these pictures are blurred
    "hidden": (128,),
    "image_shape": (SIDE, SIDE),
    "batch_size": 64,
    "learning_rate": 2e-3,
}


@dataclass
class Pictures:
    """Items, users and a generator of pictures for them.

    Attributes
    ----------
    items : (n_items, 784) float32
        Unit rows of pixels.
    kinds : (n_items,)
        Their kinds.
    likes : (n_users, n_items) CSR
        Who likes what.
    tastes : (n_users, 2)
        The kinds that each user likes.
    profiles : (n_users, 12) float32
        Of the users, from collaborative vectors of the items: no pixel and no kind is in them.
    gan
        The trained generator.
    """

    items: Float32
    kinds: npt.NDArray[np.int64]
    likes: csr_matrix
    tastes: npt.NDArray[np.int64]
    profiles: Float32
    gan: ContentGAN

    def generate(self, users: npt.NDArray[np.int64], n_vectors: int) -> tuple[Float32, TopK]:
        """Return pictures (m, n_vectors, 784) for users (m,), and the real item nearest to each, (m * n_vectors, 1)."""
        generated = self.gan.generate(self.profiles[users], n_vectors)
        return generated, cosine_topk(generated.reshape(-1, generated.shape[2]), self.items, 1)

    def share_of_taste(self, n_vectors: int = 8) -> float:
        """Return the share of pictures whose nearest real item is of a kind that the user likes; chance is 1 in 5."""
        users = np.arange(len(self.tastes))
        _, nearest = self.generate(users, n_vectors)
        return self._share(nearest, np.repeat(users, n_vectors))

    def real_share_of_taste(self) -> float:
        """Return the same of real items that users like and the other item nearest to each: what could be reached."""
        users = np.repeat(np.arange(len(self.tastes)), np.diff(self.likes.indptr))
        return self._share(nearest_others(self.items, self.likes.indices.astype(np.int64), 1), users)

    def quality(self) -> dict[str, float]:
        """Return the measures of the epoch that was kept, on held-out pairs, and both shares of taste."""
        history = self.gan.history_
        kept = int(np.argmin(history["energy_score"]))
        measures = {name: curve[kept] for name, curve in history.items()}
        shares = {"share_of_taste": self.share_of_taste(), "real_share_of_taste": self.real_share_of_taste()}
        return measures | shares

    def _share(self, nearest: TopK, users: npt.NDArray[np.int64]) -> float:
        """Return the share of the items, one for each of the users, that are of a kind that the user likes."""
        return float((self.kinds[nearest.ids] == self.tastes[users]).any(axis=1).mean())


def make_pictures(
    images: Images,
    *,
    n_items: int = 6000,
    n_users: int = 1000,
    epochs: int = 30,
    seed: int = 0,
    progress: bool = False,
) -> Pictures:
    """Draw items, make up users, and train a generator on pairs of a liked item and its user's profile without it.

    Parameters
    ----------
    images
        The catalogue.
    n_items
        Images drawn from it.
    n_users
        Users, each with a taste for two kinds and `LIKES` items liked.
    epochs
        Of the training.
    seed
        Seeds all of it.
    progress
        Show a training bar.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(images.pixels))[:n_items]
    items, kinds = normalize(images.pixels[drawn]), images.kinds[drawn]
    likes, tastes = tasteful_users(kinds, n_users, likes=LIKES, seed=seed)
    vectors = collaborative_vectors(likes, PROFILE_DIM)
    entries = rng.permutation(likes.nnz)
    # Of each entry the profile, and beside it the pixels in the place of the vector that the profile is made of.
    known = entries[vectors[likes.indices[entries]].any(axis=1)]
    conditions = leave_one_out_pairs(likes, vectors, known).conditions
    pixels = items[likes.indices[known]]
    held_out = min(HELD_OUT, len(known) // 5)
    gan = ContentGAN(epochs=epochs, patience=epochs, seed=seed, **SETTINGS)
    gan.fit(
        pixels[held_out:],
        conditions[held_out:],
        validation=(pixels[:held_out], conditions[:held_out]),
        progress=progress,
    )
    return Pictures(items, kinds, likes, tastes, user_profiles(likes, vectors), gan)


def draw_pictures(pictures: Pictures, users: npt.NDArray[np.int64], *, n_vectors: int = 5) -> Figure:
    """Draw for each user two liked items, then generated pictures, each above the real item nearest to it."""
    figures = require("matplotlib.figure", "demo")
    generated, nearest = pictures.generate(users, n_vectors)
    found = nearest.ids.reshape(len(users), n_vectors)
    figure = figures.Figure(figsize=(1.05 * (n_vectors + 2), 2.3 * len(users)), layout="constrained")
    axes = figure.subplots(2 * len(users), n_vectors + 1, squeeze=False)
    for place, user in enumerate(users):
        upper, lower = axes[2 * place], axes[2 * place + 1]
        liked = pictures.likes[user].indices
        shown = [liked[pictures.kinds[liked] == kind][:1] for kind in pictures.tastes[user]]
        for axis, item in zip((upper[0], lower[0]), shown, strict=True):
            _show(axis, pictures.items[item[0]] if len(item) else np.zeros(SIDE**2))
        upper[0].set_title("likes\n" + " & ".join(FASHION_MNIST_KINDS[kind] for kind in pictures.tastes[user]), size=7)
        for column in range(n_vectors):
            _show(upper[column + 1], generated[place, column])
            _show(lower[column + 1], pictures.items[found[place, column]])
            lower[column + 1].set_title(f"{nearest.scores.reshape(found.shape)[place, column]:.2f}", size=7)
        upper[1].set_title("generated", size=7)
    return figure  # type: ignore[no-any-return]


def write_pictures(folder: Path, pictures: Pictures) -> dict[str, float]:
    """Write the drawing and the measures; return the measures."""
    users = np.unique(pictures.tastes, axis=0, return_index=True)[1]  # one of each pair of tastes
    users = users[np.linspace(0, len(users) - 1, min(SHOWN_USERS, len(users))).astype(np.int64)]
    drawing = io.BytesIO()
    draw_pictures(pictures, users).savefig(drawing, format="png", dpi=110)
    write_bytes(folder / PICTURES_NAME, drawing.getvalue())
    quality = pictures.quality()
    write_text(folder / FIGURES_NAME, json.dumps(quality, indent=1) + "\n")
    return quality


def _show(axis: Any, pixels: npt.NDArray[Any]) -> None:
    axis.imshow(pixels.reshape(SIDE, SIDE), cmap="gray_r")
    axis.set_axis_off()
