// Before a scan: queries in canonical form and as unit vectors with their error bounds, items with scale and slack.
// The bound |estimate - score| <= epsilon(query) * slack(item) is that of the CPU's float32 scan
// (docs/architecture.md).
#pragma once

#include "results.cuh"

namespace aigc_fast {
namespace cuda {

constexpr double kSmallestNorm = 0x1p-60;  // of rows and queries that float32 can bound
constexpr double kLargestNorm = 0x1p60;
constexpr double kLargestPearsonSlack = 0x1p14;

__device__ __forceinline__ float scan_epsilon(const Search& search, double norm, double raw_norm, bool scannable) {
    const float nothing = static_cast<float>(infinity());  // every item is a candidate
    if (norm == 0.0) return 0.0f;                          // estimates of zero scores are exact
    const double roundings = static_cast<double>(search.items.dim + 16) * 0x1p-24;
    if (roundings > 0.5 || !scannable) return nothing;
    double epsilon = roundings / (1.0 - roundings);
    if (search.metric == kPearson) epsilon += static_cast<double>(search.items.dim + 16) * 0x1p-50 * (raw_norm / norm);
    return static_cast<float>(epsilon * 1.0001);
}

// Eight threads a query. Panels are filled up with queries of zeros, whose cutoff nothing reaches.
template <class E>
__device__ __forceinline__ void prepare_queries(const Search& search, const Rows& queries) {
    const unsigned query = (blockIdx.x * kThreads + threadIdx.x) / kLanes;
    const unsigned lane = threadIdx.x % kLanes;
    const bool real = query < search.queries;
    const unsigned row = real ? query : 0;  // whole warps take part in the sums
    const unsigned dim = queries.dim;
    CanonicalRow<E> x = canonical_row<E>(queries, row, search.metric, lane);
    const double mean = x.mean;
    double raw_square = 0.0;
    double square = 0.0;
    x.mean = 0.0;
    for (unsigned j = lane; j < dim; j += kLanes) {
        const double element = x[j];
        raw_square = fma(element, element, raw_square);
        square = fma(element - mean, element - mean, square);
    }
    x.mean = mean;
    raw_square = add_lanes(raw_square);
    square = add_lanes(square);
    const bool finite = IsF64<E>::value ? x.finite : is_finite(raw_square);
    const double norm = sqrt(square);
    const bool scannable =
        search.metric != kInnerProduct || norm == 0.0 || (norm >= kSmallestNorm && norm <= kLargestNorm);
    const float epsilon = finite ? scan_epsilon(search, norm, sqrt(raw_square), scannable) : 0.0f;
    const bool bounded = finite && norm != 0.0 && epsilon < static_cast<float>(infinity());

    const unsigned columns = round_up(dim, kStepColumns);
    const unsigned panel = query / search.panel;
    if (query < round_up(search.queries, search.panel)) {
        float* vectors = search.vectors + static_cast<unsigned long long>(panel) * columns * search.panel;
        for (unsigned j = lane; search.vectors != nullptr && j < columns; j += kLanes)
            vectors[static_cast<unsigned long long>(j) * search.panel + query % search.panel] =
                real && bounded ? static_cast<float>(x[j] / norm) : 0.0f;
        if (!real && lane == 0) search.cutoffs[query] = static_cast<float>(infinity());
    }
    if (!real) return;
    double* values = search.values + static_cast<unsigned long long>(query) * round_up(dim, kLanes);
    for (unsigned j = lane; j < round_up(dim, kLanes); j += kLanes) values[j] = x[j];
    if (lane != 0) return;
    const double unit = search.metric == kInnerProduct && norm != 0.0 && scannable ? norm : 1.0;
    search.info[query] = {norm, unit, epsilon, finite};
    search.cutoffs[query] =
        finite ? just_below(threshold_of(search.filter, query), unit) : static_cast<float>(infinity());
    search.counts[query] = 0;
    if (search.mode == kKeep) search.kept[query] = 0;
}

// A warp an item.
template <class E>
__device__ __forceinline__ void measure_items(const Rows& items, Metric metric, Measure* measures) {
    const unsigned item = blockIdx.x * (kThreads / 32) + threadIdx.x / 32;
    if (item >= items.rows) return;
    const E* row = static_cast<const E*>(items.data) + item * items.row_stride;
    const auto warp_sum = [](double x) {
        for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
        return x;
    };
    double square = 0.0;
    double sum = 0.0;
    double zero = 0.0;  // positive where an element is not zero, though its square may be
    for (unsigned j = threadIdx.x % 32; j < items.dim; j += 32) {
        const double x = as_f64(row[j * items.column_stride]);
        square = fma(x, x, square);
        sum += x;
        if (x != 0.0) zero = 1.0;
    }
    const double norm = sqrt(warp_sum(square));
    const bool bounded = norm >= kSmallestNorm && norm <= kLargestNorm;
    Measure measure{0.0f, static_cast<float>(infinity())};  // extreme, or not finite: a candidate for every query
    if (warp_sum(zero) == 0.0) {
        measure.slack = 0.0f;
    } else if (bounded && metric == kCosine) {
        measure = {static_cast<float>(1.0 / norm), 1.0f};
    } else if (bounded && metric == kInnerProduct) {
        measure = {1.0f, static_cast<float>(norm)};
    } else if (bounded) {
        const double mean = warp_sum(sum) / static_cast<double>(items.dim);
        double squares = 0.0;
        for (unsigned j = threadIdx.x % 32; j < items.dim; j += 32) {
            const double x = as_f64(row[j * items.column_stride]) - mean;
            squares = fma(x, x, squares);
        }
        const double deviation = sqrt(warp_sum(squares));
        if (norm <= kLargestPearsonSlack * deviation)
            measure = {static_cast<float>(1.0 / deviation), static_cast<float>(norm / deviation)};
    }
    if (threadIdx.x % 32 == 0) measures[item] = measure;
}

}  // namespace cuda
}  // namespace aigc_fast
