// For a single query the bounds of all heads are written down once, so that the most promising rows can be looked at
// first: what these score rules most others out before they are looked at. Written over the types of the file that
// includes this, those of code_scan_impl.hpp and F32.
#pragma once

#include "scan/code_scan_impl.hpp"

namespace {

template <std::size_t Blocks>
void bound_blocks(const CodedBlocks& block, const CodedQueries& query, std::size_t first_block, float* bounds) {
    Sums sums[1][Blocks];
#pragma GCC unroll 4
    for (std::size_t b = 0; b < Blocks; ++b) sums[0][b] = Sums::start(-kCodeOffset * query.code_sums[0]);
    multiply<1, 1, Blocks>(block, query, 0, first_block, sums);
    alignas(64) Sum values[Blocks][kCodeRows];
#pragma GCC unroll 4
    for (std::size_t b = 0; b < Blocks; ++b) sums[0][b].store(values[b]);
    for (std::size_t b = 0; b < Blocks; ++b) {
        const std::size_t of = first_block + b;
        const float scale = block.scale[of] * query.scale[0];
        const float allowance = (block.residual[of] + block.reach[of] * query.sigma[0]) * 1.00001f + query.offset[0];
        for (std::size_t row = 0; row < kCodeRows; ++row)
            bounds[of * kCodeRows + row] = static_cast<float>(values[b][row]) * scale + allowance;
    }
}

void bound(const CodedBlocks& block, const CodedQueries& query, float* bounds) {
    constexpr std::size_t blocks = kTileBlocks<1>;
    std::size_t b = 0;
    for (; b + blocks <= block.blocks; b += blocks) bound_blocks<blocks>(block, query, b, bounds);
    for (; b < block.blocks; ++b) bound_blocks<1>(block, query, b, bounds);
}

std::size_t reaching(const float* bounds, std::size_t begin, std::size_t end, float cutoff, std::size_t capacity,
                     std::uint32_t* rows, std::size_t* count) {
    const F32 cutoff_f32 = F32::broadcast(cutoff);
    std::uint32_t* out = rows;
    for (; begin < end && static_cast<std::size_t>(out - rows) + kCodeRows <= capacity; begin += kCodeRows) {
        std::uint32_t found = 0;
        for (std::size_t i = 0; i < kCodeRows; i += F32::width)
            found |= F32::not_less(F32::load(bounds + begin + i), cutoff_f32) << i;
        for (; found != 0; found &= found - 1) {
            const auto row = static_cast<std::uint32_t>(begin) + static_cast<std::uint32_t>(__builtin_ctz(found));
            *out = row;
            out += bounds[row] != aigc_fast::kTakenRow ? 1 : 0;
        }
    }
    *count = static_cast<std::size_t>(out - rows);
    return begin;
}

}  // namespace
