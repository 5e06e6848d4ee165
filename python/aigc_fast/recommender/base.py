"""What every recommender does: check its arguments, fit, learn on, recommend, predict ratings, be saved."""

from __future__ import annotations

import inspect
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from aigc_fast import TopK
from aigc_fast.recommender import model_file
from aigc_fast.recommender.arguments import CSR, Allow, as_allow, as_count, as_csr, as_ids
from aigc_fast.recommender.histories import merge, widen
from aigc_fast.recommender.request import Request

if TYPE_CHECKING:
    from typing import Self  # Python 3.11; annotations are not evaluated


class NotFittedError(ValueError, AttributeError):
    """A recommender was asked before `fit`; the bases are those of scikit-learn's error of this name."""


class Recommender(ABC):
    """Base of all recommenders; the conventions are those of scikit-learn and implicit.

    A subclass implements `_fit` and `_recommend`, and `_predict`, `_similar_items` or `_similar_users` where they
    make sense; the arguments that reach them are checked. Each argument of the constructor is an attribute of its
    name. Lists are ordered by score descending, then id ascending; a missing slot has id -1 and score -inf, and
    ``counts`` says how many are real.

    Attributes
    ----------
    user_items_ : (n_users, n_items) CSR, float32
        What `fit` was given, with sorted indices.
    """

    user_items_: csr_matrix

    #: Attributes (arrays and CSR) that `save` writes beside ``user_items_``; None: `save` is not supported.
    _learned: ClassVar[tuple[str, ...] | None] = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._parameters().items())})"

    def fit(self, user_items: CSR) -> Self:
        """Learn from interactions.

        Parameters
        ----------
        user_items : (n_users, n_items) CSR
            Every entry is an interaction, its value is the weight (a rating, a count, 1). Duplicates add up. It is
            copied, so the model does not change with it.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            No SciPy sparse matrix of finite real numbers.
        """
        self._learn(as_csr("user_items", user_items, dtype=np.float32))
        return self

    def partial_fit(self, user_items: CSR) -> Self:
        """Take new interactions in; the result is that of `fit` on all of them.

        Parameters
        ----------
        user_items : (n_users, n_items) CSR
            The new interactions. One that is known already gets the new value. Rows and columns beyond those of
            `fit` are new users and items.

        Returns
        -------
        self

        Notes
        -----
        As expensive as `fit`, beside O(nnz log nnz) to join the interactions. Errors are those of `fit`, and
        ``ValueError`` where there are fewer users or items than known.
        """
        known = self._fitted()
        new = as_csr("user_items", user_items, dtype=np.float32)
        if new.shape[0] < known.shape[0] or new.shape[1] < known.shape[1]:
            raise ValueError(f"user_items has shape {new.shape}; at least {known.shape} as in fit is taken")
        self._learn(merge(widen(known, new.shape[1], new.shape[0]), new).history)
        return self

    def recommend(
        self,
        user_ids: npt.ArrayLike,
        n: int = 10,
        *,
        user_items: CSR | None = None,
        exclude_seen: bool = True,
        allow: Allow | None = None,
    ) -> TopK:
        """Best items for each user.

        Parameters
        ----------
        user_ids : int or (n_lists,) ints
            Rows of the training matrix. With ``user_items`` they only say whose history that is: a number
            outside the training rows, for instance -1, is a new user.
        n
            Length of the lists.
        user_items : (n_lists, n_items) CSR, optional
            Histories to use in place of the training rows of these users.
        exclude_seen
            Leave out the items in the user's history (the row of ``user_items`` if given).
        allow
            Items that may be returned: a CSR (its pattern) or (indptr, ids) with one row per list, or a
            boolean mask or a list of ids that holds for all. None: all items; an empty list: none.

        Returns
        -------
        TopK
            scores float32 and ids int64, both (n_lists, n), and counts int64 (n_lists,). A list is shorter
            than n where the model knows nothing about the remaining items.

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError, ValueError
            An argument of the wrong type, shape or range.
        """
        return self._recommend(self._request(user_ids, n, user_items, exclude_seen, allow))

    def predict(self, user_ids: npt.ArrayLike, item_ids: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Ratings that users would give to items.

        Parameters
        ----------
        user_ids, item_ids : (n_pairs,) ints, or one id for all
            Training users and items.

        Returns
        -------
        (n_pairs,) float64
            Within the range of the ratings in `fit`.

        Raises
        ------
        NotImplementedError
            This recommender ranks and does not predict ratings.
        """
        n_users, n_items = self._fitted().shape
        users, items = as_ids("user_ids", user_ids, n_users), as_ids("item_ids", item_ids, n_items)
        if len(users) != len(items) and 1 not in (len(users), len(items)):
            raise ValueError(f"user_ids and item_ids have {len(users)} and {len(items)} entries; pairs are taken")
        users, items = np.broadcast_arrays(users, items)
        return self._predict(users, items)

    def similar_items(self, item_ids: npt.ArrayLike, n: int = 10) -> TopK:
        """Items most similar to each of the given ones, those themselves left out.

        Parameters
        ----------
        item_ids : int or (n_lists,) ints
        n
            Length of the lists.

        Returns
        -------
        TopK
            As of `recommend`; the scores are similarities.

        Raises
        ------
        NotImplementedError
            This recommender knows no similarity of items.
        NotFittedError, TypeError, ValueError
            As of `recommend`.
        """
        ids = as_ids("item_ids", item_ids, self._fitted().shape[1])
        return self._similar_items(ids, as_count("n", n))

    def similar_users(self, user_ids: npt.ArrayLike, n: int = 10) -> TopK:
        """Users most similar to each of the given ones, those themselves left out.

        Parameters
        ----------
        user_ids : int or (n_lists,) ints
        n
            Length of the lists.

        Returns
        -------
        TopK
            As of `recommend`; the scores are similarities.

        Raises
        ------
        NotImplementedError
            This recommender knows no similarity of users.
        NotFittedError, TypeError, ValueError
            As of `recommend`.
        """
        ids = as_ids("user_ids", user_ids, self._fitted().shape[0])
        return self._similar_users(ids, as_count("n", n))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a safetensors file; a crash leaves the old file or the new one, whole.

        Raises
        ------
        NotFittedError
            Before `fit`.
        NotImplementedError
            This recommender has no file form.
        MissingExtraError
            safetensors is not installed.
        """
        if self._learned is None:
            raise NotImplementedError(f"{type(self).__name__} has no file form")
        self._fitted()
        model_file.save(path, type(self).__name__, *self._saved())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` of this class wrote.

        Raises
        ------
        ValueError
            The file is damaged, of another version, or of another class.
        NotImplementedError
            This recommender has no file form.
        MissingExtraError
            safetensors is not installed.
        """
        if cls._learned is None:
            raise NotImplementedError(f"{cls.__name__} has no file form")
        return cls._restored(*model_file.load(path, cls.__name__, ("user_items_", *cls._learned)))

    @abstractmethod
    def _fit(self, user_items: csr_matrix) -> None:
        """Learn from the checked matrix, which becomes ``user_items_``."""

    @abstractmethod
    def _recommend(self, request: Request) -> TopK:
        """Make a list for each history of the request."""

    def _learn(self, user_items: csr_matrix) -> None:
        self._fit(user_items)
        self._derive(user_items)
        self.user_items_ = user_items

    def _request(
        self, user_ids: npt.ArrayLike, n: int, user_items: CSR | None, exclude_seen: bool, allow: Allow | None
    ) -> Request:
        """Check the arguments of `recommend`."""
        n_users, n_items = self._fitted().shape
        ids = as_ids("user_ids", user_ids, n_users if user_items is None else None)
        if user_items is None:
            history = self.user_items_[ids]
        else:
            history = as_csr("user_items", user_items, (len(ids), n_items), np.float32)
        exclude = (history.indptr, history.indices) if exclude_seen else None
        return Request(ids, history, as_count("n", n), exclude, as_allow(allow, len(ids), n_items))

    def _saved(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what `save` writes: parameters of the constructor, which JSON can hold, and what was learned."""
        return self._parameters(), {name: getattr(self, name) for name in ("user_items_", *(self._learned or ()))}

    @classmethod
    def _restored(cls, parameters: dict[str, Any], learned: dict[str, Any]) -> Self:
        """Make the model that `_saved` described."""
        model = cls(**parameters)
        vars(model).update(learned)
        model._derive(model.user_items_)
        return model

    def _derive(self, user_items: csr_matrix) -> None:  # noqa: B027 (most keep nothing)
        """Make what is kept beside ``_learned`` and follows from it: after `_fit`, and after `load`."""

    def _predict(self, user_ids: npt.NDArray[np.int64], item_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        raise NotImplementedError(f"{type(self).__name__} ranks items and predicts no ratings")

    def _similar_items(self, item_ids: npt.NDArray[np.int64], n: int) -> TopK:
        raise NotImplementedError(f"{type(self).__name__} knows no similarity of items")

    def _similar_users(self, user_ids: npt.NDArray[np.int64], n: int) -> TopK:
        raise NotImplementedError(f"{type(self).__name__} knows no similarity of users")

    def _parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def _fitted(self) -> csr_matrix:
        fitted: Any = getattr(self, "user_items_", None)
        if fitted is None:
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit first")
        return fitted
