// AVX-512 VNNI: one instruction multiplies 64 pairs of bytes and adds them to 16 sums.
#include <cstddef>
#include <cstdint>

#include "base/simd_avx512.hpp"
#include "scan/int8.hpp"
#include "scan/pair_products.hpp"

namespace {

constexpr std::int32_t kCodeOffset = 128;

struct Codes {
    __m512i value_u8x64;
    static Codes load(const std::uint8_t* codes) { return {_mm512_loadu_si512(codes)}; }
};

struct QueryCodes {
    __m512i value_s8x64;
    static QueryCodes broadcast(const std::int8_t* codes) {
        std::int32_t four;
        __builtin_memcpy(&four, codes, sizeof four);
        return {_mm512_set1_epi32(four)};
    }
};

struct Signs {
    __m512i value;
    friend Signs operator&(Signs a, Signs b) { return {_mm512_and_si512(a.value, b.value)}; }
    bool all_negative() const { return _mm512_movepi32_mask(value) == 0xffff; }
};

struct Sums {
    __m512i rows_i32x16;

    static Sums start(std::int32_t value) { return {_mm512_set1_epi32(value)}; }
    void add(Codes codes, QueryCodes query) {
        // _mm512_dpbusd_epi32, as assembly: GCC 12 copies every sum twice around the intrinsic, which halves the speed.
        asm("vpdpbusd %2, %1, %0" : "+v"(rows_i32x16) : "v"(codes.value_u8x64), "v"(query.value_s8x64));
    }
    Signs signs() const { return {rows_i32x16}; }
    void store(std::int32_t* out) const { _mm512_storeu_si512(out, rows_i32x16); }
};

unsigned not_negative(const std::int32_t* sums) {
    return static_cast<unsigned>(_mm512_movepi32_mask(_mm512_loadu_si512(sums))) ^ 0xffffu;
}

// 24 sums, and up to 4 + 1 registers for codes and a query.
template <std::size_t Width>
constexpr std::size_t kTileQueries = Width;
template <std::size_t Width>
constexpr std::size_t kTileBlocks = Width == 12 ? 2 : 4;

// Four at a time: each sum alone would wait for itself.
struct PairProducts {
    static constexpr std::size_t pairs = 4;

    static void multiply(const std::uint8_t* const* rows, const std::int8_t* const* queries, std::size_t count,
                         std::int32_t* products) {
        Sums first = Sums::start(0), second = first, third = first, fourth = first;
        const auto add = [&](Sums& sums, std::size_t pair, std::size_t at) {
            sums.add(Codes::load(rows[pair] + at), {_mm512_loadu_si512(queries[pair] + at)});
        };
        for (std::size_t j = 0; j < count; j += aigc_fast::kRowAlignment) {
            add(first, 0, j);
            add(second, 1, j);
            add(third, 2, j);
            add(fourth, 3, j);
        }
        products[0] = _mm512_reduce_add_epi32(first.rows_i32x16);
        products[1] = _mm512_reduce_add_epi32(second.rows_i32x16);
        products[2] = _mm512_reduce_add_epi32(third.rows_i32x16);
        products[3] = _mm512_reduce_add_epi32(fourth.rows_i32x16);
    }
};

}  // namespace

#include "scan/int8_impl.hpp"

namespace aigc_fast {
const Int8ScanKernels int8_scan_avx512_vnni = kInt8ScanKernels;
}
