// The canonical score's kernels, written once over the vector type F64x8 of the file that includes this.
// No standard-library templates here: an instruction set's file must not leave shared symbols behind.
#pragma once

#include "score/kernels.hpp"

namespace {

template <class T>
aigc_fast::DotAndSquare pair(const T* x, const double* q, std::size_t dim) {
    F64x8 dot = F64x8::zero();
    F64x8 square = F64x8::zero();
    std::size_t j = 0;
    for (; j + 8 <= dim; j += 8) {
        const F64x8 x_f64x8 = F64x8::load(x + j);
        dot = F64x8::fma(x_f64x8, F64x8::load(q + j), dot);
        square = F64x8::fma(x_f64x8, x_f64x8, square);
    }
    if (j < dim) {
        const F64x8 x_f64x8 = F64x8::load_tail(x + j, dim - j);
        dot = F64x8::fma(x_f64x8, F64x8::load_tail(q + j, dim - j), dot);
        square = F64x8::fma(x_f64x8, x_f64x8, square);
    }
    return {dot.sum(), square.sum()};
}

// Sixteen independent sums hide the latency of the multiply-add.
void tile_4x4(const double* const* x, const double* const* q, std::size_t dim, double* out) {
    F64x8 sums[4][4];
    for (auto& row : sums)
        for (auto& sum : row) sum = F64x8::zero();
    const auto step = [&](auto load) {
        F64x8 q_f64x8[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) q_f64x8[j] = load(q[j]);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            const F64x8 x_f64x8 = load(x[i]);
#pragma GCC unroll 4
            for (int j = 0; j < 4; ++j) sums[i][j] = F64x8::fma(x_f64x8, q_f64x8[j], sums[i][j]);
        }
    };
    std::size_t at = 0;
    for (; at + 8 <= dim; at += 8) step([&](const double* row) { return F64x8::load(row + at); });
    if (at < dim) step([&](const double* row) { return F64x8::load_tail(row + at, dim - at); });
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) out[4 * i + j] = sums[i][j].sum();
}

// A plain loop: IEEE division and conversion give the same bits however it is vectorized.
template <class T>
void divide(const double* x, double norm, T* y, std::size_t dim) {
    for (std::size_t j = 0; j < dim; ++j) y[j] = static_cast<T>(x[j] / norm);
}

constexpr aigc_fast::ScoreKernels kScoreKernels = {pair<float>, pair<double>, tile_4x4, divide<float>,
                                                   divide<double>};

}  // namespace
