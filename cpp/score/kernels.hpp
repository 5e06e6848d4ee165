// The canonical score's kernels: what every instruction set provides, with the same bits.
//
// For rows x and q the dot product is eight float64 partial sums (lane l takes elements l, l+8, ...) advanced by
// fused multiply-adds, and the lanes are added as ((0+4)+(2+6)) + ((1+5)+(3+7)). float32 rows are widened
// exactly, so that their products are exact and fused and unfused arithmetic agree.
#pragma once

#include <cstddef>

namespace aigc_fast {

struct DotAndSquare {
    double dot;     // x . q
    double square;  // x . x
};

struct ScoreKernels {
    // out[i] for `count` rows against one query.
    void (*pairs_f32)(const float* const* x, std::size_t count, const double* q, std::size_t dim, DotAndSquare* out);
    void (*pairs_f64)(const double* const* x, std::size_t count, const double* q, std::size_t dim, DotAndSquare* out);
    // dot / (|x| |q|) clipped to [-1, 1], 0 where a norm is 0; NaN where a square is.
    void (*cosines)(const DotAndSquare* pairs, std::size_t count, double query_norm, double* out);
    // out[4 * i + j] = x[i] . q[j] for four rows of each side.
    void (*tile_4x4)(const double* const* x, const double* const* q, std::size_t dim, double* out);
    // y = x / norm, divided in float64 and rounded to the type of y.
    void (*divide_to_f32)(const double* x, double norm, float* y, std::size_t dim);
    void (*divide_to_f64)(const double* x, double norm, double* y, std::size_t dim);
};

extern const ScoreKernels score_scalar;
extern const ScoreKernels score_avx2;
extern const ScoreKernels score_avx512;
extern const ScoreKernels score_neon;

}  // namespace aigc_fast
