"""Item vectors that cosine search works on: from content, from interactions, and both together."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import svds

from aigc_fast import TopK, cosine_topk, normalize
from aigc_fast.data.ratings import UNKNOWN, Items
from aigc_fast.recommender.arguments import CSR, as_amount, as_count, as_csr

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

#: Decades of release that have a column each; what lies outside shares the first or the last.
FIRST_DECADE, LAST_DECADE = 1900, 2030
_N_DECADES = (LAST_DECADE - FIRST_DECADE) // 10 + 1
_WORD = re.compile(r"\w+")


def content_vectors(
    items: Items,
    *,
    reference: Items | None = None,
    title_buckets: int = 256,
    genre_weight: float = 1.0,
    decade_weight: float = 0.5,
    title_weight: float = 0.5,
) -> Float32:
    """Vectors of what is known of the items: genres, decade of release and the words of the title.

    Three parts side by side, each with unit rows (zero where nothing is known) times its weight, and the
    whole normalised again:

    - genres: one column each, times its IDF;
    - decade: one column for each of 1900 … 2030;
    - title: words hashed into ``title_buckets`` columns with a sign (feature hashing: Weinberger et al.,
      ICML 2009), times the IDF of their column. The hash is CRC-32, the same in every process.

    IDF is ln((1 + n) / (1 + df)) + 1 over the n items of ``reference``, as in scikit-learn.

    Parameters
    ----------
    items
        The items to describe.
    reference
        The items that fix the genre columns and the IDF; default ``items``. To describe new items in the
        space of a catalogue, pass the catalogue here.
    title_buckets
        Number of columns that title words are hashed into.
    genre_weight, decade_weight, title_weight
        Length of each part; the share of the parts in a cosine goes with the squares.

    Returns
    -------
    (n_items, n_genres + 14 + title_buckets) float32
        Unit rows, zero where nothing is known of an item.

    Raises
    ------
    ValueError, TypeError
        A weight that is negative or not finite, or fewer than one bucket.
    """
    buckets = as_count("title_buckets", title_buckets, minimum=1)
    titles = _title_columns(items.titles, buckets)
    known_titles = titles if reference is None else _title_columns(reference.titles, buckets)
    known = items if reference is None else reference
    genres = _genre_columns(items, known.genre_names) * _idf(known.genres)
    return _side_by_side(
        [
            (genre_weight, genres),
            (decade_weight, _decade_columns(items.years)),
            (title_weight, titles * _idf(known_titles != 0)),
        ]
    )


def collaborative_vectors(user_items: CSR, dim: int = 64) -> Float32:
    """Vectors of items from the users who have them: a truncated SVD of the normalised interactions.

    The columns of ``user_items`` are scaled to unit length and the result factored as U S Vᵀ, so V S² Vᵀ is
    the best approximation of rank ``dim`` to the cosines between the items. Item i gets row i of V S^½,
    normalised: S^½ instead of S keeps the few largest directions, mostly popularity, from ruling the cosine
    (compare Levy, Goldberg, Dagan, TACL 3, 2015, section 3.3, on the exponent of S).

    Parameters
    ----------
    user_items : (n_users, n_items) CSR
    dim
        Number of singular vectors, below both sizes of the matrix.

    Returns
    -------
    (n_items, dim) float32
        Unit rows, zero for items without interactions; columns beyond the rank are zero. The same at every call.

    Raises
    ------
    ValueError, TypeError
        ``dim`` below 1 or not below both sizes, or no matrix of finite numbers.

    Notes
    -----
    O(nnz · dim) time for each of the few dozen steps of ARPACK; the dense part is (n_users + n_items) · dim.
    """
    matrix = as_csr("user_items", user_items).astype(np.float64)
    size = as_count("dim", dim, minimum=1)
    if size >= min(matrix.shape):
        raise ValueError(f"dim is {size}; less than {min(matrix.shape)} is taken for user_items {matrix.shape}")
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel())
    used = length > 0
    if not used.any():
        return np.zeros((matrix.shape[1], size), np.float32)
    scale = np.divide(1, length, out=np.zeros_like(length), where=used)
    _, singular, right = truncated_svd(matrix @ diags(scale), size)
    vectors = np.zeros((matrix.shape[1], size))
    vectors[:, : len(singular)] = np.where(used[:, None], right * np.sqrt(singular), 0)  # without rounding noise
    return _unit_rows(vectors)


def item_vectors(
    user_items: CSR,
    items: Items,
    *,
    dim: int = 64,
    content_weight: float = 0.25,
    collaborative_weight: float = 1.0,
) -> Float32:
    """Content and collaborative vectors side by side, each part with unit rows times its weight, normalised.

    An item without interactions has its content part alone, of length 1 after normalisation: so new items are
    found by content and the others by both. In one list with the others they come late, because a profile of
    both parts has little of its length in the content part; give them a list of their own with ``allow``, or
    a larger ``content_weight``.

    Parameters
    ----------
    user_items : (n_users, n_items) CSR
    items
        As many as ``user_items`` has columns.
    dim
        Of `collaborative_vectors`.
    content_weight, collaborative_weight
        Length of each part; the share of the parts in a cosine goes with the squares.

    Returns
    -------
    (n_items, n_genres + 270 + dim) float32
        Unit rows, zero for an item of which nothing at all is known.

    Raises
    ------
    ValueError, TypeError
        Another number of items, or what `collaborative_vectors` and `content_vectors` refuse.
    """
    matrix = as_csr("user_items", user_items, (None, len(items)))
    return _side_by_side(
        [
            (content_weight, content_vectors(items)),
            (collaborative_weight, collaborative_vectors(matrix, dim)),
        ]
    )


def nearest_others(rows: Float32, ids: npt.NDArray[np.int64], n: int) -> TopK:
    """Return the ``n`` rows nearest to each of those with these ids, themselves left out."""
    return cosine_topk(rows[ids], rows, n, exclude=(np.arange(len(ids) + 1), ids))


def _side_by_side(parts: Iterable[tuple[float, npt.NDArray[Any]]]) -> Float32:
    """Concatenate parts with unit rows times their weights; unit rows again."""
    columns = []
    for weight, part in parts:
        columns.append(as_amount("a weight", weight) * normalize(np.ascontiguousarray(part, np.float64)))
    return _unit_rows(np.concatenate(columns, axis=1))


def _unit_rows(vectors: Float64) -> Float32:
    unit: Float32 = normalize(vectors).astype(np.float32)
    return unit


def _idf(present: npt.NDArray[np.bool_]) -> Float64:
    idf: Float64 = np.log((1 + len(present)) / (1 + present.sum(axis=0))) + 1
    return idf


def _genre_columns(items: Items, names: tuple[str, ...]) -> Float64:
    columns = np.zeros((len(items), len(names)))
    for position, name in enumerate(names):
        if name in items.genre_names:
            columns[:, position] = items.genres[:, items.genre_names.index(name)]
    return columns


def _decade_columns(years: npt.NDArray[np.int64]) -> Float64:
    columns = np.zeros((len(years), _N_DECADES))
    known = np.flatnonzero(years != UNKNOWN)
    decade = np.clip((years[known] - FIRST_DECADE) // 10, 0, _N_DECADES - 1)
    columns[known, decade] = 1
    return columns


def _title_columns(titles: npt.NDArray[np.str_], buckets: int) -> Float64:
    """Signed counts of hashed words."""
    columns = np.zeros((len(titles), buckets))
    for row, title in enumerate(titles.tolist()):
        for word in _WORD.findall(title.lower()):
            code = zlib.crc32(word.encode())
            columns[row, (code >> 1) % buckets] += 1 - 2 * (code & 1)
    return columns


def truncated_svd(matrix: csr_matrix, dim: int) -> tuple[Float64, Float64, Float64]:
    """Truncate the SVD to ``dim`` or the rank, singular values descending: the same at every call.

    ARPACK starts from a random vector unless given one; the sign of a pair of singular vectors is free, here
    the entry of the right one that is largest in size is made positive. It works on the matrix times its transpose,
    which knows singular values below √ε of the largest from nothing but rounding: their vectors are arbitrary ones of
    the null space, and left out.
    """
    start = np.random.default_rng(0).standard_normal(min(matrix.shape))
    left, singular, right = svds(matrix, k=dim, v0=start)
    order = np.argsort(-singular, kind="stable")
    order = order[singular[order] > np.sqrt(np.finfo(np.float64).eps) * singular.max()]
    left, singular, right = left[:, order], singular[order], right[order].T
    sign = np.sign(right[np.argmax(abs(right), axis=0), np.arange(len(order))])
    sign[sign == 0] = 1
    return left * sign, singular, right * sign
