// The scan of codes, written once over the types of the file that includes this:
//   Sum                 int32 or float32
//   Codes, QueryCodes   a group of dimensions of the 16 rows of a block, and of one query
//   kCodeOffset         what codes are raised by when they meet queries: 128 as unsigned bytes, else 0
//   product_limit       beyond any |c.d| of a block: where thresholds end that no row, or every row, reaches
//   kThresholdUnits     what a threshold is lowered by, beside 2^-20 of it
//   Sums                the 16 sums of one query with a block: start, add, signs, store
//   Signs               where a sum is negative: &, all_negative
//   not_negative        of 16 stored sums, those that are not negative, as a bit mask
//   kTileQueries<Width>, kTileBlocks<Width>   how many queries of a panel of that width meet how many blocks at a time,
//                                             so that their sums stay in registers
#pragma once

#include "scan/codes.hpp"

namespace {

using aigc_fast::CodeBlock;
using aigc_fast::CodedBlocks;
using aigc_fast::CodedQueries;
using aigc_fast::Hit;
using aigc_fast::kCodeGroup;
using aigc_fast::kCodeLanes;
using aigc_fast::kCodeRows;

constexpr std::size_t kGroupBytes = kCodeRows * kCodeGroup;
constexpr std::size_t kCacheLineBytes = 64;

// Each query's accumulator starts here for a block: -(threshold) - offset * sum(d). The threshold is rounded down by
// more than float32 can have rounded it up.
inline void accumulator_starts(const CodedBlocks& block, std::size_t index, const CodedQueries& queries, Sum* starts) {
    const float inverse_scale = 1.0f / block.scale[index];
    const float residual = block.residual[index];
    const float reach = block.reach[index];
    const float limit = product_limit(block, index);
    for (std::size_t q = 0; q < kCodeLanes; ++q) {
        const float cutoff = queries.cutoff[q] - queries.offset[q] - residual - reach * queries.sigma[q];
        float threshold = cutoff * inverse_scale * queries.inverse_scale[q];
        threshold = threshold < limit ? threshold : limit;  // infinite cutoffs: never, or always, a hit
        threshold = threshold > -limit ? threshold : -limit;
        threshold -= __builtin_fabsf(threshold) * 0x1p-20f + kThresholdUnits;
        starts[q] = -static_cast<Sum>(threshold) - kCodeOffset * static_cast<Sum>(queries.code_sums[q]);
    }
}

// The hits of a tile whose sums came to these values. Which cells (a query and a block) have any is written down first,
// without a branch: heads let so much through that there are several in a tile, and none of them where it was expected.
template <std::size_t Queries, std::size_t Blocks>
[[gnu::noinline]] void append_hits(const Sum (*sums)[Blocks][kCodeRows], const CodedBlocks& block,
                                   std::size_t first_block, const CodedQueries& queries, std::size_t first_query,
                                   const Sum (*starts)[kCodeLanes], Hit* hits, std::size_t* hit_count) {
    struct Cell {
        std::uint32_t rows;
        std::uint32_t at;
    };
    Cell cells[Queries * Blocks];
    std::size_t filled = 0;
    const std::size_t left = queries.count - first_query;
    const std::size_t tile_cells = (left < Queries ? left : Queries) * Blocks;
    for (std::size_t at = 0; at < tile_cells; ++at) {
        const std::uint32_t rows = not_negative(sums[at / Blocks][at % Blocks]);
        cells[filled] = {rows, static_cast<std::uint32_t>(at)};
        filled += rows != 0 ? 1 : 0;
    }
    Hit* out = hits + *hit_count;
    for (std::size_t i = 0; i < filled; ++i) {
        const std::size_t b = cells[i].at % Blocks;
        const std::size_t query = first_query + cells[i].at / Blocks;
        const Sum* values = sums[cells[i].at / Blocks][b];
        const Sum zero = starts[b][query] + kCodeOffset * static_cast<Sum>(queries.code_sums[query]);  // c.d is 0
        const float scale = block.scale[first_block + b] * queries.scale[query];
        std::uint32_t rows = cells[i].rows;
        do {
            const auto row = static_cast<std::uint32_t>(__builtin_ctz(rows));
            *out++ = {static_cast<std::uint32_t>((first_block + b) * kCodeRows) + row,
                      static_cast<std::uint32_t>(query), static_cast<float>(values[row] - zero) * scale};
            rows &= rows - 1;
        } while (rows != 0);
    }
    *hit_count = static_cast<std::size_t>(out - hits);
}

// Adds the products of queries [first_query, first_query + Queries) of a panel of Width with Blocks blocks.
template <std::size_t Width, std::size_t Queries, std::size_t Blocks>
[[gnu::always_inline]] inline void multiply(const CodedBlocks& block, const CodedQueries& queries,
                                            std::size_t first_query, std::size_t first_block,
                                            Sums (&sums)[Queries][Blocks]) {
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
}

// Finds their hits.
template <std::size_t Width, std::size_t Queries, std::size_t Blocks>
inline void scan_tile(const CodedBlocks& block, const CodedQueries& queries, std::size_t first_query,
                      std::size_t first_block, const Sum (*starts)[kCodeLanes], Hit* hits, std::size_t* hit_count) {
    Sums sums[Queries][Blocks];
#pragma GCC unroll 12
    for (std::size_t q = 0; q < Queries; ++q)
#pragma GCC unroll 4
        for (std::size_t b = 0; b < Blocks; ++b) sums[q][b] = Sums::start(starts[b][first_query + q]);
    multiply<Width, Queries, Blocks>(block, queries, first_query, first_block, sums);
    Signs all = sums[0][0].signs();
#pragma GCC unroll 12
    for (std::size_t q = 0; q < Queries; ++q)
#pragma GCC unroll 4
        for (std::size_t b = 0; b < Blocks; ++b) all = all & sums[q][b].signs();
    if (__builtin_expect(all.all_negative(), 1)) return;
    alignas(64) Sum values[Queries][Blocks][kCodeRows];
#pragma GCC unroll 12
    for (std::size_t q = 0; q < Queries; ++q)
#pragma GCC unroll 4
        for (std::size_t b = 0; b < Blocks; ++b) sums[q][b].store(values[q][b]);
    if (first_query < queries.count)
        append_hits<Queries, Blocks>(values, block, first_block, queries, first_query, starts, hits, hit_count);
}

template <std::size_t Width, std::size_t Blocks>
inline void scan_blocks(const CodedBlocks& block, const CodedQueries& queries, std::size_t first_block, Hit* hits,
                        std::size_t* hit_count) {
    alignas(64) Sum starts[Blocks][kCodeLanes];
    for (std::size_t b = 0; b < Blocks; ++b) accumulator_starts(block, first_block + b, queries, starts[b]);
    const std::uint8_t* next = block.next + first_block / Blocks * block.next_share;
    for (std::size_t at = 0; at < block.next_share; at += kCacheLineBytes) __builtin_prefetch(next + at, 0, 2);
    for (std::size_t q = 0; q < Width; q += kTileQueries<Width>)
        scan_tile<Width, kTileQueries<Width>, Blocks>(block, queries, q, first_block, starts, hits, hit_count);
}

template <std::size_t Width>
std::size_t scan_of(const CodedBlocks& block, const CodedQueries& queries, std::size_t index, Hit* hits,
                    std::size_t capacity, std::size_t* hit_count) {
    constexpr std::size_t blocks = kTileBlocks<Width>;
    static_assert(blocks <= aigc_fast::code_tile_blocks(Width) && Width % kTileQueries<Width> == 0);
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

std::size_t scan(const CodedBlocks& block, const CodedQueries& queries, std::size_t begin, Hit* hits,
                 std::size_t capacity, std::size_t* hit_count) {
    switch (aigc_fast::code_panel_width(queries.count)) {
        case 1:
            return scan_of<1>(block, queries, begin, hits, capacity, hit_count);
        case 4:
            return scan_of<4>(block, queries, begin, hits, capacity, hit_count);
        default:
            return scan_of<aigc_fast::kCodePanel>(block, queries, begin, hits, capacity, hit_count);
    }
}

}  // namespace
