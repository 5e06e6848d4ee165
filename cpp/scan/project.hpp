// Rows of a block times a matrix: their coordinates along the directions of a head (index/code_space.hpp). Written over
// the vector type of the file that includes this.
#pragma once

#include <cstddef>

#include "scan/int8.hpp"

namespace {

using aigc_fast::kProjectChunk;

// Rows [0, Rows) times columns [0, Vectors * F32::width); `basis` has `columns` columns.
template <std::size_t Rows, std::size_t Vectors>
inline void project_tile(const float* rows, std::size_t stride, std::size_t dim, const float* basis,
                         std::size_t columns, float* out) {
    F32 totals[Rows][Vectors];
    for (auto& row : totals)
        for (F32& total : row) total = F32::zero();
    for (std::size_t chunk = 0; chunk < dim; chunk += kProjectChunk) {
        const std::size_t end = dim - chunk < kProjectChunk ? dim : chunk + kProjectChunk;
        F32 sums[Rows][Vectors];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v) sums[r][v] = F32::zero();
        for (std::size_t j = chunk; j < end; ++j) {
            F32 direction[Vectors];
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v) direction[v] = F32::load(basis + j * columns + v * F32::width);
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r) {
                const F32 x = F32::broadcast(rows[r * stride + j]);
#pragma GCC unroll 4
                for (std::size_t v = 0; v < Vectors; ++v) sums[r][v] = F32::fma(x, direction[v], sums[r][v]);
            }
        }
        const F32 one = F32::broadcast(1.0f);
        for (std::size_t r = 0; r < Rows; ++r)
            for (std::size_t v = 0; v < Vectors; ++v) totals[r][v] = F32::fma(sums[r][v], one, totals[r][v]);
    }
    for (std::size_t r = 0; r < Rows; ++r)
        for (std::size_t v = 0; v < Vectors; ++v) totals[r][v].store(out + r * columns + v * F32::width);
}

void project(const float* rows, std::size_t count, std::size_t stride, std::size_t dim, const float* basis,
             std::size_t columns, float* out) {
    constexpr std::size_t kRows = F32::width == 16 ? 8 : 4;  // as many sums as registers hold
    constexpr std::size_t kVectors = 2;
    static_assert(aigc_fast::kCodeRows % kRows == 0 && aigc_fast::kBasisColumns % (kVectors * F32::width) == 0);
    for (std::size_t row = 0; row < count; row += kRows)
        for (std::size_t column = 0; column < columns; column += kVectors * F32::width)
            project_tile<kRows, kVectors>(rows + row * stride, stride, dim, basis + column, columns,
                                          out + row * columns + column);
}

}  // namespace
