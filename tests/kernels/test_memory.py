"""Case 19: memory beyond inputs and results does not grow with queries x items."""

from __future__ import annotations

from .subprocesses import run_python

MEBI = 2**20


def growth(queries: int, items: int, call: str) -> tuple[int, int]:
    """Growth of the peak resident memory by a call, in bytes, and the bytes of what it returns."""
    code = f"""
import resource, numpy as np
from aigc_fast import cosine_threshold, cosine_topk
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
rng = np.random.default_rng(0)
items = rng.random(({items}, 8), np.float32)
queries = rng.random(({queries}, 8), np.float32)
cosine_topk(queries[:9], items[:1000], 10)  # code and threads are there
before = peak()
result = {call}
print(peak() - before, sum(part.nbytes for part in result))
"""
    grown, returned = map(int, run_python(code, timeout=300).split())
    return grown, returned


def test_topk_of_10_000_queries_by_1_000_000_items() -> None:
    grown, returned = growth(10_000, 1_000_000, "cosine_topk(queries, items, 10, num_threads=2)")
    assert returned == 10_000 * (10 * (4 + 8) + 8)
    # Two threads with candidates of at most 8 MiB each; the rows of 1024 queries (twice in float64, once in float32);
    # blocks of items and hits; and as much again for the allocator. The scores alone would take 40 GB.
    tiles = 2 * 8 * MEBI + 1024 * 8 * 20 + MEBI
    assert grown <= returned + 2 * tiles


def test_threshold_holds_hits_only() -> None:
    grown, returned = growth(1_000, 1_000_000, "cosine_threshold(queries, items, 0.98, num_threads=2)")
    hits = returned // 16
    assert hits > 1000
    # A hit takes 16 bytes until the rows are joined and 16 after; vectors grow by doubling; the scores are converted
    # to float32 at the end. 4 GB of scores are never there.
    assert grown <= 6 * 16 * hits + 32 * MEBI


def test_similarity_needs_no_copy_of_its_inputs() -> None:
    code = """
import resource, numpy as np
from aigc_fast import cosine_similarity
a = np.random.default_rng(0).random((300_000, 64), np.float32)
cosine_similarity(a[:9], a[:9])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
cosine_similarity(a, a[:2], num_threads=2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    # The result takes 2.4 MB, the input 77 MB.
    assert int(run_python(code)) * 1024 <= 300_000 * 2 * 4 + 16 * MEBI
