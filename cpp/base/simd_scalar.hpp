// The scalar reference of the vector types that kernels are written in: the same interface, plain loops.
// Included by scalar kernel files only; see simd_avx2.hpp and simd_avx512.hpp for the others.
#pragma once

#include <cstddef>
#include <cstdint>

namespace {

// Eight float64 partial sums: lane l holds elements l, l+8, l+16, ... (the canonical score's order).
struct F64x8 {
    // A tile of so many rows by so many keeps its sums in registers; a divisor of four.
    static constexpr std::size_t tile_rows = 4;
    static constexpr std::size_t pair_rows = 4;  // so many against one key
    double lane[8];

    static F64x8 zero() { return {}; }
    template <class T>
    static F64x8 load(const T* p) {
        F64x8 v;
        for (int l = 0; l < 8; ++l) v.lane[l] = static_cast<double>(p[l]);
        return v;
    }
    template <class T>
    static F64x8 load_tail(const T* p, std::size_t count) {
        F64x8 v = zero();
        for (std::size_t l = 0; l < count; ++l) v.lane[l] = static_cast<double>(p[l]);
        return v;
    }
    static F64x8 fma(F64x8 a, F64x8 b, F64x8 c) {
        for (int l = 0; l < 8; ++l) c.lane[l] = __builtin_fma(a.lane[l], b.lane[l], c.lane[l]);
        return c;
    }
    double sum() const {
        return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
    }
};

// One "vector" of floats for the scans.
struct F32 {
    static constexpr std::size_t width = 1;
    float value;

    static F32 zero() { return {0.0f}; }
    static F32 load(const float* p) { return {*p}; }
    static F32 load_tail(const float*, std::size_t) { return zero(); }
    static F32 broadcast(float x) { return {x}; }
    static F32 fma(F32 a, F32 b, F32 c) { return {a.value * b.value + c.value}; }
    static F32 mul(F32 a, F32 b) { return {a.value * b.value}; }
    static F32 sub(F32 a, F32 b) { return {a.value - b.value}; }
    // A bit per lane: not (a < b), which is true where either is NaN.
    static std::uint32_t not_less(F32 a, F32 b) { return !(a.value < b.value); }
    void store(float* p) const { *p = value; }
    float sum() const { return value; }
};

}  // namespace
