"""Linear models of the interactions: strong yardsticks with one or two parameters."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack
from scipy.sparse import csr_matrix

from aigc_fast import TopK, cosine_topk
from aigc_fast.recommender.arguments import as_count, as_real
from aigc_fast.recommender.base import Recommender
from aigc_fast.recommender.request import Request
from aigc_fast.recommender.selection import top_in_batches
from aigc_fast.recommender.vectors import truncated_svd


class EASE(Recommender):
    """Predict each item from all others by ridge regression: score(u, i) = Σ_j r_uj·B_ji with B_ii = 0.

    With P = (XᵀX + λI)⁻¹, B_ji = −P_ji / P_ii: Steck, "Embarrassingly shallow autoencoders for sparse data",
    WWW 2019.

    Parameters
    ----------
    regularization
        λ, above 0. The more interactions, the larger.

    Attributes
    ----------
    weights_ : (n_items, n_items) float32
        B.

    Notes
    -----
    `fit` inverts an (n_items, n_items) matrix in float64: O(n_items³) time and some 20·n_items² bytes, for catalogues
    of up to some ten thousand items. Items that nobody has are not returned; a user without history gets an empty list.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> history = csr_matrix([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]])
    >>> EASE(regularization=1.0).fit(history).recommend(0, n=1).ids.tolist()
    [[2]]
    """

    _learned: ClassVar[tuple[str, ...]] = ("weights_",)

    weights_: npt.NDArray[np.float32]

    def __init__(self, regularization: float = 400.0) -> None:
        self.regularization = as_real(
            "regularization", regularization, "a finite number above 0", lambda ridge: ridge > 0
        )

    def _fit(self, user_items: csr_matrix) -> None:
        matrix = user_items.astype(np.float64)
        gram = (matrix.T @ matrix).toarray(order="F")  # BLAS is quicker only above 5 % of entries
        gram[np.diag_indices_from(gram)] += self.regularization
        inverse = _positive_definite_inverse(gram)
        inverse /= -np.diag(inverse)
        np.fill_diagonal(inverse, 0)
        self.weights_ = np.ascontiguousarray(inverse, np.float32)

    def _derive(self, user_items: csr_matrix) -> None:
        self._nobody_has = np.bincount(user_items.indices, minlength=user_items.shape[1]) == 0

    def _recommend(self, request: Request) -> TopK:
        def score(rows: slice) -> npt.NDArray[np.float32]:
            scores = np.asarray(request.history[rows] @ self.weights_)
            scores[~scores.any(axis=1)] = np.nan  # a history that says nothing
            scores[:, self._nobody_has] = np.nan
            return scores

        return top_in_batches(score, request)


class PureSVD(Recommender):
    """Project histories on the leading singular vectors: score(u, i) = r_u Q Q_iᵀ, with R ≈ U Σ Qᵀ.

    Cremonesi, Koren and Turrin, "Performance of recommender algorithms on top-n recommendation tasks", RecSys 2010.

    Parameters
    ----------
    factors
        Number of singular vectors; used are at most the rank of the matrix, and one less than users and items (one of
        zeros where that is none).

    Attributes
    ----------
    item_factors_ : (n_items, used factors) float32
        Q; zero for items that nobody has.
    singular_values_ : (used factors,) float64
        The diagonal of Σ, descending.

    Notes
    -----
    SciPy's ARPACK finds Q; `recommend` is an exact search by inner product (`cosine_topk`), so it never holds the
    scores of all users. Items that nobody has are not returned; a user without history gets an empty list.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> history = csr_matrix([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]])
    >>> PureSVD(factors=2).fit(history).recommend(0, n=1).ids.tolist()
    [[2]]
    """

    _learned: ClassVar[tuple[str, ...]] = ("item_factors_", "singular_values_")

    item_factors_: npt.NDArray[np.float32]
    singular_values_: npt.NDArray[np.float64]

    def __init__(self, factors: int = 20) -> None:
        self.factors = as_count("factors", factors, minimum=1)

    def _fit(self, user_items: csr_matrix) -> None:
        matrix = user_items.astype(np.float64)
        size = min(self.factors, min(matrix.shape) - 1)
        if size < 1 or not matrix.count_nonzero():
            self.singular_values_, factors = np.zeros(1), np.zeros((matrix.shape[1], 1))
        else:
            _, self.singular_values_, factors = truncated_svd(matrix, size)
        has_users = np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0
        # Rounding leaves a little in the rows of items that nobody has.
        self.item_factors_ = np.ascontiguousarray(np.where(has_users[:, None], factors, 0), np.float32)

    def _derive(self, user_items: csr_matrix) -> None:
        self._items = _nan_for_zeros(self.item_factors_)

    def _recommend(self, request: Request) -> TopK:
        users = _nan_for_zeros(request.history @ self.item_factors_)
        return cosine_topk(
            users, self._items, request.n, metric="inner_product", exclude=request.exclude, allow=request.allow
        )

    def _similar_items(self, item_ids: npt.NDArray[np.int64], n: int) -> TopK:
        # The cosines of rows of QΣ are those of the columns of UΣQᵀ.
        items = (self.item_factors_ * self.singular_values_).astype(np.float32)
        return cosine_topk(items[item_ids], items, n, exclude=(np.arange(len(item_ids) + 1), item_ids))


def _nan_for_zeros(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Make rows of zeros NaN, which the kernels never return and never find anything for."""
    return np.where(rows.any(axis=1, keepdims=True), rows, np.float32(np.nan))


def _positive_definite_inverse(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Inverse by Cholesky's factors, half the work of a general one, in place of the matrix (column-major)."""
    if not matrix.size:  # which LAPACK refuses
        return matrix
    factor, failed = lapack.dpotrf(matrix, lower=False, overwrite_a=True)
    if not failed:
        inverse, failed = lapack.dpotri(factor, lower=False, overwrite_c=True)
    if failed:
        raise np.linalg.LinAlgError("regularization is too small for these interactions: their matrix is singular")
    inverse += np.triu(inverse, 1).T  # the other half is zero so far
    return np.asarray(inverse, np.float64)
