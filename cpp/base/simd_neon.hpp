// The vector types of the NEON kernels (64-bit ARM); the interface is explained in simd_scalar.hpp. Registers have 128
// bits; two make a vector of floats, so that panels of queries are as wide as AVX2's.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace {

// NEON has no masked loads: the rest of a row is copied beside zeros.
template <class T>
struct Tail {
    T values[8] = {};
    Tail(const T* p, std::size_t count) {
        for (std::size_t l = 0; l < count; ++l) values[l] = p[l];
    }
};

struct F64x8 {
    static constexpr std::size_t tile_rows = 2;
    static constexpr std::size_t pair_rows = 2;
    float64x2_t pairs[4];  // lanes 0-1, 2-3, 4-5, 6-7

    static F64x8 zero() { return {{vdupq_n_f64(0.0), vdupq_n_f64(0.0), vdupq_n_f64(0.0), vdupq_n_f64(0.0)}}; }
    static F64x8 load(const double* p) {
        return {{vld1q_f64(p), vld1q_f64(p + 2), vld1q_f64(p + 4), vld1q_f64(p + 6)}};
    }
    static F64x8 load(const float* p) {
        const float32x4_t low = vld1q_f32(p);
        const float32x4_t high = vld1q_f32(p + 4);
        return {{vcvt_f64_f32(vget_low_f32(low)), vcvt_high_f64_f32(low), vcvt_f64_f32(vget_low_f32(high)),
                 vcvt_high_f64_f32(high)}};
    }
    template <class T>
    static F64x8 load_tail(const T* p, std::size_t count) {
        return load(Tail<T>(p, count).values);
    }
    static F64x8 fma(F64x8 a, F64x8 b, F64x8 c) {
        return {{vfmaq_f64(c.pairs[0], a.pairs[0], b.pairs[0]), vfmaq_f64(c.pairs[1], a.pairs[1], b.pairs[1]),
                 vfmaq_f64(c.pairs[2], a.pairs[2], b.pairs[2]), vfmaq_f64(c.pairs[3], a.pairs[3], b.pairs[3])}};
    }
    double sum() const {
        const float64x2_t low = vaddq_f64(pairs[0], pairs[2]);   // 0+4, 1+5
        const float64x2_t high = vaddq_f64(pairs[1], pairs[3]);  // 2+6, 3+7
        return vaddvq_f64(vaddq_f64(low, high));
    }
};

struct F32 {
    static constexpr std::size_t width = 8;
    float32x4_t low;   // lanes 0-3
    float32x4_t high;  // lanes 4-7

    static F32 zero() { return broadcast(0.0f); }
    static F32 load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
    static F32 load_tail(const float* p, std::size_t count) { return load(Tail<float>(p, count).values); }
    static F32 broadcast(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
    static F32 fma(F32 a, F32 b, F32 c) { return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)}; }
    static F32 mul(F32 a, F32 b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
    static F32 sub(F32 a, F32 b) { return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
    static std::uint32_t not_less(F32 a, F32 b) {
        const uint32x4_t low_bits = {1, 2, 4, 8};
        const uint32x4_t high_bits = {16, 32, 64, 128};
        const uint32x4_t less_low = vandq_u32(vcltq_f32(a.low, b.low), low_bits);
        const uint32x4_t less_high = vandq_u32(vcltq_f32(a.high, b.high), high_bits);
        return vaddvq_u32(vorrq_u32(less_low, less_high)) ^ 0xffu;
    }
    void store(float* p) const {
        vst1q_f32(p, low);
        vst1q_f32(p + 4, high);
    }
    float sum() const { return vaddvq_f32(vaddq_f32(low, high)); }
};

}  // namespace
