"""Threads: the same bits for any number of them, concurrent callers, forks, signals, and the interpreter's lock."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from aigc_fast import (
    _core,
    cosine_similarity,
    cosine_threshold,
    cosine_topk,
    get_num_threads,
    normalize,
    set_num_threads,
)

from . import reference
from .checks import assert_same_bits, assert_same_results
from .subprocesses import failing_python, run_python, start_python
from .ways import ISAS, PATHS, Way, taking

X = np.random.default_rng(0).normal(size=(3000, 24)).astype(np.float32)
X[::50] = X[0]  # ties


@pytest.mark.parametrize("query_count", [1, 4, 5, 70])
@pytest.mark.parametrize("isa", ISAS)
def test_any_number_gives_the_same_bits(isa: str, query_count: int) -> None:
    best = reference.topk(X[:query_count], X, 70)
    hits = reference.threshold(X[:query_count], X, 0.3)
    for threads in (1, 2, 3, 8):
        for path in PATHS:
            with taking(Way(isa, path, threads, 130)):
                assert_same_results(cosine_topk(X[:query_count], X, 70), best)
                assert_same_results(cosine_threshold(X[:query_count], X, 0.3), hits)


@pytest.mark.parametrize("num_threads", [1, 2, 3, 8, None])
def test_num_threads_argument(num_threads: int | None) -> None:
    """By the planner, on a job that is worth several threads."""
    rng = np.random.default_rng(1)
    q, x = rng.normal(size=(40, 16)).astype(np.float32), rng.normal(size=(60_000, 16)).astype(np.float32)
    best = cosine_topk(q, x, 10, num_threads=num_threads)
    dense = cosine_similarity(q, x, num_threads=num_threads)
    order = np.argsort(-dense, axis=1, kind="stable")[:, :10]
    assert best.ids.tolist() == order.tolist()
    assert_same_bits(best.scores, np.take_along_axis(dense, order, axis=1), "scores")


def test_concurrent_callers() -> None:
    """More callers than CPUs, each with jobs of its own that want several threads."""
    jobs = [(n, k, t) for n in (1, 100, 3000) for k in (1, 9, 80) for t in (1, 2, 5)] * 3
    expected = {(n, k): reference.topk(X[:9], X[:n], k) for n, k, _ in set(jobs)}

    def run(job: tuple[int, int, int]) -> None:
        n, k, threads = job
        assert_same_results(cosine_topk(X[:9], X[:n], k, num_threads=threads), expected[n, k])

    with taking(Way(ISAS[0], "f32", 3, 100)), ThreadPoolExecutor(8) as pool:
        list(pool.map(run, jobs))


LONG = {
    "topk": lambda x: cosine_topk(x[:300], x, 10, num_threads=1),
    "threshold": lambda x: cosine_threshold(x[:300], x, 0.99, num_threads=1),
    "similarity": lambda x: cosine_similarity(x[:150], x, num_threads=1),
    "normalize": lambda x: normalize(x, num_threads=1),
}


@pytest.mark.parametrize("name", LONG)
def test_the_interpreters_lock_is_released(name: str) -> None:
    """While one thread is inside a call, this one runs on: were the lock held, it could tick once or twice at most."""
    x = np.random.default_rng(0).normal(size=(100_000, 32)).astype(np.float32)
    ticks = []

    def call() -> None:
        started.set()
        begin = time.perf_counter()
        LONG[name](x)
        inside.append((begin, time.perf_counter()))

    started, inside = threading.Event(), []
    with taking(Way("scalar", None)):
        thread = threading.Thread(target=call)
        thread.start()
        started.wait()
        while thread.is_alive():
            ticks.append(time.perf_counter())
            time.sleep(0.0005)
        thread.join()
    begin, end = inside[0]
    assert end - begin > 0.01, "too short a call to tell"
    assert sum(begin < tick < end for tick in ticks) >= 5


PRELUDE = """
import multiprocessing, os, sys, threading, time
import numpy as np
from aigc_fast import _core, cosine_topk
x = np.random.default_rng(0).normal(size=(20_000, 16)).astype(np.float32)
def search():
    return cosine_topk(x[:20], x, 5, num_threads=2)
_core.override_plan(threads=2)  # the pool's threads exist before the fork
expected = search()
def same(found):
    return all(a.tobytes() == b.tobytes() for a, b in zip(found, expected))
"""


def test_multiprocessing_fork_after_a_search() -> None:
    code = """
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    results = [pool.apply_async(search) for _ in range(6)]
    print(all(same(result.get(timeout=30)) for result in results))
"""
    assert run_python(PRELUDE + code, timeout=60) == "True"


def test_fork_while_another_thread_searches() -> None:
    code = """
stop = False
def keep_searching():
    while not stop:
        search()
threads = [threading.Thread(target=keep_searching) for _ in range(2)]
for thread in threads: thread.start()
codes = []
for _ in range(25):
    time.sleep(0.003)
    child = os.fork()
    if child == 0:
        os._exit(0 if same(search()) and same(search()) else 3)
    deadline = time.monotonic() + 20
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid: codes.append(os.waitstatus_to_exitcode(status)); break
        if time.monotonic() > deadline:
            os.kill(child, 9); os.waitpid(child, 0); codes.append("hangs"); break
        time.sleep(0.001)
stop = True
for thread in threads: thread.join()
print(set(codes), same(search()))
"""
    assert run_python(PRELUDE + code, timeout=100) == "{0} True"


@pytest.mark.parametrize(
    "call",
    [
        "cosine_topk(x, x[:20_000], 10)",
        "cosine_threshold(x, x[:20_000], 0.99)",
        "cosine_topk(x[:1], np.broadcast_to(-x[:1], (2_000_000_000, 64)), 10, threshold=0.5)",  # one row, many times
        "cosine_topk(x[:1], np.broadcast_to(-x[:1], (2_000_000_000, 64)), 10, threshold=0.5, num_threads=1)",
    ],
    ids=["topk", "threshold", "one query", "one query, one thread"],
)
def test_ctrl_c(call: str) -> None:
    """A search of a minute or more ends soon after SIGINT, with KeyboardInterrupt, and the library works on."""
    code = f"""
import signal, time, numpy as np
from aigc_fast import cosine_topk, cosine_threshold
signal.signal(signal.SIGINT, signal.default_int_handler)
x = np.random.default_rng(0).normal(size=(200_000, 64)).astype(np.float32)
print("ready", flush=True)
try:
    {call}
except KeyboardInterrupt:
    print("interrupted", cosine_topk(x[:1], x[:9], 1).ids.tolist(), flush=True)
"""
    process = start_python(code, AIGC_FAST_ISA="scalar")
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        time.sleep(0.4)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=40)
    finally:
        process.kill()
    assert printed.strip() == "interrupted [[0]]", errors
    # A tenth of a second, and what the other threads have begun; the rest is for busy machines.
    assert time.monotonic() - sent < 30


@pytest.mark.parametrize(
    "call",
    ["index.topk(x[:2000], 10)", "CosineIndex(x)", "cosine_similarity(x[:2000])", "sparse_cosine_topk(rows, k=5)"],
)
def test_exit_while_a_daemon_thread_computes(call: str) -> None:
    """The thread wants the interpreter's lock back when there is no interpreter left; the process ends all the same."""
    code = f"""
import threading, time, numpy as np
from scipy.sparse import random
from aigc_fast import CosineIndex, cosine_similarity, sparse_cosine_topk
x = np.random.default_rng(0).normal(size=(20_000, 32)).astype(np.float32)
rows = random(5000, 500, density=0.05, format="csr", random_state=0)
index = CosineIndex(x)
def work():
    while True: {call}
threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
print("end")
"""
    assert run_python(code, timeout=60) == "end"


def thread_count(code: str, **variables: str) -> int:
    program = f"""
import os, numpy as np
from aigc_fast import cosine_topk
before = len(os.listdir("/proc/self/task"))
x = np.random.default_rng(0).normal(size=(40_000, 16)).astype(np.float32)
{code}
print(len(os.listdir("/proc/self/task")) - before)
"""
    return int(run_python(program, **variables))


def test_threads_are_started_only_where_wanted() -> None:
    assert thread_count("cosine_topk(x[:50], x, 5, num_threads=1)") == 0
    assert thread_count("cosine_topk(x[:1], x[:1000], 5, num_threads=64)") == 0  # too little work
    assert thread_count("cosine_topk(x[:500], x, 5, num_threads=3)") == 2
    assert thread_count("[cosine_topk(x[:500], x, 5, num_threads=3) for _ in range(5)]") == 2
    assert thread_count("cosine_topk(x[:500], x, 5)", AIGC_FAST_NUM_THREADS="4") == 3


def test_default_num_threads() -> None:
    assert 1 <= get_num_threads() <= len(os.sched_getaffinity(0))
    code = "import aigc_fast as a; print(a.get_num_threads()); a.set_num_threads(5); print(a.get_num_threads())"
    assert run_python(code, AIGC_FAST_NUM_THREADS="3").split() == ["3", "5"]
    one_cpu = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    assert run_python(one_cpu + "import aigc_fast as a; print(a.get_num_threads())") == "1"


@pytest.mark.parametrize("value", ["0", "-2", "two", "3.5", "3x", "99999999999999999999"])
def test_wrong_environment_variable(value: str) -> None:
    message = failing_python("import aigc_fast as a; a.get_num_threads()", AIGC_FAST_NUM_THREADS=value)
    assert message == f"ValueError: AIGC_FAST_NUM_THREADS='{value}' is not a number of threads from 1 to 4096"


@pytest.mark.parametrize(
    ("num_threads", "error", "message"),
    [
        (0, ValueError, "num_threads must be at least 1, got 0"),
        (-3, ValueError, "num_threads must be at least 1, got -3"),
        (1.5, TypeError, "num_threads must be an integer, got float"),
        ("2", TypeError, "num_threads must be an integer, got str"),
        (2**40, ValueError, "num_threads must be .*, got 1099511627776"),
    ],
)
def test_wrong_num_threads(num_threads: Any, error: type[Exception], message: str) -> None:
    calls = (
        lambda: cosine_topk(X, X, 1, num_threads=num_threads),
        lambda: cosine_threshold(X, X, 0.5, num_threads=num_threads),
        lambda: cosine_similarity(X, num_threads=num_threads),
        lambda: normalize(X, num_threads=num_threads),
    )
    for call in calls:
        with pytest.raises(error, match=message):
            call()


def test_wrong_default_num_threads() -> None:
    before = get_num_threads()
    for wrong, message in ((0, "at least 1, got 0"), (10_000, "at most 4096, got 10000")):
        with pytest.raises(ValueError, match=f"num_threads must be {message}"):
            set_num_threads(wrong)
    assert get_num_threads() == before


def test_an_absurd_number_of_threads_is_no_harm() -> None:
    """More threads than the system could give: those that are there do the work."""
    with taking(Way(ISAS[0], "f32", 0, 100)):
        assert_same_results(cosine_topk(X[:9], X, 5, num_threads=500), reference.topk(X[:9], X, 5))
    assert _core.get_num_threads() >= 1
