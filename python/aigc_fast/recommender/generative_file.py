"""What the file of a `GenerativeRecommender` holds beside that of any recommender: the generator's arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from aigc_fast.recommender.generative import GenerativeRecommender

    Model = TypeVar("Model", bound=GenerativeRecommender)


def saved(model: GenerativeRecommender) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return parameters and arrays; see `Recommender._saved`.

    Raises
    ------
    NotImplementedError
        The generator is no ContentGAN.
    """
    to_arrays = getattr(model.gan_, "to_arrays", None)
    if to_arrays is None:
        raise NotImplementedError(f"{type(model.gan_).__name__} has no file form; a ContentGAN has one")
    about, arrays = to_arrays()
    return model._parameters() | {"gan": about}, {
        "user_items_": model.user_items_,
        "item_vectors_": model.item_vectors_,
        "gan_": arrays,
        "_times": csr_matrix((0, 0)) if model._times is None else model._times,
        "_n_new_items": np.array(model._n_new_items),
    }


def restored(kind: type[Model], parameters: dict[str, Any], learned: dict[str, Any]) -> Model:
    """Return the model that `saved` described."""
    from aigc_fast.gan import ContentGAN  # needs PyTorch

    gan = ContentGAN.from_arrays(parameters["gan"], learned["gan_"])
    model = kind(**parameters | {"gan": gan})
    model.gan_, model.item_vectors_ = gan, learned["item_vectors_"]
    model._times = learned["_times"] if learned["_times"].shape[0] else None
    model._n_new_items = int(learned["_n_new_items"])
    model._set_history(learned["user_items_"])
    return model
