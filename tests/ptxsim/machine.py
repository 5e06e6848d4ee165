"""Runs a kernel: blocks in random order, their warps in turns of random length, one warp at a time."""

from __future__ import annotations

import functools
import random
import struct
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .arithmetic import load_matrices
from .memory import Clock, Fault, Heap, Memory
from .parser import parse
from .translate import Translator

Array = npt.NDArray[Any]
_LANES = np.arange(32)
_ALL = np.ones(32, bool)
_ALL.flags.writeable = False
_SHARED_BYTES = 227 * 1024  # the most that any block may have


class Program:
    """A kernel, ready to run."""

    def __init__(self, ptx: str, name: str) -> None:
        self.kernel = parse(ptx, name)
        translator = Translator(self.kernel)
        self.functions = translator.functions()
        zeros = {dtype: np.zeros(32, dtype) for dtype in set(translator.storage)}
        for array in zeros.values():
            array.flags.writeable = False
        self.registers = [zeros[dtype] for dtype in translator.storage]
        self.converges = [bool(block) and block[0].converges for block in self.kernel.blocks]


_program = functools.lru_cache(256)(Program)  # machines are many, and modules few


class Warp:
    """32 lanes: all at one block of the program, or each at its own."""

    def __init__(self, block: _Block, number: int, threads: int) -> None:
        self.number = number
        self.shared, self.heap = block.shared, block.machine.heap.memory
        self._block = block
        self.alive = _LANES + 32 * number < threads
        self.done = False
        self.at: int | None = 0 if self.alive.all() else None  # where all lanes are
        self.lanes_at = np.zeros(32, np.int64)  # where each lane is, while `at` is None
        self.waiting: int | None = None  # the barrier's block, while at a barrier
        self.registers = list(block.program.registers)
        thread = _LANES + 32 * number
        self.special = {
            "%laneid": _LANES,
            "%warpid": np.full(32, number),
            **{f"%tid.{axis}": value for axis, value in zip("xyz", _split(thread, block.threads), strict=True)},
            **block.special,
        }
        self._copies: list[tuple[Array, Array]] = []
        self._groups: deque[list[tuple[Array, Array]]] = deque()

    def step(self) -> None:
        """Execute one basic block."""
        functions, converges = self._block.program.functions, self._block.program.converges
        if self.at is not None:
            functions[self.at][0](self, self.registers, _ALL)
            return
        # The lanes that are furthest behind go first; instructions of whole warps wait for all.
        for at in np.unique(self.lanes_at[self.alive]).tolist():
            mask = self.alive & (self.lanes_at == at)
            if converges[at] and not (mask == self.alive).all():
                continue
            functions[at][1](self, self.registers, mask)
            self._rejoin()
            return
        raise Fault(f"warp {self.number} is divergent at an instruction of whole warps")

    def _rejoin(self) -> None:
        if self.at is None and self.alive.all() and (self.lanes_at == self.lanes_at[0]).all():
            self.at = int(self.lanes_at[0])

    # What translated instructions call.

    def go(self, mask: Array, target: int) -> None:
        if mask is _ALL and self.alive.all():  # some lanes may just have left
            self.at = target
        else:
            self.lanes_at[mask] = target

    def branch(self, mask: Array, condition: Array, target: int, otherwise: int) -> None:
        if mask is _ALL:
            if condition.all():
                self.at = target
            elif not condition.any():
                self.at = otherwise
            else:
                self.at = None
                self.lanes_at = np.where(condition, target, otherwise)
        else:
            self.lanes_at[mask] = np.where(condition, target, otherwise)[mask]

    def leave(self, mask: Array) -> None:
        if self.at is not None:
            self.lanes_at[:] = self.at
            self.at = None
        self.alive = self.alive & ~mask
        self.done = not self.alive.any()

    def barrier(self, mask: Array, target: int) -> None:
        if not (mask == self.alive).all():
            raise Fault(f"some lanes of warp {self.number} are not at the barrier")
        self.waiting = target
        self.go(mask, target)

    def converged(self, mask: Array) -> None:
        if not mask.all():
            raise Fault(f"lanes of warp {self.number} miss at an instruction of whole warps")

    def shuffle(self, mask: Array, mode: str, values: Array, by: Array, clamp: Array) -> Array:
        self.converged(mask)
        if mode == "bfly":
            source = _LANES ^ by.astype(np.int64)
        elif mode == "idx":
            source = by.astype(np.int64) & 31
        elif mode == "down":
            source = np.where(_LANES + by > 31, _LANES, _LANES + by)
        else:
            source = np.where(by > _LANES, _LANES, _LANES - by.astype(np.int64))
        if (clamp & 0x1F00).any():
            raise Fault("shuffles of parts of a warp are not simulated")
        return values[source]

    def vote(self, mask: Array, mode: str, predicate: Array) -> Array:
        self.converged(mask)
        if mode == "ballot":
            return np.full(32, int((predicate.astype(np.uint64) << _LANES.astype(np.uint64)).sum()), np.uint32)
        return np.full(32, {"any": predicate.any(), "all": predicate.all()}[mode])

    def parameter(self, address: Array, dtype: Any, element: int) -> Array:
        return self._block.machine.parameter(int(address[0]), dtype, element)

    def copy_async(self, mask: Array, shared: Array, source: Array, size: int) -> None:
        at = self.shared.begin_copy(shared, mask, size, self.number)
        self._copies.append((at, self.heap.rows(source, mask, size, self.number)))

    def copies_commit_group(self) -> None:
        self._groups.append(self._copies)
        self._copies = []

    def copies_wait_group(self, left: int) -> None:
        while len(self._groups) > left:
            for at, rows in self._groups.popleft():
                self.shared.finish_copy(at, rows)

    def copies_wait_all(self) -> None:
        self.copies_commit_group()
        self.copies_wait_group(0)

    def load_matrices(self, mask: Array, addresses: Array, count: int) -> list[Array]:
        self.converged(mask)
        lanes = 8 * count > _LANES
        return load_matrices(self.shared.rows(addresses, lanes, 16, self.number), count)


class _Block:
    def __init__(
        self,
        machine: Machine,
        program: Program,
        index: tuple[int, ...],
        grid: Sequence[int],
        threads: Sequence[int],
        shared: int,
    ) -> None:
        self.machine, self.program, self.threads = machine, program, threads
        size = program.kernel.shared_bytes + shared
        if size > _SHARED_BYTES:
            raise Fault(f"a block cannot have {size} bytes of shared memory")
        self.shared = Memory("shared", size, 0, machine.clock)
        self.shared.allow(0, size)
        self.special = {}
        for name, values in (("ctaid", index), ("nctaid", grid), ("ntid", threads)):
            for axis, value in zip("xyz", values, strict=True):
                self.special[f"%{name}.{axis}"] = np.full(32, value)
        count = threads[0] * threads[1] * threads[2]
        self.warps = [Warp(self, i, count) for i in range(-(-count // 32))]

    def run(self) -> None:
        random_ = self.machine.random
        while True:
            ready = [warp for warp in self.warps if not warp.done and warp.waiting is None]
            if not ready:
                waiting = [warp for warp in self.warps if not warp.done]
                if not waiting:
                    return
                if len({warp.waiting for warp in waiting}) > 1:
                    raise Fault("warps wait at different barriers")
                for warp in waiting:
                    warp.waiting = None
                self.machine.clock.barrier()
                continue
            warp = random_.choice(ready)
            for _ in range(random_.choice((1, 20, 1000))):
                warp.step()
                self.machine.steps += 1
                if warp.waiting is not None or warp.done:
                    break


class Machine:
    """A device that runs kernels from PTX text.

    Parameters
    ----------
    ptx
        A module, as nvcc or NVRTC wrote it.
    memory
        Bytes of global memory.
    seed
        Of the order in which blocks and warps run.
    """

    def __init__(self, ptx: str, memory: int = 1 << 24, seed: int = 0) -> None:
        self.ptx = ptx
        self.clock = Clock()
        self.heap = Heap(memory, self.clock)
        self.random = random.Random(seed)
        self.steps = 0  # basic blocks executed
        self._arguments = b""
        self._cached: dict[tuple[int, Any, int], Array] = {}

    def program(self, name: str) -> Program:
        return _program(self.ptx, name)

    def launch(
        self, name: str, grid: Sequence[int], threads: Sequence[int], arguments: Sequence[Any], shared: int = 0
    ) -> None:
        """Run a kernel; `arguments` are bytes, one object a parameter, or integers."""
        program = self.program(name)
        self._arguments = _packed(program, arguments)
        self._cached = {}
        self.clock.launch()
        blocks = [(x, y, z) for z in range(grid[2]) for y in range(grid[1]) for x in range(grid[0])]
        self.random.shuffle(blocks)
        with np.errstate(all="ignore"):
            for index in blocks:
                self.clock.block()
                _Block(self, program, index, grid, threads, shared).run()

    def parameter(self, address: int, dtype: Any, element: int) -> Array:
        key = (address, dtype, element)
        if key not in self._cached:
            at = address + element * np.dtype(dtype).itemsize
            value = np.frombuffer(self._arguments, dtype, 1, at)
            self._cached[key] = np.repeat(value, 32)
        return self._cached[key]


def _packed(program: Program, arguments: Sequence[Any]) -> bytes:
    packed = bytearray(program.kernel.parameter_bytes)
    for variable, argument in zip(program.kernel.parameters.values(), arguments, strict=True):
        data = argument if isinstance(argument, bytes) else struct.pack("<q", argument)[: variable.size]
        if len(data) != variable.size:
            raise Fault(f"a parameter of {variable.size} bytes got {len(data)}")
        packed[variable.offset : variable.offset + variable.size] = data
    return bytes(packed)


def _split(thread: Array, threads: Sequence[int]) -> tuple[Array, Array, Array]:
    x = thread % threads[0]
    return x, thread // threads[0] % threads[1], thread // (threads[0] * threads[1])
