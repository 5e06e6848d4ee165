"""Searches over int8 codes on a simulated GPU."""

from __future__ import annotations

import ctypes

import numpy as np

from .device import KEEP, LANES, NAMES, THREADS, TILE_ROWS, Array, Device, Search, Wave, _Structure

CODE_ROWS, CODE_COLUMNS = 64, 64
FEW_QUERIES = 16
TENSOR_QUERIES, TENSOR_STAGES, TENSOR_RESIDENT, TENSOR_PART = 128, 3, 4, 128 * 80

BLOCK = np.dtype(
    [
        ("scale", "f4"),
        ("inverse_scale", "f4"),
        ("residual", "f4"),
        ("reach", "f4"),
        ("coded", "u8"),
        ("unbounded", "u8"),
    ]
)
QUERY_CODE = np.dtype([("scale", "f4"), ("sigma", "f4"), ("offset", "f4")])


class Codes(_Structure):
    """``cuda/kernels/search.h``."""

    _fields_ = (
        ("width", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("items", "blocks", "queries", "fine", "query_codes")),
        ("hit_capacity", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("hits", "hit_counts")),
    )


class CodedDevice(Device):
    """Scans codes: for few queries by dot products of four bytes, else (or where `tensor` says so) on tensor cores."""

    def __init__(
        self,
        code: str | None = None,
        seed: int = 0,
        *,
        tensor: bool = False,
        hit_capacity: int = 1024,
        tiles_of_block: int = 4,
    ) -> None:
        super().__init__(code, seed)
        self.tensor, self.hit_capacity, self.tiles_of_block = tensor, hit_capacity, tiles_of_block
        self.search, self.codes = Search(), Codes()
        self.lost = 0  # waves of which hits were lost
        self.hits: list[int] = []  # of each wave

    def _panel(self, queries: int, mode: int) -> int:
        if self.tensor or queries > FEW_QUERIES or mode != KEEP:
            return TENSOR_QUERIES
        return 1 if queries == 1 else 4

    def _describe_items(self, search: Search, x: Array) -> None:
        self.search, search.vectors = search, 0
        padded = -(-len(x) // TILE_ROWS) * TILE_ROWS
        panels = -(-search.queries // search.panel) * search.panel
        width = max(-(-x.shape[1] // CODE_COLUMNS), 1) * CODE_COLUMNS
        self.codes = Codes(
            width=width, items=self.empty(padded * width), blocks=self.empty(padded // CODE_ROWS * BLOCK.itemsize),
            queries=self.empty(panels * width), fine=self.empty(panels * width) if search.panel < TENSOR_QUERIES else 0,
            query_codes=self.empty(panels * QUERY_CODE.itemsize), hit_capacity=self.hit_capacity,
            hits=self.empty(search.queries * self.hit_capacity * 8), hit_counts=self.empty(search.queries * 4),
        )  # fmt: skip
        self.launch(f"code_items_{NAMES[x.dtype.name]}", padded // CODE_ROWS, search, self.codes)
        self.launch("code_queries", -(-panels * LANES // THREADS), search, self.codes)

    def _scan(self, search: Search, x: Array, wave: Wave) -> None:
        runs = -(-(wave.end - wave.begin) // self.tiles_of_block)
        blocks = runs * -(-search.queries // search.panel)
        arguments = search, self.codes, wave, self.tiles_of_block
        if self.codes.fine:
            self.launch(f"scan_codes_{search.panel}", blocks, *arguments)
            return
        parts = self.codes.width // CODE_COLUMNS
        shared = (TENSOR_STAGES + parts if parts <= TENSOR_RESIDENT else 2 * TENSOR_STAGES) * TENSOR_PART
        name = "scan_tensor" if search.mode == KEEP else f"scan_tensor_{NAMES[x.dtype.name]}"
        self.launch(name, blocks, *arguments, shared=shared)

    def _settle(self, search: Search, x: Array, wave: Wave) -> None:
        counts = self.download(self.codes.hit_counts, search.queries, np.uint32)
        self.hits.append(int(counts.sum()))
        self.lost += int((counts > self.hit_capacity).sum())
        self.launch(f"settle_codes_{NAMES[x.dtype.name]}", search.queries, search, self.codes, wave)
