// The canonical score (docs/architecture.md), bit for bit that of the CPU.
//
// Its eight partial sums are eight threads: a warp works on four pairs of rows at a time. Every function here is called
// by whole warps, since threads exchange their sums.
#pragma once

#include "elements.cuh"
#include "search.h"

namespace aigc_fast {
namespace cuda {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr double kLargestPlain = 0x1p400;    // rows whose largest magnitude lies outside are scaled: their
constexpr double kSmallestPlain = 0x1p-400;  // squares could leave float64

// ((0+4)+(2+6)) + ((1+5)+(3+7)), in all eight threads.
__device__ __forceinline__ double add_lanes(double sum) {
    sum += __shfl_xor_sync(kAllLanes, sum, 4);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    return sum;
}

template <class Choose>
__device__ __forceinline__ double over_lanes(double x, Choose choose) {
    x = choose(x, __shfl_xor_sync(kAllLanes, x, 4));
    x = choose(x, __shfl_xor_sync(kAllLanes, x, 2));
    return choose(x, __shfl_xor_sync(kAllLanes, x, 1));
}
__device__ __forceinline__ double smaller(double a, double b) { return b < a ? b : a; }
__device__ __forceinline__ double larger(double a, double b) { return a < b ? b : a; }

__device__ __forceinline__ bool is_finite(double x) {
    return (__double_as_longlong(x) & 0x7fffffffffffffffll) < 0x7ff0000000000000ll;
}

// 2^exponent for a normal result.
__device__ __forceinline__ double power_of_two(int exponent) {
    return __longlong_as_double(static_cast<long long>(exponent + 1023) << 52);
}

// floor(log2(x)) of a positive finite number.
__device__ __forceinline__ int exponent_of(double x) {
    const long long bits = __double_as_longlong(x);
    return bits >> 52 ? static_cast<int>(bits >> 52) - 1023 : 63 - __clzll(bits) - 1074;
}

// A row as the canonical score sees it: scaled by a power of two where it is extreme, less its mean for Pearson.
template <class E>
struct CanonicalRow {
    const E* elements;
    long long stride;
    unsigned dim;
    bool finite;   // of float64 rows; float32 squares cannot overflow, so there the sum of squares tells
    int exponent;  // the row is divided by 2^exponent, in two steps that round once at most
    double first;
    double second;
    double mean;

    __device__ __forceinline__ double operator[](unsigned column) const {
        if (column >= dim) return 0.0;
        double x = as_f64(elements[column * stride]);
        if (IsF64<E>::value) x = x * first * second;
        return x - mean;
    }
};

template <class E>
__device__ __forceinline__ CanonicalRow<E> canonical_row(const Rows& rows, unsigned row, Metric metric, unsigned lane) {
    CanonicalRow<E> x;
    x.elements = static_cast<const E*>(rows.data) + row * rows.row_stride;
    x.stride = rows.column_stride;
    x.dim = rows.dim;
    x.finite = true;
    x.exponent = 0;
    x.first = x.second = 1.0;
    x.mean = 0.0;
    if (IsF64<E>::value) {
        double largest = 0.0;
        bool finite = true;
        for (unsigned j = lane; j < x.dim; j += kLanes) {
            const double element = x[j];
            finite = finite && is_finite(element);
            largest = larger(largest, fabs(element));
        }
        largest = over_lanes(largest, larger);
        x.finite = over_lanes(finite ? 1.0 : 0.0, smaller) != 0.0;
        if (x.finite && metric != kInnerProduct && largest != 0.0 &&
            !(largest >= kSmallestPlain && largest <= kLargestPlain)) {
            x.exponent = exponent_of(largest);
            const int half = -x.exponent / 2;
            x.first = power_of_two(half);
            x.second = power_of_two(-x.exponent - half);
        }
    }
    if (metric == kPearson && x.dim != 0) {
        double sum = 0.0;
        double low = x[0];
        double high = low;
        for (unsigned j = lane; j < x.dim; j += kLanes) {
            const double element = x[j];
            sum += element;
            low = smaller(low, element);
            high = larger(high, element);
        }
        low = over_lanes(low, smaller);
        high = over_lanes(high, larger);
        double mean = add_lanes(sum) / static_cast<double>(x.dim);
        mean = mean < low ? low : mean;
        x.mean = high < mean ? high : mean;  // a constant row is exactly its own mean
    }
    return x;
}

// dot / (norm_x * norm_q), clipped; the dot product alone for the inner product.
__device__ __forceinline__ double finish_score(Metric metric, double dot, double norm_x, double norm_q, int as_f64) {
    double score = dot;
    if (metric != kInnerProduct) {
        score = norm_x == 0.0 || norm_q == 0.0 ? 0.0 : dot / (norm_x * norm_q);
        score = score < -1.0 ? -1.0 : score;
        score = 1.0 < score ? 1.0 : score;
    }
    return as_f64 ? score : static_cast<double>(static_cast<float>(score));
}

// The score of an item and a query (its canonical row, filled up with zeros to whole lanes); NaN where there is none.
template <class E>
__device__ __forceinline__ double canonical_score(const Rows& items, unsigned row, const double* query, double norm,
                                                  Metric metric, int as_f64, unsigned lane) {
    const CanonicalRow<E> x = canonical_row<E>(items, row, metric, lane);
    double dot = 0.0;
    double square = 0.0;
    for (unsigned j = lane; j < round_up(x.dim, kLanes); j += kLanes) {
        const double element = x[j];
        dot = fma(element, query[j], dot);
        square = fma(element, element, square);
    }
    dot = add_lanes(dot);
    square = add_lanes(square);
    if (!(IsF64<E>::value ? x.finite : is_finite(square))) return __longlong_as_double(0x7ff8000000000000ll);
    return finish_score(metric, dot, sqrt(square), norm, as_f64);
}

}  // namespace cuda
}  // namespace aigc_fast
