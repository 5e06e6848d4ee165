"""Time each adapter beside the library's own answer, in one run, on the same data; the ids are compared, too.

    python -m benchmarks.adapters                  # what is not installed is named and left out

RecTools and implicit bring a package of the same name, so they take an environment each.
"""

from __future__ import annotations

import argparse
import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, random_array

from benchmarks import machine
from benchmarks.timing import interleaved, medians

Call = Callable[[], Any]
K = 10


def rectools(users: Any, items: Any, seen: csr_matrix) -> tuple[Call, Call]:
    from rectools.models.rank import Distance, ImplicitRanker

    from aigc_fast.adapters.rectools import AigcRanker

    ids = np.arange(len(users))
    theirs, ours = ImplicitRanker(Distance.DOT, users, items), AigcRanker(Distance.DOT, users, items)
    return lambda: theirs.rank(ids, K, seen)[1], lambda: ours.rank(ids, K, seen)[1]


def implicit(users: Any, items: Any, seen: csr_matrix) -> tuple[Call, Call]:
    from implicit.cpu.als import AlternatingLeastSquares

    from aigc_fast.adapters.implicit import AigcFactors

    model = AlternatingLeastSquares(factors=users.shape[1])
    model.user_factors, model.item_factors = users, items
    ids, ours = np.arange(len(users)), AigcFactors(model)
    return lambda: model.recommend(ids, seen, N=K)[0], lambda: ours.recommend(ids, seen, N=K)[0]


def cornac(users: Any, items: Any, seen: csr_matrix) -> tuple[Call, Call]:
    from cornac.data import Dataset
    from cornac.models import MF

    from aigc_fast.adapters.cornac import AigcANN

    # One interaction for each user and item: the sizes are what Cornac takes from them.
    pairs = [(str(i % len(users)), str(i), 1.0) for i in range(max(len(users), len(items)))]
    data = Dataset.from_uir([(user, str(int(item) % len(items)), value) for user, item, value in pairs], seed=0)
    model = MF(k=users.shape[1], max_iter=1, use_bias=False, verbose=False).fit(data)
    model.u_factors, model.i_factors = users, items
    ours, few = AigcANN(model).fit(data), range(50)  # Cornac ranks one user a call
    return (
        lambda: np.stack([model.rank(user)[0][:K] for user in few]),
        lambda: np.stack([ours.rank(user, k=K)[0][:K] for user in few]),
    )


def sentence_transformers(users: Any, items: Any, seen: csr_matrix) -> tuple[Call, Call]:
    import torch
    from sentence_transformers.util import semantic_search

    from aigc_fast.adapters.sentence_transformers import semantic_search_aigc

    queries, corpus = torch.from_numpy(users), torch.from_numpy(items)

    def ids(results: Any) -> list[list[int]]:
        return [[hit["corpus_id"] for hit in hits] for hits in results]

    return (
        lambda: ids(semantic_search(queries, corpus, top_k=K)),
        lambda: ids(semantic_search_aigc(queries, corpus, top_k=K)[0]),
    )


def sklearn(users: Any, items: Any, seen: csr_matrix) -> tuple[Call, Call]:
    from sklearn.neighbors import KNeighborsTransformer

    from aigc_fast.adapters.sklearn import CosineNeighborsTransformer

    theirs = KNeighborsTransformer(n_neighbors=K, metric="cosine").fit(items)
    ours = CosineNeighborsTransformer(n_neighbors=K).fit(items)
    return lambda: theirs.transform(users).indices, lambda: ours.transform(users).indices


PAIRS = (rectools, implicit, cornac, sentence_transformers, sklearn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--dims", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    machine.refuse_slowed_peers()
    rng = np.random.default_rng(0)
    users = rng.standard_normal((options.users, options.dims), dtype=np.float32)
    items = rng.standard_normal((options.items, options.dims), dtype=np.float32)
    seen = csr_matrix(random_array((options.users, options.items), density=50 / options.items, rng=0, dtype=np.float32))
    print(f"{options.users} users × {options.items} items × {options.dims}, top {K}; medians of {options.rounds}")
    for pair in PAIRS:
        try:
            importlib.import_module(pair.__name__)
            calls = pair(users, items, seen)
        except ImportError as error:
            print(f"{pair.__name__:22} left out: {error}")
            continue
        own, ours = calls
        same = np.mean(np.asarray(own()).ravel() == np.asarray(ours()).ravel())
        times = medians(interleaved({"own": own, "ours": ours}, options.rounds, budget=60.0))
        ratio = times["own"] / times["ours"]
        print(
            f"{pair.__name__:22} own {1e3 * times['own']:9.1f} ms   ours {1e3 * times['ours']:9.1f} ms   "
            f"{ratio:5.1f}×   same ids {same:.3%}"
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # those of the other libraries
    main()
