"""Compare exact top-K on a GPU with torch (float32 and TF32), CuPy, faiss-gpu and cuVS, whichever are installed.

    python -m benchmarks.gpu --output gpu.json            # needs a GPU
    python -m benchmarks.gpu --output gpu.json --resume   # go on where it broke off
    python -m benchmarks.gpu --device cpu --check         # the script itself, at small sizes, where there is no GPU

Rows and queries lie in the GPU's memory before the clock starts; peers get unit rows and their index built. A time is
that of the host from the call until the device has finished. The ids of ours are compared with float64 scores for the
first queries of every cell, and the run stops where they differ; of peers, the share of right ids is kept. The floor is
the time that the card's data sheet gives for reading a byte of code for each element once, or for the multiply-adds in
int8 if that is longer: no exact search by int8 codes can be faster.

Without a torch that has CUDA, ours alone is measured, and queries and results are the host's. A peer that fails is left
out, with its reason.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import aigc_fast
from aigc_fast import _cuda
from benchmarks import datasets, exact, machine, report, timing
from benchmarks.results import Record, Results

ITEMS, SMALL_ITEMS = 1_000_000, 2_000
DIMS, BATCHES, KS = (64, 128, 768), (1, 32, 1024, 8192), (10, 100)
CHECKED = 4  # queries of a cell
SCORE_BYTES = 1 << 31  # of a matrix of scores that torch and CuPy make at a time
OURS = ("index", "aigc_fast")
# Bytes a second and dense int8 operations a second of the data sheets (SXM cards).
LIMITS = {"H200": (4.8e12, 1979e12), "H100": (3.35e12, 1979e12), "A100": (2.0e12, 624e12)}

Search = Callable[[Any, int], Any]  # (queries on the device, k) -> ids, shape (queries, k)


def index(items: Any, unit: Any, device: str) -> Search:
    """Ours with a CosineIndex."""
    built = aigc_fast.CosineIndex(items, device=device)
    return lambda queries, k: built.topk(queries, k).ids


def one_shot(items: Any, unit: Any, device: str) -> Search:
    """Ours without an index: norms are computed within the time."""
    return lambda queries, k: aigc_fast.cosine_topk(queries, items, k, device=device).ids


def _torch(precision: str) -> Callable[[Any, Any, str], Search]:
    def build(items: Any, unit: Any, device: str) -> Search:
        import torch

        chunk = max(1, SCORE_BYTES // (4 * len(unit)))

        def search(queries: Any, k: int) -> Any:
            torch.set_float32_matmul_precision(precision)
            return torch.cat([(part @ unit.T).topk(k).indices for part in queries.split(chunk)])

        return search

    return build


def cupy(items: Any, unit: Any, device: str) -> Search:
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

    return search


def faiss(items: Any, unit: Any, device: str) -> Search:
    """GpuIndexFlatIP."""
    import faiss as library
    import faiss.contrib.torch_utils

    flat = library.GpuIndexFlatIP(library.StandardGpuResources(), unit.shape[1])
    flat.add(unit)
    return lambda queries, k: flat.search(queries, k)[1]


def cuvs(items: Any, unit: Any, device: str) -> Search:
    """Brute force by the inner product of unit rows."""
    import torch
    from cuvs.neighbors import brute_force

    built = brute_force.build(unit, metric="inner_product")
    return lambda queries, k: torch.as_tensor(brute_force.search(built, queries, k)[1], device=device)


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


def rivals(device: str) -> dict[str, Callable[[Any, Any, str], Search]]:
    """Name what can be compared on this machine."""
    found: dict[str, Callable[[Any, Any, str], Search]] = {"index": index, "aigc_fast": one_shot}
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
    cells = [
        {"items": shape[0], "dims": shape[1], "queries": batch, "k": k}
        for k in ks
        for batch in batches
        if out.find({"items": shape[0], "dims": shape[1], "queries": batch, "k": k}) is None
    ]
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
        right = exact.topk(data.queries.raw[:CHECKED], data.items.raw, cell["k"])[: cell["queries"]]
        calls: dict[str, Callable[[], Any]] = {}
        recall = {}
        for name, search in searches.items():
            some = (queries if name in OURS else unit_queries)[: cell["queries"]]
            call = _waiting(search, some, cell["k"], device)
            with _left_out(name):
                found = _on_host(call()[:CHECKED])
                if name in OURS and not np.array_equal(found, right):
                    raise SystemExit(f"{name} gave wrong ids: {cell}")
                calls[name], recall[name] = call, exact.recall(found, right)
        seconds = timing.medians(timing.interleaved(calls, rounds, budget=10.0))
        out.add({**cell, "seconds": seconds, "recall": recall})
        print(f"{cell}: " + ", ".join(f"{name} {1e3 * s:.3g} ms" for name, s in seconds.items()), flush=True)


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


def _waiting(search: Search, queries: Any, k: int, device: str) -> Callable[[], Any]:
    torch = torch_on(device)
    if torch is None or device == "cpu":  # results of the host are there
        return lambda: search(queries, k)

    def call() -> Any:
        found = search(queries, k)
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
        rows.append([shape, str(record["queries"]), str(record["k"]), *times, share])
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
