// The vector types of the AVX-512 (F, BW, DQ, VL) kernels; the interface is explained in simd_scalar.hpp.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace {

struct F64x8 {
    static constexpr std::size_t tile_rows = 4;
    static constexpr std::size_t pair_rows = 8;
    __m512d value;

    static F64x8 zero() { return {_mm512_setzero_pd()}; }
    static F64x8 load(const double* p) { return {_mm512_loadu_pd(p)}; }
    static F64x8 load(const float* p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
    static F64x8 load_tail(const float* p, std::size_t count) {
        return {_mm512_cvtps_pd(_mm256_maskz_loadu_ps(first_lanes(count), p))};
    }
    static F64x8 load_tail(const double* p, std::size_t count) {
        return {_mm512_maskz_loadu_pd(first_lanes(count), p)};
    }
    static F64x8 fma(F64x8 a, F64x8 b, F64x8 c) { return {_mm512_fmadd_pd(a.value, b.value, c.value)}; }
    double sum() const {
        const __m256d by4 = _mm256_add_pd(_mm512_castpd512_pd256(value), _mm512_extractf64x4_pd(value, 1));
        const __m128d by2 = _mm_add_pd(_mm256_castpd256_pd128(by4), _mm256_extractf128_pd(by4, 1));
        return _mm_cvtsd_f64(_mm_add_sd(by2, _mm_unpackhi_pd(by2, by2)));
    }

  private:
    static __mmask8 first_lanes(std::size_t count) { return static_cast<__mmask8>((1u << count) - 1); }
};

struct F32 {
    static constexpr std::size_t width = 16;
    __m512 value;

    static F32 zero() { return {_mm512_setzero_ps()}; }
    static F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
    static F32 load_tail(const float* p, std::size_t count) {
        return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p)};
    }
    static F32 broadcast(float x) { return {_mm512_set1_ps(x)}; }
    static F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.value, b.value, c.value)}; }
    static F32 mul(F32 a, F32 b) { return {_mm512_mul_ps(a.value, b.value)}; }
    static F32 sub(F32 a, F32 b) { return {_mm512_sub_ps(a.value, b.value)}; }
    static std::uint32_t not_less(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.value, b.value, _CMP_NLT_UQ); }
    void store(float* p) const { _mm512_storeu_ps(p, value); }
    float sum() const {
        const __m256 by8 = _mm256_add_ps(_mm512_castps512_ps256(value), _mm512_extractf32x8_ps(value, 1));
        const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
        const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
        return _mm_cvtss_f32(_mm_add_ss(by2, _mm_movehdup_ps(by2)));
    }
};

}  // namespace
