"""The graph of nearest neighbours by cosine as a scikit-learn transformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aigc_fast.arrays import as_count
from aigc_fast.errors import require
from aigc_fast.index import CosineIndex

if TYPE_CHECKING:
    from typing import Self  # Python 3.11; annotations are not evaluated

_base = require("sklearn.base", "sklearn")
_validation = require("sklearn.utils.validation", "sklearn")
_BASES = (
    _base.ClassNamePrefixFeaturesOutMixin,
    _base.TransformerMixin,
    _base.BaseEstimator,
)  # as KNeighborsTransformer


class CosineNeighborsTransformer(*_BASES):  # type: ignore[misc]
    """Transform rows into a sparse graph of their nearest neighbours by cosine.

    Gives what ``KNeighborsTransformer(metric="cosine")`` gives, by exact search: for DBSCAN, SpectralClustering, TSNE
    and others with ``metric="precomputed"``, or for pipelines.

    Parameters
    ----------
    n_neighbors
        Neighbours a row. With ``mode="distance"`` one more, as in scikit-learn: each fitted row is its own nearest.
    mode
        "distance": cosine distances 1 − cosine; "connectivity": ones.
    num_threads
        None: all.

    Attributes
    ----------
    n_samples_fit_ : int

    Examples
    --------
    >>> graph = CosineNeighborsTransformer(n_neighbors=1).fit_transform([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0]])
    >>> graph.indices.tolist()  # itself, then the nearest other
    [0, 1, 1, 0, 2, 1]
    """

    n_samples_fit_: int

    def __init__(self, n_neighbors: int = 5, *, mode: str = "distance", num_threads: int | None = None) -> None:
        self.n_neighbors = n_neighbors
        self.mode = mode
        self.num_threads = num_threads

    def fit(self, X: Any, y: Any = None) -> Self:
        """Keep rows (n, d) to search in."""
        if self.mode not in ("distance", "connectivity"):
            raise ValueError(f"mode is {self.mode!r}; 'distance' or 'connectivity' is taken")
        as_count(self.n_neighbors, "n_neighbors", 1)
        rows = _validation.validate_data(self, X, dtype=[np.float32, np.float64])
        self._index = CosineIndex(rows, num_threads=self.num_threads)
        self.n_samples_fit_ = self._n_features_out = len(rows)
        return self

    def transform(self, X: Any) -> Any:
        """Return the graph (m, n_samples_fit_) of the rows (m, d) as CSR, the nearest of each row first."""
        sparse = require("scipy.sparse", "sklearn")
        _validation.check_is_fitted(self)
        rows = _validation.validate_data(self, X, dtype=[np.float32, np.float64], reset=False)
        wanted = self.n_neighbors + (self.mode == "distance")
        if wanted > self.n_samples_fit_:
            raise ValueError(f"n_neighbors takes {wanted} rows; {self.n_samples_fit_} were fitted")
        top = self._index.topk(rows, wanted, num_threads=self.num_threads)
        values = np.maximum(1 - top.scores, 0) if self.mode == "distance" else np.ones_like(top.scores)
        indptr = np.arange(len(rows) + 1) * wanted
        return sparse.csr_matrix((values.ravel(), top.ids.ravel(), indptr), shape=(len(rows), self.n_samples_fit_))
