"""The simulator itself, on kernels of a few instructions."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.fma import fma_scalar

from . import Fault, Machine, UnsupportedError
from .arithmetic import (
    divide,
    dot_bytes,
    fma_f32,
    fma_f64,
    mma_s8,
    permute_bytes,
    round_up_f32,
    shift_right,
    to_integer,
)

HEAD = """
.visible .entry k(.param .u64 k_param_0) {
    .reg .pred %p<9>; .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .f32 %f<9>;
    .shared .align 4 .b8 buffer[512];
    ld.param.u64 %rd1, [k_param_0];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd2, %r1, 4;
    add.s64 %rd3, %rd1, %rd2;
    shl.b32 %r2, %r1, 2;
    mov.u32 %r3, buffer;
    add.s32 %r4, %r3, %r2;
"""


def run(body: str, threads: int = 64, out: int = 256, seed: int = 0, blocks: int = 1) -> bytes:
    machine = Machine(HEAD + body + "ret;\n}", 1 << 16, seed)
    address = machine.heap.allocate(out)
    assert address is not None
    machine.launch("k", (blocks, 1, 1), (threads, 1, 1), [address])
    return machine.heap.memory.read(address, out)


def test_every_thread_writes_its_number() -> None:
    assert np.frombuffer(run("st.global.u32 [%rd3], %r1;"), np.uint32).tolist() == list(range(64))


def test_branches_and_loops_join_again() -> None:
    body = """
        mov.u32 %r5, 0;
    $loop:
        setp.ge.u32 %p1, %r5, %r1;
        @%p1 bra $done;
        add.s32 %r5, %r5, 1;
        bra.uni $loop;
    $done:
        shfl.sync.bfly.b32 %r6|%p2, %r5, 1, 31, -1;
        st.global.u32 [%rd3], %r6;
    """
    assert np.frombuffer(run(body), np.uint32).tolist() == [i ^ 1 for i in range(64)]


EXCHANGE = "st.shared.u32 [%r4], %r1; {} ld.shared.u32 %r5, [buffer+128]; st.global.u32 [%rd3], %r5;"


def test_a_barrier_orders_warps() -> None:
    for seed in range(8):
        assert set(np.frombuffer(run(EXCHANGE.format("bar.sync 0;"), seed=seed), np.uint32).tolist()) == {32}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (EXCHANGE.format(""), "race in shared memory|shared memory is read undefined"),
        ("ld.shared.u32 %r5, [%r4];", "shared memory is read undefined"),
        ("ld.global.u32 %r5, [%rd3];", "global memory is read undefined"),
        ("st.global.u32 [%rd3+4], %r1;", "global memory is written out of bounds"),
        ("st.global.u32 [%rd3+2], %r1;", "misaligned"),
        ("st.shared.u32 [%r4+512], %r1;", "shared memory is written out of bounds"),
        ("st.global.u32 [%rd1], %r1;", "lanes of warp . write the same global address"),
        ("setp.lt.u32 %p1, %r1, 5; @%p1 bar.sync 0;", "not at the barrier"),
        ("setp.lt.u32 %p1, %r1, 5; @%p1 ret; shfl.sync.bfly.b32 %r6|%p2, %r1, 1, 31, -1;", "miss at"),
    ],
)  # fmt: skip
def test_faults(body: str, message: str) -> None:
    with pytest.raises(Fault, match=message):  # noqa: PT012
        for seed in range(4):
            run(body, seed=seed)


def test_blocks_that_write_the_same_word_race() -> None:
    with pytest.raises(Fault, match="another block"):
        run("st.global.u32 [%rd3], %r1;", blocks=2)
    body = "atom.global.add.u32 %r5, [%rd1], 1;"
    machine = Machine(HEAD + body + "ret;\n}", 1 << 16)
    address = machine.heap.allocate(4)
    assert address is not None
    machine.heap.memory.write(address, bytes(4))
    machine.launch("k", (3, 1, 1), (64, 1, 1), [address])
    assert machine.heap.memory.read(address, 4) == (192).to_bytes(4, "little")


def test_unknown_instructions_are_named() -> None:
    with pytest.raises(UnsupportedError, match=r"ex2\.approx"):
        run("ex2.approx.f32 %f1, %f2;")


def test_multiply_add_rounds_once() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 32)) * 10.0 ** rng.integers(-9, 9, (3, 32))
    assert fma_f64(a, b, c).tolist() == [fma_scalar(*x) for x in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)]
    # 1 + 2^-24 is a tie of float32, and 2^-60 decides it: rounding to float64 first would lose that.
    one, half_ulp, tiny = np.float32(1), np.float32(2.0**-12), np.float32(2.0**-30)
    tie = fma_f32(*(np.full(32, x) for x in (half_ulp, half_ulp, one)))
    assert tie.tolist() == [1.0] * 32
    above = fma_f32(np.full(32, tiny), np.full(32, tiny), np.full(32, one))
    assert above.tolist() == [1.0] * 32


def test_integers() -> None:
    a, b = np.full(32, -7, np.int32), np.full(32, 2, np.int32)
    assert set(divide(a, b).tolist()) == {-3}
    assert set(shift_right(a, np.full(32, 40, np.uint32)).tolist()) == {-1}
    x, y = np.full(32, 0x33221100, np.uint32), np.full(32, 0x77665544, np.uint32)
    assert set(permute_bytes(x, y, np.full(32, 0x7410, np.uint32)).tolist()) == {0x77441100}


def test_byte_dot_products() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(-128, 128, (2, 32, 4), np.int8)
    c = rng.integers(-1000, 1000, 32).astype(np.int32)
    expected = (a.astype(int) * b.astype(int)).sum(1) + c
    flat = [x.copy().view(np.uint32)[:, 0] for x in (a, b)]
    assert dot_bytes(*flat, c, np.int8, np.int8).tolist() == expected.tolist()


def test_conversions() -> None:
    x = np.array([1.5, -1.5, np.nan, 1e300, -1e300, 2.0**31 - 0.5])
    assert to_integer(np.trunc(x), np.int32).tolist() == [1, -1, 0, 2**31 - 1, -(2**31), 2**31 - 1]
    assert to_integer(np.trunc(x), np.int64).tolist() == [1, -1, 0, 2**63 - 1, -(2**63), 2**31 - 1]
    up = round_up_f32(np.array([1.0, 1 + 2.0**-40, -1 - 2.0**-40, 2.0**-200]))
    assert up.tolist() == [1.0, 1 + 2.0**-23, -1.0, 2.0**-149]


COPY = """
    cp.async.ca.shared.global [%r4], [%rd3], 4;
    cp.async.commit_group;
    {}
    ld.shared.u32 %r5, [%r4];
    st.global.u32 [%rd3], %r5;
"""


def test_a_copy_arrives_with_its_group() -> None:
    run("st.global.u32 [%rd3], %r1;" + COPY.format("cp.async.wait_group 0;"))
    empty = "cp.async.commit_group;"
    run("st.global.u32 [%rd3], %r1;" + COPY.format(empty + "cp.async.wait_group 1;"))
    for too_few in ("cp.async.wait_group 1;", empty + "cp.async.wait_group 2;"):
        with pytest.raises(Fault, match="before its copy was waited for"):
            run("st.global.u32 [%rd3], %r1;" + COPY.format(too_few))


def test_tensor_core_product() -> None:
    rng = np.random.default_rng(1)
    left, right = rng.integers(-128, 128, (16, 32), np.int8), rng.integers(-128, 128, (32, 8), np.int8)
    lanes = np.arange(32)
    a = [
        left[lanes // 4 + 8 * (i % 2)].reshape(32, 8, 4)[lanes, lanes % 4 + 4 * (i // 2)].copy().view(np.uint32)[:, 0]
        for i in range(4)
    ]
    b = [
        right.T.copy()[lanes // 4].reshape(32, 8, 4)[lanes, lanes % 4 + 4 * i].copy().view(np.uint32)[:, 0]
        for i in range(2)
    ]
    d = mma_s8(a, b, [np.zeros(32, np.uint32)] * 4)
    product = left.astype(int) @ right.astype(int)
    for i, register in enumerate(d):
        assert register.view(np.int32).tolist() == product[lanes // 4 + 8 * (i // 2), lanes % 4 * 2 + i % 2].tolist()
