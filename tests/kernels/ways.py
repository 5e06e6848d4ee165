"""The ways that a search can take: instruction sets, scored directly or scanned, threads, sizes of blocks, samples.

Small inputs take the ways of large ones through the extension's hooks; every way must give the same bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from aigc_fast import _core, available_isas

ISAS = available_isas()
PATHS = ("direct", "f32", "dense", "bf16", "int8")
BF16_ISAS = ("avx512_bf16", "scalar")  # elsewhere float32 is as fast


class Way(NamedTuple):
    isa: str
    path: str | None  # one of PATHS; None: the planner's choice
    threads: int = 0
    block_rows: int = 0
    first_stride: int = 0  # the first wave scans one in so many blocks, so that cutoffs are guessed

    def __str__(self) -> str:
        options = [f"{name}{value}" for name, value in zip("tbs", self[2:], strict=True) if value]
        return "-".join([self.isa, self.path or "planned", *options])


@contextlib.contextmanager
def taking(way: Way) -> Iterator[None]:
    """Make every search inside take this way, and check that it does."""
    before = _core.isa()
    _core.set_isa(way.isa)
    _core.override_plan(*way[1:])
    try:
        assert _core.isa() == way.isa
        yield
    finally:
        _core.override_plan()
        _core.set_isa(before)


def all_ways(threads: int, block_rows: int, first_stride: int = 0) -> list[Way]:
    """Every path on every instruction set."""
    return [
        Way(isa, path, threads) if path == "direct" else Way(isa, path, threads, block_rows, first_stride)
        for isa in ISAS
        for path in PATHS
        if path != "bf16" or isa in BF16_ISAS
    ]
