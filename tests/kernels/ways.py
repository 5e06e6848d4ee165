"""The ways that a search can take: instruction sets, scored directly or scanned, threads, sizes of blocks.

Small inputs take the ways of large ones through the extension's hooks; every way must give the same bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from aigc_fast import _core, available_isas

ISAS = available_isas()


class Way(NamedTuple):
    isa: str
    direct: bool | None  # None: the planner's choice
    threads: int = 0
    block_rows: int = 0

    def __str__(self) -> str:
        kind = {True: "direct", False: "scan", None: "planned"}[self.direct]
        return f"{self.isa}-{kind}-threads{self.threads}-block{self.block_rows}"


@contextlib.contextmanager
def taking(way: Way) -> Iterator[None]:
    """Make every search inside take this way, and check that it does."""
    before = _core.isa()
    _core.set_isa(way.isa)
    _core.override_plan(direct=way.direct, threads=way.threads, block_rows=way.block_rows)
    try:
        assert _core.isa() == way.isa
        yield
    finally:
        _core.override_plan()
        _core.set_isa(before)


def all_ways(threads: int, block_rows: int) -> list[Way]:
    """Both paths on every instruction set."""
    return [Way(isa, direct, threads, 0 if direct else block_rows) for isa in ISAS for direct in (True, False)]
