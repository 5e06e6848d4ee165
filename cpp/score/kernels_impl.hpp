// The canonical score's kernels, written once over the vector type F64x8 of the file that includes this.
// No standard-library templates here: an instruction set's file must not leave shared symbols behind.
#pragma once

#include "score/kernels.hpp"

namespace {

// Rows side by side, since one sum alone would wait for the latency of each multiply-add.
template <std::size_t Rows, class T>
inline void pairs_of(const T* const* x, const double* q, std::size_t dim, aigc_fast::DotAndSquare* out) {
    F64x8 dots[Rows];
    F64x8 squares[Rows];
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) dots[r] = squares[r] = F64x8::zero();
    const auto step = [&](F64x8 q_f64x8, auto load) {
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
            const F64x8 x_f64x8 = load(x[r]);
            dots[r] = F64x8::fma(x_f64x8, q_f64x8, dots[r]);
            squares[r] = F64x8::fma(x_f64x8, x_f64x8, squares[r]);
        }
    };
    std::size_t at = 0;
    for (; at + 8 <= dim; at += 8) step(F64x8::load(q + at), [&](const T* row) { return F64x8::load(row + at); });
    if (at < dim)
        step(F64x8::load_tail(q + at, dim - at), [&](const T* row) { return F64x8::load_tail(row + at, dim - at); });
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) out[r] = {dots[r].sum(), squares[r].sum()};
}

// As many rows at a time as registers hold, then half as many, and so on.
template <std::size_t Rows, class T>
inline void pairs_by(const T* const* x, std::size_t count, const double* q, std::size_t dim,
                     aigc_fast::DotAndSquare* out) {
    for (; count >= Rows; count -= Rows, x += Rows, out += Rows) pairs_of<Rows>(x, q, dim, out);
    if constexpr (Rows > 1) pairs_by<Rows / 2>(x, count, q, dim, out);
}

template <class T>
void pairs(const T* const* x, std::size_t count, const double* q, std::size_t dim, aigc_fast::DotAndSquare* out) {
    pairs_by<F64x8::pair_rows>(x, count, q, dim, out);
}

// A plain loop, like the division below: IEEE operations give the same bits however they are vectorized.
void cosines(const aigc_fast::DotAndSquare* pairs, std::size_t count, double query_norm, double* out) {
    for (std::size_t i = 0; i < count; ++i) {
        const double norms = __builtin_sqrt(pairs[i].square) * query_norm;
        double cosine = pairs[i].dot / norms;
        cosine = cosine > 1.0 ? 1.0 : cosine;
        cosine = cosine < -1.0 ? -1.0 : cosine;
        out[i] = norms == 0.0 ? 0.0 : cosine;
    }
}

// A part of out[4][4] whose independent sums hide the latency of the multiply-add.
template <std::size_t Rows>
inline void tile_of(const double* const* x, const double* const* q, std::size_t dim, double* out) {
    F64x8 sums[Rows][Rows];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < Rows; ++i)
#pragma GCC unroll 4
        for (std::size_t j = 0; j < Rows; ++j) sums[i][j] = F64x8::zero();
    const auto step = [&](auto load) {
        F64x8 q_f64x8[Rows];
#pragma GCC unroll 4
        for (std::size_t j = 0; j < Rows; ++j) q_f64x8[j] = load(q[j]);
#pragma GCC unroll 4
        for (std::size_t i = 0; i < Rows; ++i) {
            const F64x8 x_f64x8 = load(x[i]);
#pragma GCC unroll 4
            for (std::size_t j = 0; j < Rows; ++j) sums[i][j] = F64x8::fma(x_f64x8, q_f64x8[j], sums[i][j]);
        }
    };
    std::size_t at = 0;
    for (; at + 8 <= dim; at += 8) step([&](const double* row) { return F64x8::load(row + at); });
    if (at < dim) step([&](const double* row) { return F64x8::load_tail(row + at, dim - at); });
#pragma GCC unroll 4
    for (std::size_t i = 0; i < Rows; ++i)
#pragma GCC unroll 4
        for (std::size_t j = 0; j < Rows; ++j) out[4 * i + j] = sums[i][j].sum();
}

void tile_4x4(const double* const* x, const double* const* q, std::size_t dim, double* out) {
    for (std::size_t i = 0; i < 4; i += F64x8::tile_rows)
        for (std::size_t j = 0; j < 4; j += F64x8::tile_rows)
            tile_of<F64x8::tile_rows>(x + i, q + j, dim, out + 4 * i + j);
}

// A plain loop: IEEE division and conversion give the same bits however it is vectorized.
template <class T>
void divide(const double* x, double norm, T* y, std::size_t dim) {
    for (std::size_t j = 0; j < dim; ++j) y[j] = static_cast<T>(x[j] / norm);
}

constexpr aigc_fast::ScoreKernels kScoreKernels = {pairs<float>, pairs<double>, cosines,
                                                   tile_4x4,     divide<float>, divide<double>};

}  // namespace
