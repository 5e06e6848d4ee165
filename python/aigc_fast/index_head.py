"""Heads: directions that hold most of the rows' energy, found when an index is built.

Real embeddings and images lie near a subspace of few dimensions. A scan of the rows' coordinates in it (the head), with
the lengths of what they leave bounding the rest by Cauchy-Schwarz, rules most items out exactly (docs/architecture.md).
The directions are the first eigenvectors of the rows' second moments, estimated from a sample; whether they pay is
measured on the sample too: with data that has no such subspace, an index gets no head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aigc_fast import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]

_FEWEST_ROWS = 1 << 14  # smaller sets are scanned in no time
_MOST_BYTES = 0.3 * 4  # of an element of a row, for codes and heads: 30 % of float32
_FACTS = 4  # bytes of a row beside its codes and its head, at most
_SAMPLE = 4096
_GLANCE = 256  # rows that tell whether a closer look is worth its time
_QUERIES = 32
_NEIGHBOUR = 32  # cutoffs of a search for the 10 best, in the mean over a scan
_DRIFT_ROWS = 2048  # looked at, of those added and of the others
_HEADS = (32, 64, 96, 128, 192)  # columns to choose from: multiples of _core.BASIS_COLUMNS

# Times of one pair, relative to a whole row's codes: what a head lets through costs as much as so many rows, for one
# query and in a large batch. A head must save a third of either.
_REFINED_ALONE = 2.0
_REFINED_IN_BATCH = 25.0
_WORTH_A_HEAD = 2 / 3


def with_head(
    rows: npt.NDArray[Any],
    codes: _core.ItemCodes,
    metric: str,
    num_threads: int,
    *,
    seed: int = 0,
) -> _core.ItemCodes:
    """Return the codes with a head where a sample says that it pays, else the codes as they are.

    Complexity: O(s d) where a glance at the sample's s rows says no, O(s d m) for m directions where it does not,
    and O(n d m) for the heads of all n rows.
    """
    count, dim = rows.shape
    if count < _FEWEST_ROWS:
        return codes
    room = _MOST_BYTES * dim - _FACTS - -(-dim // _core.ROW_ALIGNMENT) * _core.ROW_ALIGNMENT
    columns = [each for each in _HEADS if each * (1 + 4 * dim / count) <= room]  # with the basis, float32
    if not columns:
        return codes
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(count, _SAMPLE, replace=False))
    if effective_dimensions(_core.unit_rows(rows[chosen[:: _SAMPLE // _GLANCE]], metric)) > dim / 2:
        return codes
    sample = rows[chosen]
    tried = sample[::2]  # enough to count what passes
    units = _core.unit_rows(sample, metric)
    directions = principal_directions(units, max(columns) - 1, rng)
    queries = sample[rng.choice(_SAMPLE, _QUERIES, replace=False)]
    cutoffs = _neighbour_scores(queries, rows, codes, metric, num_threads)
    best, best_cost, survivors = None, 1.0, 1.0
    for each in columns:
        basis = basis_of(directions[:, : each - 1])
        head = _core.ItemCodes.encode(tried, None, metric, num_threads, basis=basis)
        share = head.surviving_share(queries, tried, cutoffs)
        alone, in_batch = (each / dim + share * refined for refined in (_REFINED_ALONE, _REFINED_IN_BATCH))
        if min(alone, in_batch) < _WORTH_A_HEAD and alone * in_batch < best_cost:
            best, best_cost, survivors = basis, alone * in_batch, share
    return codes if best is None else encode_heads(rows, codes, metric, num_threads, best, survivors)


def encode_heads(
    rows: npt.NDArray[Any],
    codes: _core.ItemCodes,
    metric: str,
    num_threads: int,
    basis: npt.NDArray[np.float32],
    survivors: float,
) -> _core.ItemCodes:
    """Return the codes of rows with heads along a basis, shape (d, columns)."""
    head = _core.ItemCodes.encode(rows, None, metric, num_threads, basis=basis)
    return codes.with_head(head, survivors, num_threads)


def effective_dimensions(units: npt.NDArray[np.float32]) -> float:
    """Return tr(C)^2 / tr(C^2) of the rows' second moments C: d for independent coordinates, 1 for a single direction.

    C is not formed: tr(C^2) is the mean of (x . y)^2 over pairs of different rows.
    """
    products = (units @ units.T).astype(np.float64)
    squares = np.diagonal(products)
    pairs = len(units) * (len(units) - 1)
    square_of_moments = (np.square(products).sum() - np.square(squares).sum()) / pairs
    return float(squares.mean() ** 2 / square_of_moments) if square_of_moments > 0 else float("inf")


def principal_directions(units: npt.NDArray[np.float32], count: int, rng: np.random.Generator) -> Floats:
    """Return the first eigenvectors of X'X in columns, shape (d, count), zeros beyond the rank; by subspace iteration.

    Halko, Martinsson and Tropp, "Finding structure with randomness" (SIAM Review 53, 2011), algorithm 4.4; a head needs
    no more than directions that hold almost all of the energy that so many directions can.
    """
    dim = units.shape[1]
    moments = units.T @ units
    subspace: Floats = rng.standard_normal((dim, min(count + 8, dim)), dtype=np.float32)
    for _ in range(3):
        subspace = _orthonormal(moments @ subspace)
    _, turn = np.linalg.eigh(subspace.T.astype(np.float64) @ (moments @ subspace))
    directions = subspace @ turn[:, : -count - 1 : -1]
    return np.pad(directions, ((0, 0), (0, count - directions.shape[1])))


def _orthonormal(columns: Floats) -> Floats:
    """Return an orthonormal basis of what the columns span, by the eigenvectors of their small Gram matrix.

    LAPACK's QR would do it too, in hundreds of small steps which BLAS's threads share, and wait for each other where
    the machine has other work: that took 100 times as long.
    """
    wide = columns.astype(np.float64)
    squares, turn = np.linalg.eigh(wide.T @ wide)
    spanned = squares > 1e-10 * squares[-1]
    basis: Floats = (wide @ (turn[:, spanned] / np.sqrt(squares[spanned]))).astype(np.float32)
    return basis


def basis_of(directions: Floats) -> npt.NDArray[np.float32]:
    """Return directions as a head takes them: scaled to a norm of at most 1, and a column of zeros for the length."""
    directions = directions.astype(np.float64)
    largest = np.sqrt(np.abs(directions.T @ directions).sum(axis=1).max())  # at least the spectral norm
    directions = directions / (largest * (1 + 1e-6))  # with the rounding to float32
    return np.pad(directions, ((0, 0), (0, 1))).astype(np.float32)


def left_out(units: npt.NDArray[np.float32], basis: npt.NDArray[np.float32]) -> float:
    """Return the share of the rows' energy that heads along the basis leave out."""
    total = float(np.square(units, dtype=np.float64).sum())
    return 1.0 - float(np.square(units @ basis, dtype=np.float64).sum()) / total if total > 0 else 0.0


def drift(
    head: _core.ItemCodes, first: Sequence[npt.NDArray[Any]], later: Sequence[npt.NDArray[Any]], metric: str
) -> float:
    """Return how much more energy the head's directions leave out of later rows than of the first; of samples."""
    basis = head.arrays()["basis"]
    shares = []
    for parts in (later, first):
        step = 1 + sum(map(len, parts)) // _DRIFT_ROWS
        sample = np.concatenate([rows[::step] for rows in parts])
        shares.append(left_out(_core.unit_rows(sample, metric), basis))
    return shares[0] / max(shares[1], 1e-12)


def arrays_of(codes: _core.ItemCodes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of codes, and of their heads with a prefix."""
    arrays = dict(codes.arrays())
    if codes.head is not None:
        heads = {name: array for name, array in codes.head.arrays().items() if name != "kinds"}
        arrays.update({f"head_{name}": array for name, array in heads.items()})
    return arrays


def codes_from(arrays: dict[str, npt.NDArray[Any]], facts: dict[str, str], shape: tuple[int, int]) -> _core.ItemCodes:
    """Return the codes that arrays_of took apart."""

    def part(prefix: str, codes: str) -> _core.ItemCodes:
        return _core.ItemCodes(
            *shape,
            facts["metric"],
            arrays.get(f"{prefix}mean"),
            facts[f"{prefix}rotated"] == "1",
            arrays[codes],
            arrays[f"{prefix}scale"],
            arrays[f"{prefix}residual"],
            arrays[f"{prefix}reach"],
            arrays["kinds"],
            arrays.get(f"{prefix}basis"),
            codes == "row_codes",
        )

    if "row_codes" not in arrays:
        return part("", "codes")
    return part("", "row_codes").with_head(part("head_", "head_codes"), float(facts["survivors"]))


def _neighbour_scores(
    queries: npt.NDArray[Any], rows: npt.NDArray[Any], codes: _core.ItemCodes, metric: str, num_threads: int
) -> npt.NDArray[np.float64]:
    """Return the score of each query's neighbour of rank _NEIGHBOUR, itself not counted."""
    k, count = _NEIGHBOUR + 1, queries.shape[0]
    scores = np.empty((count, k), np.float64 if rows.dtype == np.float64 else np.float32)
    items = _core.ItemSet(rows, None, codes, None, 0, 0)
    ids, counts = np.empty((count, k), np.int64), np.empty(count, np.int64)
    _core.topk(queries, items, k, None, metric, None, None, None, None, num_threads, scores, ids, counts)
    return scores[:, -1].astype(np.float64)
