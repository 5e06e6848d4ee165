"""Rating files: MovieLens in its four forms, and the MovieLens-100K data set; the images of Fashion-MNIST."""

from aigc_fast.errors import require

require("scipy.sparse", "recommender")

from aigc_fast.data.download import (  # noqa: E402  (the missing extra has to be named first)
    ML100K_LICENCE,
    DatasetUnavailableError,
    data_folder,
    find_ml100k,
    load_ml100k,
)
from aigc_fast.data.images import Images, load_fashion_mnist, tasteful_users  # noqa: E402
from aigc_fast.data.movielens import load_movielens  # noqa: E402
from aigc_fast.data.ratings import UNKNOWN, Items, Ratings, Users  # noqa: E402

__all__ = [
    "ML100K_LICENCE",
    "UNKNOWN",
    "DatasetUnavailableError",
    "Images",
    "Items",
    "Ratings",
    "Users",
    "data_folder",
    "find_ml100k",
    "load_fashion_mnist",
    "load_ml100k",
    "load_movielens",
    "tasteful_users",
]
