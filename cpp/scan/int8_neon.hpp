// What both int8 scans of NEON share. The file that includes this defines QueryCodes before it, with
//     int32x4_t add_products(int32x4_t sums, int8x16_t codes) const
// which adds the products of four dimensions to the sum of each of four rows.
#pragma once

#include <arm_neon.h>

#include "base/simd_neon.hpp"
#include "scan/int8.hpp"
#include "scan/pair_products.hpp"

namespace {

// NEON multiplies signed bytes by signed bytes, so codes lose the 128 that they are stored with.
constexpr std::int32_t kCodeOffset = 0;

struct Codes {
    int8x16_t rows_s8x16[4];  // four rows each
    static Codes load(const std::uint8_t* codes) {
        Codes loaded;
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i)
            loaded.rows_s8x16[i] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes + 16 * i), vdupq_n_u8(0x80)));
        return loaded;
    }
};

struct Signs {
    int32x4_t value;
    friend Signs operator&(Signs a, Signs b) { return {vandq_s32(a.value, b.value)}; }
    bool all_negative() const { return vmaxvq_s32(value) < 0; }
};

struct Sums {
    int32x4_t rows_i32x4[4];

    static Sums start(std::int32_t value) {
        return {{vdupq_n_s32(value), vdupq_n_s32(value), vdupq_n_s32(value), vdupq_n_s32(value)}};
    }
    void add(const Codes& codes, QueryCodes query) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) rows_i32x4[i] = query.add_products(rows_i32x4[i], codes.rows_s8x16[i]);
    }
    Signs signs() const {
        return {vandq_s32(vandq_s32(rows_i32x4[0], rows_i32x4[1]), vandq_s32(rows_i32x4[2], rows_i32x4[3]))};
    }
    void store(std::int32_t* out) const {
        for (int i = 0; i < 4; ++i) vst1q_s32(out + 4 * i, rows_i32x4[i]);
    }
};

unsigned not_negative(const std::int32_t* sums) {
    const uint32x4_t bits = {1, 2, 4, 8};
    unsigned rows = 0;
    for (int i = 0; i < 4; ++i) rows |= vaddvq_u32(vandq_u32(vcgezq_s32(vld1q_s32(sums + 4 * i)), bits)) << 4 * i;
    return rows;
}

// At most 24 of 32 registers hold sums; 4 hold codes and 1 a query. A single query waits for memory, not for registers.
template <std::size_t Width>
constexpr std::size_t kTileQueries = Width == 12 ? 6 : Width;
template <std::size_t Width>
constexpr std::size_t kTileBlocks = Width == 1 ? 2 : 1;

using PairProducts = PlainPairProducts;

}  // namespace

#include "scan/int8_impl.hpp"
