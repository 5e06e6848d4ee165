// Rounding to bfloat16 and back, as AVX512_BF16's instructions do it: to nearest even, subnormal numbers to zero.
#pragma once

#include <cstdint>

namespace {

inline std::uint16_t bf16_of(float x) {
    std::uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7f800000u) == 0) return 0;
    return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

inline float float_of(std::uint16_t bf16) {
    const std::uint32_t bits = static_cast<std::uint32_t>(bf16) << 16;
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

}  // namespace
