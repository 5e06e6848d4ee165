"""A CUDA driver without a GPU: the functions that ``_cuda`` calls, over simulated memory, with launches run by ptxsim.

Nothing happens when it is enqueued. Streams run when the host waits for one, in random order but for events, so that
a wait that is missing shows as undefined memory, a race with the host, or a wrong result.
"""

from __future__ import annotations

import contextlib
import ctypes
import random
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from ctypes import c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

from aigc_fast import _cuda
from ptxsim import Machine

SUCCESS, OUT_OF_MEMORY, NO_DEVICE, NO_BINARY, ILLEGAL_ADDRESS, CAPTURE_UNSUPPORTED = 0, 2, 100, 209, 700, 900
_NOT_CAPTURED = {"cuStreamSynchronize", "cuMemAlloc_v2", "cuMemFree_v2", "cuModuleLoadData"}
_ALIASES = {0: 1}  # the legacy stream's two names


def _function(symbol: str, *types: Any) -> Callable[[Any], Any]:
    """A method that stands for a function of the driver with parameters of these types."""

    def mark(method: Any) -> Any:
        method.symbol, method.types = symbol, types
        return method

    return mark


class FakeDriver:
    """Install it with ``with``.

    Parameters
    ----------
    code
        PTX of the kernels.
    devices
        Number of GPUs (they share the simulated memory's addresses, each has its own contents).
    version
        Of CUDA, as the driver reports it.
    room
        Bytes that may be allocated at a time; memory that a stream frees is free for whatever comes on it later.
    """

    def __init__(
        self, code: str, *, devices: int = 1, version: int = 13000, capability: int = 90, memory: int = 1 << 23,
        room: int = 1 << 40, seed: int = 0, takes_images: bool = True,
    ) -> None:  # fmt: skip
        self.machine = Machine(code, memory, seed)
        self.devices, self.version, self.capability, self.takes_images = devices, version, capability, takes_images
        self.calls: list[str] = []  # symbols, in order
        self.launches: list[tuple[str, int, int]] = []  # (kernel, stream, device), as they were enqueued
        self.room = room
        self.in_use = self.peak = 0  # bytes
        self.pooled = 0  # that the pool keeps beside these
        self.allocations = 0
        self.failing = range(0)  # numbers of allocations that find no room
        self.watch: Callable[[str, list[bytes]], None] = lambda kernel, arguments: None  # before each is run
        self.answers: dict[str, int] = {}  # errors that functions answer with instead of doing anything
        self.answers_once = False
        self.fault: BaseException | None = None
        functions = [f for f in vars(FakeDriver).values() if hasattr(f, "symbol")]
        self.functions = {f.symbol: f.__get__(self) for f in functions}
        self._random = random.Random(seed)
        self._streams: dict[int, deque[Callable[[], bool | None]]] = defaultdict(deque)
        self._events: dict[int, bool] = {}
        self._functions: list[str] = []
        self._shared: dict[int, int] = {}  # bytes that functions may have, where more than the usual 48 KiB
        self._running = False
        self._freed_meanwhile: list[int] = []
        self._capture: tuple[int, list[Callable[[], bool | None]]] | None = None  # stream, graph
        self._lock = threading.RLock()
        self._thread = threading.local()
        self._texts: list[Any] = []
        self._callbacks: dict[str, Any] = {}

    def __enter__(self) -> FakeDriver:  # noqa: PYI034  (Self needs Python 3.11)
        _cuda.replace_driver(self.addresses())
        return self

    def __exit__(self, *_: object) -> None:
        _cuda.replace_driver({})

    def addresses(self) -> dict[str, int]:
        """The table that ``replace_driver`` takes."""
        for symbol, method in self.functions.items():
            prototype = ctypes.CFUNCTYPE(c_int, *method.types)
            self._callbacks[symbol] = prototype(self._guarded(symbol, method))
        return {symbol: ctypes.cast(f, c_void_p).value or 0 for symbol, f in self._callbacks.items()}

    def _guarded(self, symbol: str, method: Callable[..., int | None]) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            with self._lock:
                self.calls.append(symbol)
                if self._capture is not None and symbol in _NOT_CAPTURED:
                    return CAPTURE_UNSUPPORTED
                if symbol in self.answers:
                    return self.answers.pop(symbol) if self.answers_once else self.answers[symbol]
                try:
                    return method(*arguments) or SUCCESS
                except Exception as error:  # an exception cannot pass through C
                    self.fault = self.fault or error
                    return ILLEGAL_ADDRESS

        return call

    @property
    def _contexts(self) -> list[int]:
        """Devices of the contexts that this thread pushed."""
        return self._thread.__dict__.setdefault("contexts", [])

    def allocate(self, size: int) -> int | None:
        """Return an address; None where there is no room."""
        number = self.allocations
        self.allocations += 1
        if number in self.failing or self.in_use + self.pooled + size > self.room:
            return None
        self.in_use += size
        self.peak = max(self.peak, self.in_use)
        return self.machine.heap.allocate(size)

    # Streams.

    @contextlib.contextmanager
    def capture(self, stream: int) -> Iterator[Callable[[], None]]:
        """Keep what is enqueued on a stream in a graph, and yield its replay; what would wait is refused meanwhile."""
        graph: list[Callable[[], bool | None]] = []
        self._capture = (stream, graph)
        try:
            yield lambda: self._streams[stream].extend(graph)
        finally:
            self._capture = None

    def _enqueue(self, stream: int | None, work: Callable[[], bool | None]) -> None:
        if self._capture is not None and stream == self._capture[0]:
            self._capture[1].append(work)
            return
        self._streams[_ALIASES.get(stream or 0, stream or 0)].append(work)

    def run(self, stream: int | None = None) -> None:
        """Run what is enqueued until a stream (None: every one) has nothing left."""
        wanted = None if stream is None else _ALIASES.get(stream, stream)
        self._running = True
        try:
            while any(self._streams.values()) if wanted is None else self._streams[wanted]:
                queues = [queue for queue in self._streams.values() if queue]
                self._random.shuffle(queues)
                for queue in queues:
                    if queue[0]() is not False:  # False: an event has not happened yet
                        queue.popleft()
                        break
                else:
                    raise RuntimeError("streams wait for each other")
        finally:
            self._running = False
        while self._freed_meanwhile:
            self._mem_free(self._freed_meanwhile.pop())

    # The driver's functions: without a return value they succeed.

    @_function("cuInit", c_uint)
    def _init(self, flags: int) -> int:
        return SUCCESS if self.devices else NO_DEVICE

    @_function("cuDriverGetVersion", ctypes.POINTER(c_int))
    def _driver_get_version(self, version: Any) -> None:
        version[0] = self.version

    @_function("cuGetErrorName", c_int, ctypes.POINTER(c_char_p))
    def _get_error_name(self, status: int, name: Any) -> None:
        names = {
            OUT_OF_MEMORY: b"CUDA_ERROR_OUT_OF_MEMORY",
            NO_BINARY: b"CUDA_ERROR_NO_BINARY_FOR_GPU",
            ILLEGAL_ADDRESS: b"CUDA_ERROR_ILLEGAL_ADDRESS",
            CAPTURE_UNSUPPORTED: b"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
        }
        self._texts.append(names.get(status, f"CUDA_ERROR_{status}".encode()))
        name[0] = self._texts[-1]

    @_function("cuGetErrorString", c_int, ctypes.POINTER(c_char_p))
    def _get_error_string(self, status: int, text: Any) -> None:
        self._texts.append(str(self.fault or "").encode())
        text[0] = self._texts[-1]

    @_function("cuDeviceGetCount", ctypes.POINTER(c_int))
    def _device_get_count(self, count: Any) -> None:
        count[0] = self.devices

    @_function("cuDeviceGet", ctypes.POINTER(c_int), c_int)
    def _device_get(self, device: Any, ordinal: int) -> None:
        device[0] = ordinal

    @_function("cuDeviceGetName", c_void_p, c_int, c_int)
    def _device_get_name(self, name: int, length: int, device: int) -> None:
        text = f"Simulated GPU {device}".encode()
        assert len(text) < length
        ctypes.memmove(name, text, len(text))

    @_function("cuDeviceGetAttribute", ctypes.POINTER(c_int), c_int, c_int)
    def _device_get_attribute(self, value: Any, attribute: int, device: int) -> None:
        value[0] = {75: self.capability // 10, 76: self.capability % 10}[attribute]

    @_function("cuPointerGetAttribute", ctypes.POINTER(c_int), c_int, c_uint64)
    def _pointer_get_attribute(self, value: Any, attribute: int, pointer: int) -> None:
        assert attribute == 9
        value[0] = 0

    @_function("cuDevicePrimaryCtxRetain", ctypes.POINTER(c_void_p), c_int)
    def _device_primary_ctx_retain(self, context: Any, device: int) -> None:
        context[0] = device + 1

    @_function("cuCtxPushCurrent_v2", c_void_p)
    def _ctx_push_current(self, context: int) -> None:
        self._contexts.append(context - 1)

    @_function("cuCtxPopCurrent_v2", ctypes.POINTER(c_void_p))
    def _ctx_pop_current(self, context: Any) -> None:
        context[0] = self._contexts.pop() + 1

    @_function("cuModuleLoadData", ctypes.POINTER(c_void_p), c_void_p)
    def _module_load_data(self, module: Any, image: int) -> int:
        module[0] = self._contexts[-1] + 1
        return SUCCESS if self.takes_images or ctypes.string_at(image, 4) == b"\x7fELF" else NO_BINARY

    @_function("cuModuleGetFunction", ctypes.POINTER(c_void_p), c_void_p, c_char_p)
    def _module_get_function(self, function: Any, module: int, name: bytes) -> None:
        assert module == self._contexts[-1] + 1
        self._functions.append(name.decode())
        function[0] = len(self._functions)

    @_function("cuFuncSetAttribute", c_void_p, c_int, c_int)
    def _func_set_attribute(self, function: int, attribute: int, value: int) -> None:
        assert attribute == 8
        self._shared[function] = value

    @_function("cuLaunchKernel", c_void_p, *[c_uint] * 7, c_void_p, ctypes.POINTER(c_void_p), c_void_p)
    def _launch_kernel(self, function: int, *rest: Any) -> None:
        grid, threads, shared, stream, parameters, extra = rest[:3], rest[3:6], *rest[6:]
        name = self._functions[function - 1]
        assert extra is None
        assert all(grid)
        assert shared <= self._shared.get(function, 48 << 10)
        sizes = [parameter.size for parameter in self.machine.program(name).kernel.parameters.values()]
        packed = [ctypes.string_at(parameters[i], size) for i, size in enumerate(sizes)]
        self.launches.append((name, stream or 0, self._contexts[-1]))

        def run() -> None:
            self.watch(name, packed)
            self.machine.launch(name, grid, threads, packed, shared)

        self._enqueue(stream, run)

    @_function("cuMemPoolCreate", ctypes.POINTER(c_void_p), ctypes.POINTER(c_int))
    def _mem_pool_create(self, pool: Any, properties: Any) -> None:
        assert properties[:4] == [1, 0, 1, self._contexts[-1]]
        pool[0] = self._contexts[-1] + 1

    @_function("cuMemPoolSetAttribute", c_void_p, c_int, ctypes.POINTER(c_uint64))
    def _mem_pool_set_attribute(self, pool: int, attribute: int, value: Any) -> None:
        assert (attribute, value[0]) == (4, 1 << 30)

    @_function("cuMemPoolTrimTo", c_void_p, c_size_t)
    def _mem_pool_trim_to(self, pool: int, kept: int) -> None:
        assert kept == 0
        self.pooled = 0

    @_function("cuMemAllocFromPoolAsync", ctypes.POINTER(c_uint64), c_size_t, c_void_p, c_void_p)
    def _mem_alloc_from_pool_async(self, address: Any, size: int, pool: int, stream: int) -> int:
        assert pool == self._contexts[-1] + 1
        self.pooled -= min(self.pooled, size)
        return self._mem_alloc(address, size)

    @_function("cuMemAlloc_v2", ctypes.POINTER(c_uint64), c_size_t)
    def _mem_alloc(self, address: Any, size: int) -> int:
        place = self.allocate(size)
        if place is None:
            return OUT_OF_MEMORY
        address[0] = place
        return SUCCESS

    @_function("cuMemFreeAsync", c_uint64, c_void_p)
    def _mem_free_async(self, address: int, stream: int) -> None:
        size = self.machine.heap.size_of(address)
        self.in_use -= size
        self.pooled += size
        self._enqueue(stream, lambda: self.machine.heap.free(address))

    @_function("cuMemFree_v2", c_uint64)
    def _mem_free(self, address: int) -> None:
        if self._running:  # Python's collector came by while a kernel is simulated: as if the kernel had ended before
            self._freed_meanwhile.append(address)
            return
        self.run()
        self.in_use -= self.machine.heap.size_of(address)
        self.machine.heap.free(address)

    @_function("cuMemGetInfo_v2", ctypes.POINTER(c_size_t), ctypes.POINTER(c_size_t))
    def _mem_get_info(self, free: Any, total: Any) -> None:
        free[0], total[0] = 1000, self.machine.heap.memory.size

    @_function("cuMemcpyHtoDAsync_v2", c_uint64, c_void_p, c_size_t, c_void_p)
    def _memcpy_to_device_async(self, to: int, source: int, size: int, stream: int) -> None:
        self._enqueue(stream, lambda: self.machine.heap.memory.write(to, ctypes.string_at(source, size)))

    @_function("cuMemcpyDtoHAsync_v2", c_void_p, c_uint64, c_size_t, c_void_p)
    def _memcpy_to_host_async(self, to: int, source: int, size: int, stream: int) -> None:
        def copy() -> None:
            ctypes.memmove(to, self.machine.heap.memory.read(source, size), size)

        self._enqueue(stream, copy)

    @_function("cuStreamSynchronize", c_void_p)
    def _stream_synchronize(self, stream: int) -> None:
        self.run(stream or 0)

    @_function("cuEventCreate", ctypes.POINTER(c_void_p), c_uint)
    def _event_create(self, event: Any, flags: int) -> None:
        self._events[len(self._events) + 1] = False
        event[0] = len(self._events)

    @_function("cuEventRecord", c_void_p, c_void_p)
    def _event_record(self, event: int, stream: int) -> None:
        self._enqueue(stream, lambda: self._events.__setitem__(event, True))

    @_function("cuStreamWaitEvent", c_void_p, c_void_p, c_uint)
    def _stream_wait_event(self, stream: int, event: int, flags: int) -> None:
        self._enqueue(stream, lambda: self._events[event])

    @_function("cuEventDestroy_v2", c_void_p)
    def _event_destroy(self, event: int) -> None:
        assert event in self._events
