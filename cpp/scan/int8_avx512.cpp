// AVX-512BW without byte dot products: codes are widened to 16 bits, and a multiply-add makes two sums a row.
#include <cstddef>
#include <cstdint>

#include "base/simd_avx512.hpp"
#include "scan/int8.hpp"
#include "scan/pair_products.hpp"

namespace {

constexpr std::int32_t kCodeOffset = 128;

struct Codes {
    __m512i rows_i16x32[2];  // eight rows each
    static Codes load(const std::uint8_t* codes) {
        return {{_mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes))),
                 _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + 32)))}};
    }
};

struct QueryCodes {
    __m512i value_i16x32;
    static QueryCodes broadcast(const std::int8_t* codes) {
        std::int32_t four;
        __builtin_memcpy(&four, codes, sizeof four);
        return {_mm512_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)))};
    }
};

struct Signs {
    __m512i value;  // in even lanes
    friend Signs operator&(Signs a, Signs b) { return {_mm512_and_si512(a.value, b.value)}; }
    bool all_negative() const { return (_mm512_movepi32_mask(value) & 0x5555) == 0x5555; }
};

struct Sums {
    __m512i pairs_i32x16[2];

    static Sums start(std::int32_t value) {
        const __m512i first_of_pair = _mm512_set1_epi64(static_cast<std::uint32_t>(value));
        return {{first_of_pair, first_of_pair}};
    }
    void add(const Codes& codes, QueryCodes query) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i)
            pairs_i32x16[i] =
                _mm512_add_epi32(pairs_i32x16[i], _mm512_madd_epi16(codes.rows_i16x32[i], query.value_i16x32));
    }
    Signs signs() const { return {_mm512_and_si512(folded(0), folded(1))}; }
    void store(std::int32_t* out) const {
        for (int i = 0; i < 2; ++i)
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8 * i), _mm512_cvtepi64_epi32(folded(i)));
    }

  private:
    // A row's sum in each even lane.
    __m512i folded(int i) const { return _mm512_add_epi32(pairs_i32x16[i], _mm512_srli_epi64(pairs_i32x16[i], 32)); }
};

unsigned not_negative(const std::int32_t* sums) {
    return static_cast<unsigned>(_mm512_movepi32_mask(_mm512_loadu_si512(sums))) ^ 0xffffu;
}

template <std::size_t Width>
constexpr std::size_t kTileQueries = Width;
template <std::size_t Width>
constexpr std::size_t kTileBlocks = Width == 12 ? 1 : 2;

using PairProducts = PlainPairProducts;

}  // namespace

#include "scan/int8_impl.hpp"

namespace aigc_fast {
const Int8ScanKernels int8_scan_avx512 = kInt8ScanKernels;
}
