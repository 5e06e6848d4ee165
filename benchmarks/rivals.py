"""Every library under one interface: build with rows and threads, then search with queries and k.

Peers get unit rows and queries, normalized before the clock starts, and their index built; so does ``index``. Only
``aigc_fast`` takes rows as they come and computes their norms within its time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

import aigc_fast

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Rows:
    """Rows as they came and, on demand, normalized; both are shared by all libraries that take them in place."""

    raw: Array

    @cached_property
    def unit(self) -> Array:
        return aigc_fast.normalize(self.raw)

    def first(self, count: int) -> Rows:
        """Return the first rows."""
        return Rows(self.raw[:count])


Search = Callable[[Rows, int], Array]  # (queries, k) -> ids, shape (queries, k)
Build = Callable[[Rows, int], Search]  # (items, threads) -> search


def index(items: Rows, threads: int) -> Search:
    """Ours with a CosineIndex."""
    built = aigc_fast.CosineIndex(items.raw, num_threads=threads)
    return lambda queries, k: built.topk(queries.raw, k).ids


def one_shot(items: Rows, threads: int) -> Search:
    """Ours without an index: norms are computed in the same pass."""
    return lambda queries, k: aigc_fast.cosine_topk(queries.raw, items.raw, k, num_threads=threads).ids


def numpy(items: Rows, threads: int) -> Search:
    """Matrix product, partial sort, sort of the rest; in chunks of queries that keep scores small."""
    chunk = max(1, (64 << 20) // (len(items.unit) * 4))

    def search(queries: Rows, k: int) -> Array:
        found = np.empty((len(queries.unit), k), np.int64)
        for start in range(0, len(queries.unit), chunk):
            scores = queries.unit[start : start + chunk] @ items.unit.T
            best = np.argpartition(scores, -k, axis=1)[:, -k:]
            order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
            found[start : start + chunk] = np.take_along_axis(best, order, 1)
        return found

    return search


def torch_f32(items: Rows, threads: int) -> Search:
    """Matrix product and topk, in chunks of queries."""
    return _torch(items, threads, "float32")


def torch_bf16(items: Rows, threads: int) -> Search:
    """Do the same in bfloat16, which is not exact."""
    return _torch(items, threads, "bfloat16")


def _torch(items: Rows, threads: int, dtype: str) -> Search:
    import torch

    torch.set_num_threads(threads)
    columns = torch.from_numpy(items.unit).to(getattr(torch, dtype)).T
    chunk = max(1, (256 << 20) // (len(items.unit) * 4))

    def search(queries: Rows, k: int) -> Array:
        parts = torch.from_numpy(queries.unit).to(columns.dtype).split(chunk)
        return torch.cat([torch.topk(part @ columns, k, dim=1).indices for part in parts]).numpy()

    return search


def faiss(items: Rows, threads: int) -> Search:
    """IndexFlatIP."""
    flat = flat_index(items, threads)
    return lambda queries, k: flat.search(queries.unit, k)[1]


def flat_index(items: Rows, threads: int) -> Any:
    """Build faiss's IndexFlatIP; matrix products from two queries on, and larger blocks than it has by default."""
    import faiss as library

    library.omp_set_num_threads(threads)
    # The defaults (20, 1024, 4096) took up to 6 times as long with 16 queries and 1.1 times with 256.
    library.cvar.distance_compute_blas_threshold = 2
    library.cvar.distance_compute_blas_database_bs = 16384
    library.cvar.distance_compute_blas_query_bs = 256
    flat = library.IndexFlatIP(items.unit.shape[1])
    flat.add(items.unit)
    return flat


def usearch(items: Rows, threads: int) -> Search:
    """Exact search."""
    from usearch.index import MetricKind, search

    def run(queries: Rows, k: int) -> Array:
        found = search(items.unit, queries.unit, k, MetricKind.IP, exact=True, threads=threads)
        return np.asarray(found.keys).reshape(-1, k).astype(np.int64)

    return run


def sklearn_cosine(items: Rows, threads: int) -> Search:
    """NearestNeighbors with the metric that its users would name; it normalizes in each call."""
    return _sklearn(items, threads, "cosine")


def sklearn(items: Rows, threads: int) -> Search:
    """Compare unit rows by squared Euclidean distance: scikit-learn's fused way, the fast one."""
    return _sklearn(items, threads, "sqeuclidean")


def _sklearn(items: Rows, threads: int, metric: str) -> Search:
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    neighbours = NearestNeighbors(algorithm="brute", metric=metric).fit(items.unit)

    def search(queries: Rows, k: int) -> Array:
        with threadpool_limits(threads):
            return neighbours.kneighbors(queries.unit, k, return_distance=False)

    return search


class Rival(NamedTuple):
    """A competitor; only an exact one counts as a peer."""

    build: Build
    kind: Literal["ours", "exact", "inexact"]
    never_fastest: bool = False  # in large batches, which may then be left out


RIVALS: dict[str, Rival] = {
    "index": Rival(index, "ours"),
    "aigc_fast": Rival(one_shot, "ours"),
    "NumPy": Rival(numpy, "exact"),
    "torch": Rival(torch_f32, "exact"),
    "faiss": Rival(faiss, "exact"),
    "scikit-learn": Rival(sklearn, "exact"),
    "scikit-learn cosine": Rival(sklearn_cosine, "exact", never_fastest=True),  # NumPy's work and more
    "usearch": Rival(usearch, "exact", never_fastest=True),  # one query at a time
    "torch bf16": Rival(torch_bf16, "inexact"),
}
OURS = [name for name, rival in RIVALS.items() if rival.kind == "ours"]
PEERS = [name for name, rival in RIVALS.items() if rival.kind == "exact"]
