// The vector types of the AVX2 + FMA kernels; the interface is explained in simd_scalar.hpp.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace {

// All bits of the first `count` 32-bit lanes.
inline __m256i first_lanes_32(std::size_t count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes);
}

struct F64x8 {
    static constexpr std::size_t tile_rows = 2;
    static constexpr std::size_t pair_rows = 2;
    __m256d low;   // lanes 0-3
    __m256d high;  // lanes 4-7

    static F64x8 zero() { return {_mm256_setzero_pd(), _mm256_setzero_pd()}; }
    static F64x8 load(const double* p) { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
    static F64x8 load(const float* p) { return widen(_mm256_loadu_ps(p)); }
    static F64x8 load_tail(const float* p, std::size_t count) {
        return widen(_mm256_maskload_ps(p, first_lanes_32(count)));
    }
    static F64x8 load_tail(const double* p, std::size_t count) {
        const __m256i lanes = first_lanes_32(count);
        return {_mm256_maskload_pd(p, _mm256_cvtepi32_epi64(_mm256_castsi256_si128(lanes))),
                _mm256_maskload_pd(p + 4, _mm256_cvtepi32_epi64(_mm256_extracti128_si256(lanes, 1)))};
    }
    static F64x8 fma(F64x8 a, F64x8 b, F64x8 c) {
        return {_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
    }
    double sum() const {
        const __m256d by4 = _mm256_add_pd(low, high);  // 0+4, 1+5, 2+6, 3+7
        const __m128d by2 = _mm_add_pd(_mm256_castpd256_pd128(by4), _mm256_extractf128_pd(by4, 1));
        return _mm_cvtsd_f64(_mm_add_sd(by2, _mm_unpackhi_pd(by2, by2)));
    }

  private:
    static F64x8 widen(__m256 f32x8) {
        return {_mm256_cvtps_pd(_mm256_castps256_ps128(f32x8)), _mm256_cvtps_pd(_mm256_extractf128_ps(f32x8, 1))};
    }
};

struct F32 {
    static constexpr std::size_t width = 8;
    __m256 value;

    static F32 zero() { return {_mm256_setzero_ps()}; }
    static F32 load(const float* p) { return {_mm256_loadu_ps(p)}; }
    static F32 load_tail(const float* p, std::size_t count) { return {_mm256_maskload_ps(p, first_lanes_32(count))}; }
    static F32 broadcast(float x) { return {_mm256_set1_ps(x)}; }
    static F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.value, b.value, c.value)}; }
    static F32 mul(F32 a, F32 b) { return {_mm256_mul_ps(a.value, b.value)}; }
    static F32 sub(F32 a, F32 b) { return {_mm256_sub_ps(a.value, b.value)}; }
    static std::uint32_t not_less(F32 a, F32 b) {
        return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a.value, b.value, _CMP_NLT_UQ)));
    }
    void store(float* p) const { _mm256_storeu_ps(p, value); }
    float sum() const {
        const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps(value, 1));
        const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
        return _mm_cvtss_f32(_mm_add_ss(by2, _mm_movehdup_ps(by2)));
    }
};

}  // namespace
