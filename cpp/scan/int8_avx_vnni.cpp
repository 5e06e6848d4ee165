// AVX-VNNI, which brings byte dot products to processors without AVX-512: one instruction multiplies 32 pairs of bytes
// and adds them to 8 sums.
#include <cstddef>
#include <cstdint>

#include "base/simd_avx2.hpp"
#include "scan/int8.hpp"
#include "scan/pair_products.hpp"

namespace {

constexpr std::int32_t kCodeOffset = 128;

struct Codes {
    __m256i rows_u8x32[2];  // eight rows each
    static Codes load(const std::uint8_t* codes) {
        return {{_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)),
                 _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + 32))}};
    }
};

struct QueryCodes {
    __m256i value_s8x32;
    static QueryCodes broadcast(const std::int8_t* codes) {
        std::int32_t four;
        __builtin_memcpy(&four, codes, sizeof four);
        return {_mm256_set1_epi32(four)};
    }
};

struct Signs {
    __m256i value;
    friend Signs operator&(Signs a, Signs b) { return {_mm256_and_si256(a.value, b.value)}; }
    bool all_negative() const { return _mm256_movemask_ps(_mm256_castsi256_ps(value)) == 0xff; }
};

struct Sums {
    __m256i rows_i32x8[2];

    static Sums start(std::int32_t value) { return {{_mm256_set1_epi32(value), _mm256_set1_epi32(value)}}; }
    void add(const Codes& codes, QueryCodes query) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i)
            rows_i32x8[i] = _mm256_dpbusd_avx_epi32(rows_i32x8[i], codes.rows_u8x32[i], query.value_s8x32);
    }
    Signs signs() const { return {_mm256_and_si256(rows_i32x8[0], rows_i32x8[1])}; }
    void store(std::int32_t* out) const {
        for (int i = 0; i < 2; ++i) _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8 * i), rows_i32x8[i]);
    }
};

unsigned not_negative(const std::int32_t* sums) {
    const auto low = static_cast<unsigned>(_mm256_movemask_ps(_mm256_loadu_ps(reinterpret_cast<const float*>(sums))));
    const auto high =
        static_cast<unsigned>(_mm256_movemask_ps(_mm256_loadu_ps(reinterpret_cast<const float*>(sums + 8))));
    return (low | high << 8) ^ 0xffffu;
}

// At most 12 of 16 registers hold sums; 2 hold codes and 1 a query.
template <std::size_t Width>
constexpr std::size_t kTileQueries = Width == 12 ? 6 : Width;
template <std::size_t Width>
constexpr std::size_t kTileBlocks = Width == 1 ? 4 : 1;

using PairProducts = PlainPairProducts;

}  // namespace

#include "scan/int8_impl.hpp"

namespace aigc_fast {
const Int8ScanKernels int8_scan_avx_vnni = kInt8ScanKernels;
}
