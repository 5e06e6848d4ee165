"""What PTX's instructions compute, on arrays of 32 lanes, where NumPy has no operation of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kernels.fma import fma as exact_fma

Array = npt.NDArray[Any]

_F32_TAIL = np.uint64(0x1FFFFFFF)  # the bits of a float64 that float32 has not
_F32_TIE = np.uint64(0x10000000)


def fma_f64(a: Array, b: Array, c: Array) -> Array:
    """Round a * b + c once."""
    a, b, c = np.broadcast_arrays(a, b, c)
    if not (((a.view(np.uint64) | b.view(np.uint64)) & _F32_TAIL).any()):  # float32 values: products are exact
        return a * b + c
    return exact_fma(a, b, c)


def fma_f32(a: Array, b: Array, c: Array) -> Array:
    """Round a * b + c once: float64 holds the product exactly, and rounding twice differs only from its ties."""
    a, b, c = (np.asarray(x, np.float64) for x in (a, b, c))
    product = a * b
    total = product + c
    ties = (total.view(np.uint64) & _F32_TAIL) == _F32_TIE
    if ties.any():
        high = total - product
        error = (product - (total - high)) + (c - high)  # of the sum (Knuth, The Art of Computer Programming 2, 4.2.2)
        total = np.where(
            ties & (error != 0) & np.isfinite(total), np.nextafter(total, total + np.copysign(np.inf, error)), total
        )
    return total.astype(np.float32)


def shift_left(a: Array, by: Array) -> Array:
    bits = a.dtype.itemsize * 8
    return np.where(by >= bits, a.dtype.type(0), a << np.minimum(by, bits - 1).astype(a.dtype))


def shift_right(a: Array, by: Array) -> Array:
    bits = a.dtype.itemsize * 8
    return (
        a >> np.minimum(by, bits - 1).astype(a.dtype)
        if a.dtype.kind == "i"
        else np.where(by >= bits, a.dtype.type(0), a >> np.minimum(by, bits - 1).astype(a.dtype))
    )


def high_half(a: Array, b: Array) -> Array:
    """The upper half of the product."""
    bits = a.dtype.itemsize * 8
    product = [(int(x) * int(y)) >> bits for x, y in zip(*np.broadcast_arrays(a, b), strict=True)]
    return np.array(product).astype(a.dtype)


def divide(a: Array, b: Array) -> Array:
    """Integer division towards zero; by zero, all bits are set."""
    b_or_one = np.where(b == 0, b.dtype.type(1), b)
    quotient = a // b_or_one
    if a.dtype.kind == "i":
        quotient += ((a % b_or_one != 0) & ((a < 0) != (b_or_one < 0))).astype(a.dtype)
    return np.where(b == 0, a.dtype.type(-1) if a.dtype.kind == "i" else np.iinfo(a.dtype).max, quotient)


def remainder(a: Array, b: Array) -> Array:
    return a - divide(a, b) * b


def leading_zeros(a: Array) -> Array:
    bits = a.dtype.itemsize * 8
    return np.array([bits - int(x).bit_length() for x in a], np.uint32)


def highest_bit(a: Array) -> Array:
    """Position of the highest set bit, all bits set where there is none."""
    return np.array([(int(x).bit_length() - 1) & 0xFFFFFFFF for x in a], np.uint32)


def highest_bit_shift(a: Array) -> Array:
    """How far to shift the highest set bit to the top (bfind.shiftamt)."""
    bits = a.dtype.itemsize * 8
    return np.array([bits - int(x).bit_length() if x else 0xFFFFFFFF for x in a], np.uint32)


def count_ones(a: Array) -> Array:
    return np.array([bin(int(x)).count("1") for x in a], np.uint32)


def reverse_bits(a: Array) -> Array:
    bits = a.dtype.itemsize * 8
    return np.array([int(f"{int(x):0{bits}b}"[::-1], 2) for x in a], a.dtype)


def insert_field(a: Array, b: Array, position: Array, length: Array) -> Array:
    """bfi: `length` low bits of a at `position` of b."""
    one = a.dtype.type(1)
    mask = ((one << length.astype(a.dtype)) - one) << position.astype(a.dtype)
    return (b & ~mask) | ((a << position.astype(a.dtype)) & mask)


def permute_bytes(a: Array, b: Array, selector: Array) -> Array:
    """prmt in its default mode."""
    pool = np.stack([a, b], 1).view(np.uint8).reshape(-1, 8)
    nibbles = selector[..., None] >> np.uint32([0, 4, 8, 12])
    values = np.take_along_axis(pool, np.broadcast_to(nibbles & 7, (32, 4)).astype(np.int64), 1)
    signs = np.where(values & 0x80, np.uint8(0xFF), np.uint8(0))
    return np.ascontiguousarray(np.where(nibbles & 8, signs, values)).view(np.uint32)[:, 0]


def logic3(a: Array, b: Array, c: Array, table: int) -> Array:
    """lop3: any function of three bits."""
    result = np.zeros(32, np.uint32)
    for i in range(8):
        if table >> i & 1:
            result = result | ((a if i & 4 else ~a) & (b if i & 2 else ~b) & (c if i & 1 else ~c))
    return result


def to_integer(x: Array, dtype: Any) -> Array:
    """Convert rounded floats, clamped to the type's range; NaN becomes 0."""
    if np.dtype(dtype).itemsize < 8:  # float64 has the type's ends
        info = np.iinfo(dtype)
        return np.where(np.isnan(x), 0, np.clip(x.astype(np.float64), info.min, info.max)).astype(dtype)
    info = np.iinfo(dtype)
    values = [
        0 if v != v else int(min(max(v, float(info.min)), float(info.max))) for v in x.astype(np.float64).tolist()
    ]
    return np.array([min(max(v, info.min), info.max) for v in values]).astype(dtype)


def round_up_f32(x: Array) -> Array:
    """Convert to the smallest float32 that is not below."""
    nearest = x.astype(np.float32)
    return np.where(nearest < x, np.nextafter(nearest, np.float32(np.inf)), nearest)


def dot_bytes(a: Array, b: Array, c: Array, left: Any, right: Any) -> Array:
    """dp4a: c plus the products of four bytes each."""
    a, b = (x.view(kind).reshape(32, 4).astype(np.int64) for x, kind in ((a, left), (b, right)))
    return (c + (a * b).sum(1)).astype(c.dtype)


_GROUP, _IN_GROUP = np.arange(32) // 4, np.arange(32) % 4
_COLUMNS = (_IN_GROUP * 4)[:, None] + np.arange(4)


def mma_s8(a: list[Array], b: list[Array], c: list[Array]) -> list[Array]:
    """mma.m16n8k32 of int8: fragments as the PTX manual lays them out over the lanes."""
    left = np.empty((16, 32), np.float32)  # holds the sums exactly, and multiplies fast
    right = np.empty((8, 32), np.float32)
    for i, register in enumerate(a):
        left[(_GROUP + 8 * (i % 2))[:, None], _COLUMNS + 16 * (i // 2)] = register.view(np.int8).reshape(32, 4)
    for i, register in enumerate(b):
        right[_GROUP[:, None], _COLUMNS + 16 * i] = register.view(np.int8).reshape(32, 4)
    product = (left @ right.T).astype(np.int32)
    return [
        (product[_GROUP + 8 * (i // 2), _IN_GROUP * 2 + i % 2] + register.view(np.int32)).view(np.uint32)
        for i, register in enumerate(c)
    ]


def load_matrices(rows: Array, count: int) -> list[Array]:
    """ldmatrix: 8 rows of 16 bytes a matrix, whose addresses came from lanes 8 i to 8 i + 7."""
    return [np.ascontiguousarray(rows[8 * i : 8 * i + 8]).view(np.uint32).reshape(32) for i in range(count)]
