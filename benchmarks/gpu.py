"""Compare exact top-K and thresholds on a GPU with torch, CuPy, faiss-gpu and cuVS, whichever are installed.

    python -m benchmarks.gpu --output gpu.json            # needs a GPU
    python -m benchmarks.gpu --output gpu.json --resume   # go on where it broke off
    python -m benchmarks.gpu --device cpu --check         # the script itself, at small sizes, where there is no GPU

Rows and queries lie in the GPU's memory before the clock starts; peers get unit rows and their index built. A time is
that of the host from the call until the device has finished. The ids of ours are compared with float64 scores for the
first queries of every cell, and the run stops where they differ; of peers, the share of right ids is kept. The floor is
the time that the card's data sheet gives for reading a byte of code for each element once, or for the multiply-adds in
int8 if that is longer: no exact search by int8 codes can be faster.

Torch is measured in float32 and in TF32; thresholds beside torch alone, which compares and takes ``nonzero``.
Without a torch that has CUDA, ours alone is measured, and queries and results are the host's. A peer that fails is left
out, with its reason.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import aigc_fast
from aigc_fast import _cuda
from benchmarks import datasets, exact, machine, report, timing
from benchmarks.exact import Array
from benchmarks.results import Record, Results

ITEMS, SMALL_ITEMS = 1_000_000, 2_000
DIMS, BATCHES, KS = (64, 128, 768), (1, 32, 1024, 8192), (10, 100)
HITS = 100  # that a threshold brings a query, in the mean
CHECKED = 4  # queries of a cell
SCORE_BYTES = 1 << 31  # of a matrix of scores that torch and CuPy make at a time
OURS = ("index", "aigc_fast")
# Bytes a second and dense int8 operations a second of the data sheets (SXM cards).
LIMITS = {"H200": (4.8e12, 1979e12), "H100": (3.35e12, 1979e12), "A100": (2.0e12, 624e12)}


class Ways(NamedTuple):
    """How a library answers."""

    topk: Callable[[Any, int], Any]  # (queries on the device, k) -> ids, shape (queries, k)
    hits: Callable[[Any, float], Any] | None = None  # (queries, threshold) -> (ends of each query's hits, ids)


Build = Callable[[Any, Any, str], Ways]  # (items, unit rows, device)


def index(items: Any, unit: Any, device: str) -> Ways:
    """Ours with a CosineIndex."""
    built = aigc_fast.CosineIndex(items, device=device)

    def hits(queries: Any, threshold: float) -> Any:
        found = built.threshold(queries, threshold)
        return found.indptr[1:], found.ids

    return Ways(lambda queries, k: built.topk(queries, k).ids, hits)


def one_shot(items: Any, unit: Any, device: str) -> Ways:
    """Ours without an index: norms are computed within the time."""

    def hits(queries: Any, threshold: float) -> Any:
        found = aigc_fast.cosine_threshold(queries, items, threshold, device=device)
        return found.indptr[1:], found.ids

    return Ways(lambda queries, k: aigc_fast.cosine_topk(queries, items, k, device=device).ids, hits)


def _torch(precision: str) -> Build:
    def build(items: Any, unit: Any, device: str) -> Ways:
        import torch

        chunk = max(1, SCORE_BYTES // (4 * len(unit)))

        def topk(queries: Any, k: int) -> Any:
            torch.set_float32_matmul_precision(precision)
            return torch.cat([(part @ unit.T).topk(k).indices for part in queries.split(chunk)])

        def hits(queries: Any, threshold: float) -> Any:
            torch.set_float32_matmul_precision(precision)
            counts, ids = [], []
            for part in queries.split(chunk):
                scores = part @ unit.T
                reached = scores >= threshold
                counts.append(reached.sum(1))
                ids.append(reached.nonzero()[:, 1])
                scores[reached]  # the hits' scores, which ours return too
            return torch.cat(counts).cumsum(0), torch.cat(ids)

        return Ways(topk, hits)

    return build


def cupy(items: Any, unit: Any, device: str) -> Ways:
    """Matrix product, then CuPy's argpartition and a sort of the rest."""
    import cupy as library
    import torch

    rows = library.from_dlpack(unit)
    chunk = max(1, SCORE_BYTES // (4 * len(unit)))

    def search(queries: Any, k: int) -> Any:
        found = []
        for part in queries.split(chunk):
            scores = -(library.from_dlpack(part) @ rows.T)
            best = library.argpartition(scores, k, axis=1)[:, :k]
            order = library.argsort(library.take_along_axis(scores, best, 1), axis=1)
            found.append(library.take_along_axis(best, order, 1))
        return torch.from_dlpack(library.concatenate(found))

    return Ways(search)


def faiss(items: Any, unit: Any, device: str) -> Ways:
    """GpuIndexFlatIP."""
    import faiss as library
    import faiss.contrib.torch_utils

    flat = library.GpuIndexFlatIP(library.StandardGpuResources(), unit.shape[1])
    flat.add(unit)
    return Ways(lambda queries, k: flat.search(queries, k)[1])


def cuvs(items: Any, unit: Any, device: str) -> Ways:
    """Brute force by the inner product of unit rows."""
    import torch
    from cuvs.neighbors import brute_force

    built = brute_force.build(unit, metric="inner_product")
    return Ways(lambda queries, k: torch.as_tensor(brute_force.search(built, queries, k)[1], device=device))


def _has_faiss_gpu() -> bool:
    if importlib.util.find_spec("faiss") is None:
        return False
    import faiss as library

    return hasattr(library, "GpuIndexFlatIP")


def torch_on(device: str) -> Any:
    """Return torch where it can compute on the device, else None."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    return torch if device == "cpu" or torch.cuda.is_available() else None


def rivals(device: str) -> dict[str, Build]:
    """Name what can be compared on this machine."""
    found: dict[str, Build] = {"index": index, "aigc_fast": one_shot}
    if torch_on(device) is None:
        return found
    found["torch f32"] = _torch("highest")
    if device == "cpu":
        return found
    found["torch TF32"] = _torch("high")
    if importlib.util.find_spec("cupy") is not None:
        found["CuPy"] = cupy
    if _has_faiss_gpu():
        found["faiss"] = faiss
    if importlib.util.find_spec("cuvs") is not None:
        found["cuVS"] = cuvs
    return found


def floor(card: str, record: Record) -> float | None:
    """Return the least seconds that a cell can take by int8 codes; None for a card that is not known."""
    known = next((limits for name, limits in LIMITS.items() if name in card), None)
    if known is None:
        return None
    elements = record["items"] * record["dims"]
    return float(max(elements / known[0], 2 * elements * record["queries"] / known[1]))


def measure(device: str, shape: tuple[int, int], batches: list[int], ks: list[int], rounds: int, out: Results) -> None:
    """Measure those cells of one set of rows that are not there yet."""
    rows = {"items": shape[0], "dims": shape[1]}
    asked = [*({"k": k} for k in ks), {"hits": HITS}]
    cells = [{**rows, "queries": batch, **what} for what in asked for batch in batches]
    cells = [cell for cell in cells if out.find(cell) is None]
    if not cells:
        return
    data = datasets.gaussian(*shape, max(batches))
    items, queries = (_placed(rows.raw, device) for rows in (data.items, data.queries))
    unit, unit_queries = (aigc_fast.normalize(rows, device=device) for rows in (items, queries))
    searches = {}
    for name, build in rivals(device).items():
        with _left_out(name):
            searches[name] = build(items, unit, device)
    for cell in cells:
        argument, right = _answer(cell, data.queries.raw[: min(CHECKED, cell["queries"])], data.items.raw)
        calls: dict[str, Callable[[], Any]] = {}
        recall = {}
        for name, ways in searches.items():
            search = ways.topk if "k" in cell else ways.hits
            if search is None:
                continue
            some = (queries if name in OURS else unit_queries)[: cell["queries"]]
            call = _waiting(search, some, argument, device)
            with _left_out(name):
                found = _lists(call(), len(right))
                if name in OURS and not all(map(np.array_equal, found, right)):
                    raise SystemExit(f"{name} gave wrong ids: {cell}")
                calls[name], recall[name] = call, exact.recall(found, right)
        seconds = timing.medians(timing.interleaved(calls, rounds, budget=10.0))
        out.add({**cell, "seconds": seconds, "recall": recall})
        print(f"{cell}: " + ", ".join(f"{name} {1e3 * s:.3g} ms" for name, s in seconds.items()), flush=True)


def _answer(cell: Record, queries: Array, items: Array) -> tuple[int | float, list[Array]]:
    """Return k or the threshold, and each query's right ids."""
    if "k" in cell:
        return cell["k"], list(exact.topk(queries, items, cell["k"]))
    scores = exact.scores(queries, items)
    threshold = exact.threshold_for(scores, cell["hits"] * len(queries))
    right = exact.right_hits(scores, threshold)
    return threshold, np.split(right.ids, right.indptr[1:-1])


def _lists(found: Any, count: int) -> list[Array]:
    """Return the first queries' ids, on the host."""
    if not isinstance(found, tuple):
        return list(_on_host(found[:count]))
    ends = _on_host(found[0][:count])
    return np.split(_on_host(found[1][: int(ends[-1])]), ends[:-1])


@contextlib.contextmanager
def _left_out(name: str) -> Iterator[None]:
    """Go on without a peer that fails: a run on a GPU is not lost to another library."""
    try:
        yield
    except Exception as error:
        if name in OURS:
            raise
        print(f"{name} is left out: {type(error).__name__}: {error}", flush=True)


def _placed(rows: Any, device: str) -> Any:
    torch = torch_on(device)
    return rows if torch is None else torch.from_numpy(rows).to(device)


def _on_host(ids: Any) -> Any:
    return np.asarray(ids.cpu() if hasattr(ids, "cpu") else ids)


def _waiting(search: Any, queries: Any, argument: float, device: str) -> Callable[[], Any]:
    torch = torch_on(device)
    if torch is None or device == "cpu":  # results of the host are there
        return lambda: search(queries, argument)

    def call() -> Any:
        found = search(queries, argument)
        torch.cuda.synchronize()
        return found

    return call


def table(about: Record, records: list[Record]) -> str:
    """Return the figures as a Markdown table."""
    names = list(dict.fromkeys(name for record in records for name in record["seconds"]))
    rows = []
    for record in records:
        best = min(record["seconds"][name] for name in OURS)
        least = floor(about["card"], record)
        shape = f"{record['items']:,} × {record['dims']}"
        times = [report.milliseconds(record, name, {}) if name in record["seconds"] else "–" for name in names]
        share = "–" if least is None else f"{100 * least / best:.0f} %"
        asked = str(record["k"]) if "k" in record else f"{record['hits']} hits"
        rows.append([shape, str(record["queries"]), asked, *times, share])
    return report.table(["items × dims", "batch", "k", *names, "floor : ours"], rows)


def about_device(device: str) -> Record:
    """Name the card and the versions that the figures depend on."""
    card = "no GPU: figures of the CPU" if device == "cpu" else _cuda.device_name(0)
    driver = None if device == "cpu" else _cuda.driver_version()
    torch = torch_on(device)
    names = ["aigc-fast", "torch", "cupy-cuda12x", "cupy-cuda13x", "faiss-gpu-cu12", "cuvs-cu12", "cuvs-cu13"]
    return {
        "benchmark": "gpu",
        "card": card,
        "driver": driver,
        "cuda": None if torch is None else torch.version.cuda,
        "arrays": "the host's" if torch is None else "the device's",
        "versions": machine.versions(names),
    }


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description="Exact top-K on a GPU against its peers.")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--resume", action="store_true", help="keep the cells that the file has")
    parser.add_argument("--check", action="store_true", help="small sizes: the answers, not the times")
    arguments = parser.parse_args()
    results = Results(about_device(arguments.device), arguments.output, arguments.resume)
    count = SMALL_ITEMS if arguments.check else ITEMS
    batches = [min(batch, 9) for batch in BATCHES[:2]] if arguments.check else list(BATCHES)
    for dims in DIMS[:1] if arguments.check else DIMS:
        measure(arguments.device, (count, dims), batches, list(KS), arguments.rounds, results)
    print(f"\n{results.about['card']}\n\n{table(results.about, results.records)}")


if __name__ == "__main__":
    main()
