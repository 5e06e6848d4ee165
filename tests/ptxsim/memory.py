"""Byte-addressed memory that knows what may be read and who touched what.

Every access is checked for bounds, alignment and undefined bytes, and for races: two warps that touch the same word,
one of them writing, without a barrier between them (or in different blocks, between which there is none).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_FREE, _UNDEFINED, _DEFINED, _PENDING = 0, 1, 2, 3
_POISON = 0xCD
_MANY = 0x3E  # stands for several readers
_ATOMIC = 0x3F  # stands for atomic operations, which may meet each other
_ACTORS = 0x40  # warps of a block, and the two above
_WORD = 4  # bytes; races are noticed by words


class Fault(Exception):  # noqa: N818  (what GPUs call it)
    """What a real device answers with an error, or with a wrong result."""


class Clock:
    """Phases of execution: from barrier to barrier within a block, and block after block."""

    def __init__(self) -> None:
        self.phase = 1
        self.launch_began = 1
        self.block_began = 1

    def launch(self) -> None:
        self.phase += 1
        self.launch_began = self.phase

    def block(self) -> None:
        self.phase += 1
        self.block_began = self.phase

    def barrier(self) -> None:
        self.phase += 1


class Memory:
    """One address space: all of global memory, or one block's shared memory."""

    def __init__(self, name: str, size: int, base: int, clock: Clock) -> None:
        size = -(-size // 16) * 16
        self.name, self.size, self.base, self._clock = name, size, base, clock
        self.bytes = np.full(size, _POISON, np.uint8)
        self.state = np.full(size, _FREE, np.uint8)
        self._written = np.zeros(size // _WORD + 1, np.int64)  # phase * _ACTORS + actor
        self._read = np.zeros(size // _WORD + 1, np.int64)

    # From the host's side.

    def allow(self, address: int, size: int) -> None:
        """Make bytes usable; their contents are undefined."""
        at = address - self.base
        self.bytes[at : at + size] = _POISON
        self.state[at : at + size] = _UNDEFINED

    def forbid(self, address: int, size: int) -> None:
        at = address - self.base
        self.state[at : at + size] = _FREE

    def write(self, address: int, data: bytes) -> None:
        at = self._inside(address, len(data))
        self.bytes[at : at + len(data)] = np.frombuffer(data, np.uint8)
        self.state[at : at + len(data)] = _DEFINED

    def read(self, address: int, size: int) -> bytes:
        at = self._inside(address, size)
        if not (self.state[at : at + size] == _DEFINED).all():
            raise Fault(f"the host reads undefined {self.name} memory")
        return self.bytes[at : at + size].tobytes()

    def _inside(self, address: int, size: int) -> int:
        at = address - self.base
        if at < 0 or at + size > self.size or not self.state[at : at + size].all():
            raise Fault(f"the host touches {self.name} memory that is not allocated")
        return at

    # From the kernels' side; `mask` says which lanes take part.

    def load(self, addresses: Array, mask: Array, dtype: Any, warp: int, count: int = 1) -> list[Array]:
        """Load `count` consecutive elements a lane."""
        at = self._at(addresses, mask, np.dtype(dtype).itemsize * count, "read")
        self._check_defined(at, np.dtype(dtype).itemsize * count)
        self._note_read(at, np.dtype(dtype).itemsize * count, warp)
        elements = self.bytes.view(dtype)
        index = at // np.dtype(dtype).itemsize
        loaded = []
        for i in range(count):
            values = np.zeros(32, dtype)
            values[mask] = elements[index + i]
            loaded.append(values)
        return loaded

    def store(self, addresses: Array, mask: Array, values: list[Array], warp: int) -> None:
        size = values[0].itemsize
        at = self._at(addresses, mask, size * len(values), "written")
        if len(set(at.tolist())) < len(at):
            raise Fault(f"lanes of warp {warp} write the same {self.name} address")
        self._note_write(at, size * len(values), warp)
        self._define(at, size * len(values), _DEFINED)
        elements = self.bytes.view(values[0].dtype)
        for i, value in enumerate(values):
            elements[at // size + i] = value[mask]

    def atomic(self, operation: Any, addresses: Array, mask: Array, values: Array, warp: int) -> Array:
        """Apply lane after lane; returns what was there before."""
        at = self._at(addresses, mask, values.itemsize, "updated")
        self._check_defined(at, values.itemsize)
        self._note_write(at, values.itemsize, _ATOMIC)
        elements = self.bytes.view(values.dtype)
        before = np.zeros(32, values.dtype)
        for lane, index in zip(np.flatnonzero(mask), at // values.itemsize, strict=True):
            before[lane] = elements[index]
            elements[index] = operation(elements[index], values[lane])
        return before

    def begin_copy(self, addresses: Array, mask: Array, size: int, warp: int) -> Array:
        """Mark the target of an asynchronous copy: nobody may read it before it has been waited for."""
        at = self._at(addresses, mask, size, "written")
        self._note_write(at, size, warp)
        self._define(at, size, _PENDING)
        return at

    def finish_copy(self, at: Array, rows: Array) -> None:
        self.bytes[at[:, None] + np.arange(rows.shape[1])] = rows
        self._define(at, rows.shape[1], _DEFINED)

    def rows(self, addresses: Array, mask: Array, size: int, warp: int) -> Array:
        """Load `size` bytes a lane, as bytes."""
        at = self._at(addresses, mask, size, "read")
        self._check_defined(at, size)
        self._note_read(at, size, warp)
        return self.bytes[at[:, None] + np.arange(size)]

    def _at(self, addresses: Array, mask: Array, size: int, what: str) -> Array:
        at = addresses[mask].astype(np.int64) - self.base
        every = np.bitwise_or.reduce(at)  # has all bits that any has, the sign's too
        if every & (size - 1):
            raise Fault(f"{self.name} memory is {what} at a misaligned address")
        if every < 0 or at.max() > self.size - size or not self._words(self.state, at, size, 1).all():
            raise Fault(f"{self.name} memory is {what} out of bounds")
        return at

    @staticmethod
    def _words(shadow: Array, at: Array, size: int, word: int) -> Array:
        first = at // word
        return shadow[first] if size <= word else shadow[first[:, None] + np.arange(size // word)]

    def _check_defined(self, at: Array, size: int) -> None:
        state = self._words(self.state, at, size, 1)
        if (state != _DEFINED).any():
            pending = (state == _PENDING).any()
            raise Fault(f"{self.name} memory is read {'before its copy was waited for' if pending else 'undefined'}")

    def _define(self, at: Array, size: int, state: int) -> None:
        if size == 1:
            self.state[at] = state
        else:
            self.state[at[:, None] + np.arange(size)] = state

    def _note_read(self, at: Array, size: int, warp: int) -> None:
        self._check_race(self._words(self._written, at, size, _WORD), warp, "reads", "written")
        now = self._clock.phase * _ACTORS
        index = at // _WORD if size <= _WORD else at[:, None] // _WORD + np.arange(size // _WORD)
        before = self._read[index]
        others = (before >= now) & (before != now + warp)
        self._read[index] = np.where(others, now + _MANY, now + warp)

    def _note_write(self, at: Array, size: int, actor: int) -> None:
        self._check_race(self._words(self._written, at, size, _WORD), actor, "writes", "written")
        self._check_race(self._words(self._read, at, size, _WORD), actor, "writes", "read")
        index = at // _WORD if size <= _WORD else at[:, None] // _WORD + np.arange(size // _WORD)
        self._written[index] = self._clock.phase * _ACTORS + actor

    def _check_race(self, stamps: Array, actor: int, does: str, was: str) -> None:
        phases = stamps // _ACTORS
        same_phase = (phases == self._clock.phase) & (stamps % _ACTORS != actor)
        other_block = (phases >= self._clock.launch_began) & (phases < self._clock.block_began)
        if actor == _ATOMIC:
            other_block &= stamps % _ACTORS != _ATOMIC
        if same_phase.any() or other_block.any():
            where = "another block" if other_block.any() else "another warp since the last barrier"
            who = "an atomic operation" if actor == _ATOMIC else f"warp {actor}"
            raise Fault(f"race in {self.name} memory: {who} {does} what was {was} by {where}")


class Heap:
    """Global memory with an allocator: what was not allocated, or is freed, is out of bounds."""

    BASE = 1 << 44  # where the memory of the host is not
    _GAP = 256  # between allocations, never usable

    def __init__(self, size: int, clock: Clock) -> None:
        self.memory = Memory("global", size, self.BASE, clock)
        self._top = self._GAP
        self._sizes: dict[int, int] = {}

    def allocate(self, size: int) -> int | None:
        """Return an address, or None when there is no room left (freed memory is not used again)."""
        if self._top + size + self._GAP > self.memory.size:
            return None
        address = self.BASE + self._top
        self._top += -(-size // 256) * 256 + self._GAP
        self._sizes[address] = size
        self.memory.allow(address, size)
        return address

    def size_of(self, address: int) -> int:
        return self._sizes[address]

    def free(self, address: int) -> None:
        self.memory.forbid(address, self._sizes.pop(address))

    @property
    def allocations(self) -> int:
        return len(self._sizes)
