// AVX-512 VNNI: one instruction multiplies 64 pairs of bytes and adds them to 16 sums.
#include <cstddef>
#include <cstdint>

#include "base/simd_avx512.hpp"
#include "scan/int8.hpp"

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

}  // namespace

#include "scan/int8_impl.hpp"

namespace aigc_fast {
const Int8ScanKernels int8_scan_avx512_vnni = kInt8ScanKernels;
}
