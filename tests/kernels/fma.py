"""Exact fused multiply-add over NumPy arrays: round(a * b + c) with one rounding.

The fast way follows Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using
rounding to odd" (IEEE Transactions on Computers 57, 2008), section 5; it is valid while nothing underflows or
overflows. Other elements go through rational arithmetic.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

_SPLIT = 2.0**27 + 1.0
# Products of factors within these limits, and their rounding errors, are normal numbers.
_SMALLEST, _LARGEST = 2.0**-400, 2.0**400


def fma_scalar(a: float, b: float, c: float) -> float:
    """One fused multiply-add by rational arithmetic; slow, and obviously right."""
    if not (math.isfinite(a) and math.isfinite(b)):
        return a * b + c
    if not math.isfinite(c):
        return c  # also where the product alone would overflow
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        # Exact zeros carry the sign of the sum of two zeros, or plus after a cancellation.
        return math.copysign(0.0, a) * math.copysign(1.0, b) + c if a * b == 0 and c == 0 else 0.0
    try:
        return exact.numerator / exact.denominator  # correctly rounded, underflow included
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _two_sum(a: Float64, b: Float64) -> tuple[Float64, Float64]:
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def _two_product(a: Float64, b: Float64) -> tuple[Float64, Float64]:
    product = a * b
    a_high = _SPLIT * a - (_SPLIT * a - a)
    b_high = _SPLIT * b - (_SPLIT * b - b)
    a_low, b_low = a - a_high, b - b_high
    error = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
    return product, error


def _round_to_odd(a: Float64, b: Float64) -> Float64:
    """a + b; where it is not exact, the one of the two neighbours whose last bit is odd."""
    total, error = _two_sum(a, b)
    bits = total.view(np.int64)
    adjust = (error != 0) & (bits % 2 == 0)
    away_from_zero = (error > 0) == (total > 0)
    return (bits + np.where(adjust, np.where(away_from_zero, 1, -1), 0)).view(np.float64)


def fma(a: Float64, b: Float64, c: Float64) -> Float64:
    """round(a * b + c), element by element."""
    a, b, c = (np.ascontiguousarray(x) for x in np.broadcast_arrays(a, b, c))

    def ordinary(x: Float64) -> npt.NDArray[np.bool_]:
        return (x == 0) | ((np.abs(x) >= _SMALLEST) & (np.abs(x) <= _LARGEST))

    with np.errstate(all="ignore"):
        product, product_error = _two_product(a, b)
        low, low_error = _two_sum(c, product_error)
        high, high_error = _two_sum(product, low)
        # Where the product is exact, the plain sum is right, signs of zeros included.
        result = np.where(product_error == 0, product + c, high + _round_to_odd(low_error, high_error))
    hard = ~(ordinary(a) & ordinary(b) & ((c == 0) | ((np.abs(c) >= 2.0**-900) & (np.abs(c) <= 2.0**900))))
    if hard.any():
        result[hard] = [fma_scalar(*x) for x in zip(a[hard].tolist(), b[hard].tolist(), c[hard].tolist(), strict=True)]
    return result
