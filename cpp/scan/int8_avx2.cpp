// Without byte dot products: codes are widened to 16 bits, and a multiply-add makes two sums a row.
#include <cstddef>
#include <cstdint>

#include "base/simd_avx2.hpp"
#include "scan/int8.hpp"
#include "scan/pair_products.hpp"

namespace {

constexpr std::int32_t kCodeOffset = 128;

struct Codes {
    __m256i rows_i16x16[4];  // four rows each
    static Codes load(const std::uint8_t* codes) {
        Codes loaded;
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i)
            loaded.rows_i16x16[i] =
                _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + 16 * i)));
        return loaded;
    }
};

struct QueryCodes {
    __m256i value_i16x16;
    static QueryCodes broadcast(const std::int8_t* codes) {
        std::int32_t four;
        __builtin_memcpy(&four, codes, sizeof four);
        return {_mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)))};
    }
};

struct Signs {
    __m256i value;  // in even lanes
    friend Signs operator&(Signs a, Signs b) { return {_mm256_and_si256(a.value, b.value)}; }
    bool all_negative() const { return (_mm256_movemask_ps(_mm256_castsi256_ps(value)) & 0x55) == 0x55; }
};

struct Sums {
    __m256i pairs_i32x8[4];

    static Sums start(std::int32_t value) {
        Sums sums;
#pragma GCC unroll 4
        for (auto& pairs : sums.pairs_i32x8) pairs = _mm256_set1_epi64x(static_cast<std::uint32_t>(value));
        return sums;
    }
    void add(const Codes& codes, QueryCodes query) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i)
            pairs_i32x8[i] =
                _mm256_add_epi32(pairs_i32x8[i], _mm256_madd_epi16(codes.rows_i16x16[i], query.value_i16x16));
    }
    Signs signs() const {
        return {_mm256_and_si256(_mm256_and_si256(folded(0), folded(1)), _mm256_and_si256(folded(2), folded(3)))};
    }
    void store(std::int32_t* out) const {
        for (int i = 0; i < 4; ++i) {
            alignas(32) std::int32_t values[8];
            _mm256_store_si256(reinterpret_cast<__m256i*>(values), folded(i));
            for (int row = 0; row < 4; ++row) out[4 * i + row] = values[2 * row];
        }
    }

  private:
    // A row's sum in each even lane.
    __m256i folded(int i) const { return _mm256_add_epi32(pairs_i32x8[i], _mm256_srli_epi64(pairs_i32x8[i], 32)); }
};

unsigned not_negative(const std::int32_t* sums) {
    const auto low = static_cast<unsigned>(_mm256_movemask_ps(_mm256_loadu_ps(reinterpret_cast<const float*>(sums))));
    const auto high =
        static_cast<unsigned>(_mm256_movemask_ps(_mm256_loadu_ps(reinterpret_cast<const float*>(sums + 8))));
    return (low | high << 8) ^ 0xffffu;
}

template <std::size_t Width>
constexpr std::size_t kTileQueries = Width == 1 ? 1 : 2;
template <std::size_t Width>
constexpr std::size_t kTileBlocks = 1;

using PairProducts = PlainPairProducts;

}  // namespace

#include "scan/int8_impl.hpp"

namespace aigc_fast {
const Int8ScanKernels int8_scan_avx2 = kInt8ScanKernels;
}
