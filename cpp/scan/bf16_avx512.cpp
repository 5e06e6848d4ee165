// AVX512_BF16: one instruction multiplies 32 pairs of bfloat16 and adds them to 16 sums.
#include <cstddef>
#include <cstdint>

#include "base/simd_avx512.hpp"
#include "scan/bf16.hpp"

namespace {

using aigc_fast::kCodeGroup;
using aigc_fast::kCodeRows;

struct Codes {
    __m512i value_bf16x32;
    static Codes load(const std::uint8_t* codes) { return {_mm512_loadu_si512(codes)}; }
};

struct QueryCodes {
    __m512i value_bf16x32;
    static QueryCodes broadcast(const std::int8_t* codes) {
        std::int32_t pair;
        __builtin_memcpy(&pair, codes, sizeof pair);
        return {_mm512_set1_epi32(pair)};
    }
};

struct Signs {
    __m512i value;
    friend Signs operator&(Signs a, Signs b) { return {_mm512_and_si512(a.value, b.value)}; }
    bool all_negative() const { return _mm512_movepi32_mask(value) == 0xffff; }
};

struct Sums {
    __m512 rows_f32x16;

    static Sums start(float value) { return {_mm512_set1_ps(value)}; }
    void add(Codes codes, QueryCodes query) {
        // _mm512_dpbf16_ps, as assembly for the reason given in int8_avx512_vnni.cpp.
        asm("vdpbf16ps %2, %1, %0" : "+v"(rows_f32x16) : "v"(codes.value_bf16x32), "v"(query.value_bf16x32));
    }
    Signs signs() const { return {_mm512_castps_si512(rows_f32x16)}; }
    void store(float* out) const { _mm512_storeu_ps(out, rows_f32x16); }
};

unsigned not_negative(const float* sums) {
    return static_cast<unsigned>(_mm512_movepi32_mask(_mm512_loadu_si512(sums))) ^ 0xffffu;
}

// 24 sums, and up to 4 + 1 registers for codes and a query.
template <std::size_t Width>
constexpr std::size_t kTileQueries = Width;
template <std::size_t Width>
constexpr std::size_t kTileBlocks = Width == 12 ? 2 : 4;

constexpr std::size_t kEncodeChunk = 32;

// 16 bfloat16, and the sums of squares that they change.
inline __m256i round_row(const float* x, std::size_t count, F32* left_squares, F32* code_squares) {
    const F32 x_f32 = count >= 16 ? F32::load(x) : F32::load_tail(x, count);
    const __m256i codes = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x_f32.value));
    const F32 code_f32 = {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(codes), 16))};
    const F32 left_f32 = F32::sub(x_f32, code_f32);
    *left_squares = F32::fma(left_f32, left_f32, *left_squares);
    *code_squares = F32::fma(code_f32, code_f32, *code_squares);
    return codes;
}

// Sixteen rows of sixteen pairs become sixteen groups of sixteen rows: a transposition of 32-bit numbers.
inline void transpose(__m512i (&rows)[16]) {
    __m512i pairs[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    __m512i fours[16];
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
            fours[i + 2 * half] = _mm512_unpacklo_epi64(pairs[i + half], pairs[i + 2 + half]);
            fours[i + 2 * half + 1] = _mm512_unpackhi_epi64(pairs[i + half], pairs[i + 2 + half]);
        }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
        const __m512i first_even = _mm512_shuffle_i32x4(fours[c], fours[4 + c], 0x88);
        const __m512i first_odd = _mm512_shuffle_i32x4(fours[c], fours[4 + c], 0xdd);
        const __m512i last_even = _mm512_shuffle_i32x4(fours[8 + c], fours[12 + c], 0x88);
        const __m512i last_odd = _mm512_shuffle_i32x4(fours[8 + c], fours[12 + c], 0xdd);
        rows[c] = _mm512_shuffle_i32x4(first_even, last_even, 0x88);
        rows[4 + c] = _mm512_shuffle_i32x4(first_odd, last_odd, 0x88);
        rows[8 + c] = _mm512_shuffle_i32x4(first_even, last_even, 0xdd);
        rows[12 + c] = _mm512_shuffle_i32x4(first_odd, last_odd, 0xdd);
    }
}

void encode_chunk(const float* rows, std::size_t stride, std::size_t count, std::uint8_t* codes, F32* left_squares,
                  F32* code_squares) {
    __m512i groups[kCodeRows];
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kCodeRows; ++i) {
        const float* x = rows + i * stride;
        const __m256i low = round_row(x, count, &left_squares[i], &code_squares[i]);
        const __m256i high =
            count > 16 ? round_row(x + 16, count - 16, &left_squares[i], &code_squares[i]) : _mm256_setzero_si256();
        groups[i] = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    }
    transpose(groups);
    for (std::size_t g = 0; g < count / 2; ++g) _mm512_storeu_si512(codes + g * kCodeRows * kCodeGroup, groups[g]);
}

}  // namespace

#include "scan/bf16_impl.hpp"

namespace aigc_fast {
const CodeScanKernels bf16_scan_avx512 = kBf16ScanKernels;
}
