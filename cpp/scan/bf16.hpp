// The bf16 scan: rows and queries rounded to bfloat16, multiplied exactly and added up in float32.
//
// The proof is that of the int8 scan with scales of 1: x~ = c + r, q = d + u, and |x~.q - c.d| <= rho + reach * sigma.
// Rounding to 8 bits of significand leaves at most 2^-8 of each element, so the bound is about five times tighter than
// int8's, for twice the bytes and half the speed. Where it is not int8's, c.d is not exact: sums start at -threshold,
// no further from 0 than 2 * reach, and each of d additions rounds what is below 3.1 * reach by 2^-24 of it. So
// (d + 16) * 3.125 * 2^-24 joins sigma; 16 covers the estimate's own roundings and products lost to underflow.
#pragma once

#include <cstddef>
#include <cstdint>

#include "scan/codes.hpp"

namespace aigc_fast {

inline double bf16_sum_rounding(std::size_t dim) { return static_cast<double>(dim + 16) * 0x1.9p-23; }

extern const CodeScanKernels bf16_scan_scalar;
extern const CodeScanKernels bf16_scan_avx512;

}  // namespace aigc_fast
