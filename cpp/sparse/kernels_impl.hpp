// The kernels of sparse scans: loops that the compiler vectorizes for the instruction set of the file that includes
// this, which also defines kLanes: the 32-bit lanes of a register. Sums are exact and estimates only propose, so the
// bits of results do not depend on how.
#pragma once

#include "sparse/kernels.hpp"

namespace {

// Vectors of the compiler's own.
using I32 = std::int32_t __attribute__((vector_size(4 * kLanes)));

void add_columns(const std::int16_t* tile, const std::uint32_t* slots, const std::int32_t* values, std::size_t count,
                 std::int32_t* sums) {
    constexpr std::size_t vectors = aigc_fast::kColumnTile / kLanes;
    I32 sums_i32[vectors];
    __builtin_memcpy(sums_i32, sums, sizeof sums_i32);
    for (std::size_t i = 0; i < count; ++i) {
        const std::int16_t* column = tile + std::size_t{slots[i]} * aigc_fast::kColumnTile;
#pragma GCC unroll 16
        for (std::size_t v = 0; v < vectors; ++v) {
            I32 column_i32;  // filled by one load that widens
#pragma GCC unroll 16
            for (std::size_t l = 0; l < kLanes; ++l) column_i32[l] = column[kLanes * v + l];
            sums_i32[v] += column_i32 * values[i];
        }
    }
    __builtin_memcpy(sums, sums_i32, sizeof sums_i32);
}

template <class Sum>
void peaks(const Sum* sums, const float* scale, std::size_t rows, float* peaks, std::size_t peak_count) {
    for (std::size_t begin = 0; begin < rows; begin += peak_count) {
        const std::size_t count = rows - begin < peak_count ? rows - begin : peak_count;
        for (std::size_t p = 0; p < count; ++p) {
            const float estimate = static_cast<float>(sums[begin + p]) * scale[begin + p];
            peaks[p] = estimate > peaks[p] ? estimate : peaks[p];
        }
    }
}

template <class Sum>
std::size_t hits(const Sum* sums, const float* scale, std::size_t rows, float cutoff, std::uint32_t* hits) {
    constexpr std::size_t kGroup = 32;  // most have no hit; smaller ones are unrolled before they could be vectorized
    std::size_t count = 0;
    const auto append = [&](std::size_t r) {
        hits[count] = static_cast<std::uint32_t>(r);
        count += !(static_cast<float>(sums[r]) * scale[r] < cutoff);
    };
    std::size_t begin = 0;
    for (; begin + kGroup <= rows; begin += kGroup) {
        int any = 0;
        for (std::size_t r = begin; r < begin + kGroup; ++r) any |= !(static_cast<float>(sums[r]) * scale[r] < cutoff);
        if (any)
            for (std::size_t r = begin; r < begin + kGroup; ++r) append(r);
    }
    for (; begin < rows; ++begin) append(begin);
    return count;
}

constexpr aigc_fast::SparseKernels kSparseKernels = {add_columns, peaks<std::int32_t>, peaks<double>,
                                                     hits<std::int32_t>, hits<double>};

}  // namespace
