// Whole matrices in canonical arithmetic: unit rows, and the scores of all pairs.
#pragma once

#include "results.cuh"

namespace aigc_fast {
namespace cuda {

// x * 2^exponent, rounded once: two steps, the first of which is exact unless the result is zero or infinite.
__device__ __forceinline__ double scale_by(double x, int exponent) {
    const int half = exponent / 2;
    return x * power_of_two(half) * power_of_two(exponent - half);
}

// Rows divided by their norms, eight threads a row; `out` is contiguous, or the rows themselves, and `norms` may be
// null.
template <class E, class Out>
__device__ __forceinline__ void normalize(const Rows& rows, Out* out, Out* norms) {
    const unsigned index = (blockIdx.x * kThreads + threadIdx.x) / kLanes;
    const unsigned lane = threadIdx.x % kLanes;
    if (index - threadIdx.x % 32 / kLanes >= rows.rows) return;
    // Whole warps take part in the sums. The last row is the warp's own: `out` may be the rows themselves.
    const unsigned row = min(index, rows.rows - 1);
    const CanonicalRow<E> x = canonical_row<E>(rows, row, kCosine, lane);
    double square = 0.0;
    for (unsigned j = lane; j < rows.dim; j += kLanes) square = fma(x[j], x[j], square);
    square = add_lanes(square);
    if (index >= rows.rows) return;
    const double norm = sqrt(square);
    const bool finite = IsF64<E>::value ? x.finite : is_finite(square);
    const double nan = __longlong_as_double(0x7ff8000000000000ll);
    // A row of zeros stays zero; a row that is not finite becomes NaN.
    const double divisor = !finite ? nan : norm == 0.0 ? 1.0 : norm;
    for (unsigned j = lane; j < rows.dim; j += kLanes)
        out[static_cast<unsigned long long>(row) * rows.dim + j] = static_cast<Out>(x[j] / divisor);
    if (norms != nullptr && lane == 0) norms[row] = static_cast<Out>(finite ? scale_by(norm, x.exponent) : nan);
}

// The canonical scores of one row b with every prepared row a (a query), four rows of b a warp.
template <class E>
__device__ __forceinline__ void similarity(const Search& search, void* scores) {
    const unsigned item = (blockIdx.x * kThreads + threadIdx.x) / kLanes;
    const unsigned query = blockIdx.y;
    const unsigned row = item < search.items.rows ? item : 0;
    const double nan = __longlong_as_double(0x7ff8000000000000ll);
    const double* values = search.values + static_cast<unsigned long long>(query) * round_up(search.items.dim, kLanes);
    const double score = canonical_score<E>(search.items, row, values, search.info[query].norm, search.metric,
                                            search.as_f64, threadIdx.x % kLanes);
    if (item >= search.items.rows || threadIdx.x % kLanes != 0) return;
    const unsigned long long at = static_cast<unsigned long long>(query) * search.items.rows + item;
    const double result = search.info[query].finite ? score : nan;
    if (search.as_f64)
        static_cast<double*>(scores)[at] = result;
    else
        static_cast<float*>(scores)[at] = static_cast<float>(result);
}

}  // namespace cuda
}  // namespace aigc_fast
