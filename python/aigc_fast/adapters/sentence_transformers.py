"""``semantic_search`` in the shape of ``sentence_transformers.util.semantic_search``, by exact search."""

from __future__ import annotations

from typing import Any

import numpy as np

from aigc_fast.arrays import as_count
from aigc_fast.index import CosineIndex
from aigc_fast.similarity import TopK, cosine_topk


def semantic_search_aigc(
    query_embeddings: Any,
    corpus_embeddings: Any,
    top_k: int = 10,
    *,
    corpus_index: CosineIndex | None = None,
    num_threads: int | None = None,
) -> tuple[list[list[dict[str, int | float]]], CosineIndex | None]:
    """Find the most similar entries of a corpus for each query, by cosine.

    Parameters
    ----------
    query_embeddings : (m, d) or (d,)
        Tensor on the CPU or array.
    corpus_embeddings : (n, d)
        Tensor or array; None with ``corpus_index``.
    top_k
        Length of the lists; shorter where the corpus is.
    corpus_index
        What an earlier call returned or `CosineIndex` made: searched in the place of ``corpus_embeddings``.
    num_threads
        None: all.

    Returns
    -------
    results
        A list for each query of ``{"corpus_id": int, "score": float}``, best first, ties by id.
    corpus_index
        As given; like ``semantic_search_faiss``, so that it can be passed to the next call.

    Raises
    ------
    ValueError, TypeError
        Neither corpus nor index, or arrays or numbers of the wrong type, shape or range.

    Examples
    --------
    >>> results, _ = semantic_search_aigc([1.0, 0.0], [[1.0, 1.0], [2.0, 0.0]], top_k=1)
    >>> results
    [[{'corpus_id': 1, 'score': 1.0}]]
    """
    as_count(top_k, "top_k", 0)
    queries = query_embeddings if hasattr(query_embeddings, "shape") else np.asarray(query_embeddings, np.float32)
    queries = queries.reshape(1, -1) if queries.ndim == 1 else queries
    if corpus_index is not None:
        found = corpus_index.topk(queries, min(top_k, len(corpus_index)), num_threads=num_threads)
    elif corpus_embeddings is None:
        raise ValueError("corpus_embeddings and corpus_index must not both be None")
    else:
        found = cosine_topk(queries, corpus_embeddings, min(top_k, len(corpus_embeddings)), num_threads=num_threads)
    return _as_dicts(found), corpus_index


def _as_dicts(found: TopK) -> list[list[dict[str, int | float]]]:
    return [
        [{"corpus_id": item, "score": score} for item, score in zip(ids[:count], scores[:count], strict=True)]
        for ids, scores, count in zip(*(part.tolist() for part in (found.ids, found.scores, found.counts)), strict=True)
    ]
