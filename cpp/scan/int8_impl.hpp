// The int8 scan's kernels, written once over the types of the file that includes this:
//   Codes, QueryCodes   four dimensions of the 16 rows of a block, and of one query
//   kCodeOffset         what codes are raised by when they meet queries: 128 as unsigned bytes, 0 as signed ones
//   Sums                the 16 integer sums of one query with a block: start, add, signs, store
//   Signs               where a sum is negative: &, all_negative
//   not_negative        of 16 stored sums, those that are not negative, as a bit mask
//   kTileQueries<Width>, kTileBlocks<Width>   how many queries of a panel of that width meet how many blocks at a time,
//                                             so that their sums stay in registers
#pragma once

#include "scan/int8.hpp"
#include "scan/project.hpp"
#include "scan/refine.hpp"
#include "scan/rotate.hpp"

namespace {

using aigc_fast::CodeBlock;
using aigc_fast::Hit;
using aigc_fast::Int8Block;
using aigc_fast::Int8Queries;
using aigc_fast::kCodeGroup;
using aigc_fast::kCodeRows;
using aigc_fast::kInt8Lanes;

constexpr std::size_t kGroupBytes = kCodeRows * kCodeGroup;
constexpr std::size_t kEncodeChunk = 64;

// Each query's accumulator starts here for a block: -(threshold) - offset * sum(d). The threshold is rounded down by
// more than float32 can have rounded it up: two units, and 2^-20 of its terms.
inline void accumulator_starts(const Int8Block& block, std::size_t index, const Int8Queries& queries,
                               std::int32_t* starts) {
    const float inverse_scale = 1.0f / block.scale[index];
    const float residual = block.residual[index];
    const float reach = block.reach[index];
    const float limit = 16140.0f * static_cast<float>(block.groups * kCodeGroup) + 4.0f;  // beyond any |c.d|
    for (std::size_t q = 0; q < kInt8Lanes; ++q) {
        const float cutoff = queries.cutoff[q] - queries.offset[q] - residual - reach * queries.sigma[q];
        float threshold = cutoff * inverse_scale * queries.inverse_scale[q];
        threshold = threshold < limit ? threshold : limit;  // infinite cutoffs: never, or always, a hit
        threshold = threshold > -limit ? threshold : -limit;
        threshold -= __builtin_fabsf(threshold) * 0x1p-20f + 2.0f;
        starts[q] = -static_cast<std::int32_t>(threshold) - kCodeOffset * queries.code_sums[q];
    }
}

// The hits of a tile whose sums came to these values.
template <std::size_t Blocks>
[[gnu::noinline]] void append_hits(const std::int32_t (*sums)[Blocks][kCodeRows], std::size_t tile_queries,
                                   const Int8Block& block, std::size_t first_block, const Int8Queries& queries,
                                   std::size_t first_query, const std::int32_t (*starts)[kInt8Lanes], Hit* hits,
                                   std::size_t* hit_count) {
    std::size_t count = *hit_count;
    for (std::size_t query = first_query; query < first_query + tile_queries && query < queries.count; ++query)
        for (std::size_t b = 0; b < Blocks; ++b) {
            const std::int32_t* values = sums[query - first_query][b];
            unsigned rows = not_negative(values);
            if (rows == 0) continue;
            const std::int32_t zero = starts[b][query] + kCodeOffset * queries.code_sums[query];  // where c.d is zero
            const float scale = block.scale[first_block + b] * queries.scale[query];
            for (; rows != 0; rows &= rows - 1) {
                const auto row = static_cast<std::uint32_t>(__builtin_ctz(rows));
                hits[count++] = {static_cast<std::uint32_t>((first_block + b) * kCodeRows) + row,
                                 static_cast<std::uint32_t>(query), static_cast<float>(values[row] - zero) * scale};
            }
        }
    *hit_count = count;
}

// Queries [first_query, first_query + Queries) of a panel of Width against Blocks blocks.
template <std::size_t Width, std::size_t Queries, std::size_t Blocks>
inline void scan_tile(const Int8Block& block, const Int8Queries& queries, std::size_t first_query,
                      std::size_t first_block, const std::int32_t (*starts)[kInt8Lanes], Hit* hits,
                      std::size_t* hit_count) {
    Sums sums[Queries][Blocks];
#pragma GCC unroll 12
    for (std::size_t q = 0; q < Queries; ++q)
#pragma GCC unroll 4
        for (std::size_t b = 0; b < Blocks; ++b) sums[q][b] = Sums::start(starts[b][first_query + q]);
    const std::size_t block_bytes = block.groups * kGroupBytes;
    const std::uint8_t* codes = block.codes + first_block * block_bytes;
    const std::int8_t* query = queries.codes + first_query * kCodeGroup;
    for (std::size_t g = 0; g < block.groups; ++g, codes += kGroupBytes, query += Width * kCodeGroup) {
        Codes code[Blocks];
#pragma GCC unroll 4
        for (std::size_t b = 0; b < Blocks; ++b) {
            code[b] = Codes::load(codes + b * block_bytes);
            if (Width == 1 && block.prefetch_bytes != 0)
                __builtin_prefetch(codes + b * block_bytes + block.prefetch_bytes);
        }
#pragma GCC unroll 12
        for (std::size_t q = 0; q < Queries; ++q) {
            const QueryCodes query_code = QueryCodes::broadcast(query + q * kCodeGroup);
#pragma GCC unroll 4
            for (std::size_t b = 0; b < Blocks; ++b) sums[q][b].add(code[b], query_code);
        }
    }
    Signs all = sums[0][0].signs();
#pragma GCC unroll 12
    for (std::size_t q = 0; q < Queries; ++q)
#pragma GCC unroll 4
        for (std::size_t b = 0; b < Blocks; ++b) all = all & sums[q][b].signs();
    if (__builtin_expect(all.all_negative(), 1)) return;
    alignas(64) std::int32_t values[Queries][Blocks][kCodeRows];
#pragma GCC unroll 12
    for (std::size_t q = 0; q < Queries; ++q)
#pragma GCC unroll 4
        for (std::size_t b = 0; b < Blocks; ++b) sums[q][b].store(values[q][b]);
    append_hits<Blocks>(values, Queries, block, first_block, queries, first_query, starts, hits, hit_count);
}

template <std::size_t Width, std::size_t Blocks>
inline void scan_blocks(const Int8Block& block, const Int8Queries& queries, std::size_t first_block, Hit* hits,
                        std::size_t* hit_count) {
    alignas(64) std::int32_t starts[Blocks][kInt8Lanes];
    for (std::size_t b = 0; b < Blocks; ++b) accumulator_starts(block, first_block + b, queries, starts[b]);
    const std::uint8_t* next = block.next + first_block / Blocks * block.next_share;
    for (std::size_t at = 0; at < block.next_share; at += kCacheLine) __builtin_prefetch(next + at, 0, 2);
    for (std::size_t q = 0; q < Width; q += kTileQueries<Width>)
        scan_tile<Width, kTileQueries<Width>, Blocks>(block, queries, q, first_block, starts, hits, hit_count);
}

template <std::size_t Width>
std::size_t scan_of(const Int8Block& block, const Int8Queries& queries, std::size_t index, Hit* hits,
                    std::size_t capacity, std::size_t* hit_count) {
    constexpr std::size_t blocks = kTileBlocks<Width>;
    static_assert(blocks <= aigc_fast::int8_tile_blocks(Width) && Width % kTileQueries<Width> == 0);
    while (index < block.blocks && *hit_count + Width * blocks * kCodeRows <= capacity) {
        if (index + blocks <= block.blocks) {
            scan_blocks<Width, blocks>(block, queries, index, hits, hit_count);
            index += blocks;
        } else {
            scan_blocks<Width, 1>(block, queries, index, hits, hit_count);
            ++index;
        }
    }
    return index;
}

std::size_t scan(const Int8Block& block, const Int8Queries& queries, std::size_t begin, Hit* hits, std::size_t capacity,
                 std::size_t* hit_count) {
    switch (aigc_fast::int8_panel_width(queries.count)) {
        case 1:
            return scan_of<1>(block, queries, begin, hits, capacity, hit_count);
        case 4:
            return scan_of<4>(block, queries, begin, hits, capacity, hit_count);
        default:
            return scan_of<aigc_fast::kInt8Panel>(block, queries, begin, hits, capacity, hit_count);
    }
}

// The largest magnitude, found among integers: the bits of positive floats are ordered like them, and integer maxima
// vectorize without leave to reorder floating-point operations.
float largest_magnitude(const float* rows, std::size_t stride, std::size_t dim) {
    std::int32_t largest_bits = 0;
    for (std::size_t i = 0; i < kCodeRows; ++i)
        for (std::size_t j = 0; j < dim; ++j) {
            std::int32_t bits;
            __builtin_memcpy(&bits, rows + i * stride + j, sizeof bits);
            bits &= 0x7fffffff;
            largest_bits = bits > largest_bits ? bits : largest_bits;
        }
    float largest;
    __builtin_memcpy(&largest, &largest_bits, sizeof largest);
    return largest;
}

CodeBlock encode(const float* rows, std::size_t stride, std::size_t groups, std::uint8_t* codes) {
    const std::size_t dim = groups * kCodeGroup;
    const float largest = largest_magnitude(rows, stride, dim);
    const float scale = largest > 1e-30f ? largest / 127.0f : 1.0f;  // so that its inverse is finite
    const float inverse = 1.0f / scale;
    F32 left_squares_f32[kCodeRows];
    F32 code_squares_f32[kCodeRows];
    float left_squares[kCodeRows] = {};
    float code_squares[kCodeRows] = {};
    for (std::size_t i = 0; i < kCodeRows; ++i) left_squares_f32[i] = code_squares_f32[i] = F32::zero();
    for (std::size_t j = 0; j < dim; j += kEncodeChunk) {
        const std::size_t count = dim - j < kEncodeChunk ? dim - j : kEncodeChunk;
        alignas(64) std::uint8_t chunk[kCodeRows][kEncodeChunk];
        for (std::size_t i = 0; i < kCodeRows; ++i) {
            const float* x = rows + i * stride + j;
            alignas(64) float rounded[kEncodeChunk];
            for (std::size_t l = 0; l < count; ++l) rounded[l] = __builtin_rintf(x[l] * inverse);
            for (std::size_t l = 0; l < count; ++l)
                chunk[i][l] = static_cast<std::uint8_t>(static_cast<std::int32_t>(rounded[l]) + 128);
            std::size_t l = 0;
            for (; l + F32::width <= count; l += F32::width) {
                const F32 code_f32 = F32::mul(F32::load(rounded + l), F32::broadcast(scale));
                const F32 left_f32 = F32::sub(F32::load(x + l), code_f32);
                left_squares_f32[i] = F32::fma(left_f32, left_f32, left_squares_f32[i]);
                code_squares_f32[i] = F32::fma(code_f32, code_f32, code_squares_f32[i]);
            }
            for (; l < count; ++l) {
                const float code = rounded[l] * scale;
                left_squares[i] += (x[l] - code) * (x[l] - code);
                code_squares[i] += code * code;
            }
        }
        // Rows of groups become groups of rows.
        for (std::size_t g = 0; g < count / kCodeGroup; ++g)
            for (std::size_t i = 0; i < kCodeRows; ++i)
                __builtin_memcpy(codes + (j / kCodeGroup + g) * kGroupBytes + i * kCodeGroup, chunk[i] + g * kCodeGroup,
                                 kCodeGroup);
    }
    // What float32 may have lost: 2u of each |s*c| in the product and the difference, squares below its range, and the
    // roundings of the sum.
    const float lost = (0x1p-22f * largest + 0x1p-74f) * __builtin_sqrtf(static_cast<float>(dim));
    const float grown = 1.0f + static_cast<float>(dim + 16) * 0x1p-23f;
    CodeBlock block = {scale, 0.0f, 0.0f};
    for (std::size_t i = 0; i < kCodeRows; ++i) {
        const float residual = __builtin_sqrtf(left_squares[i] + left_squares_f32[i].sum()) * grown + lost;
        const float reach = __builtin_sqrtf(code_squares[i] + code_squares_f32[i].sum()) * grown + lost;
        block.residual = residual > block.residual ? residual : block.residual;
        block.reach = reach > block.reach ? reach : block.reach;
    }
    return block;
}

constexpr aigc_fast::Int8ScanKernels kInt8ScanKernels = {encode, scan, rotate<float>, refine, project};

}  // namespace
