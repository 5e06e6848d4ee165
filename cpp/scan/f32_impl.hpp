// The float32 scan's kernels, written once over the vector types of the file that includes this, which also
// defines kTileRows: as many rows as leave registers for 2 query vectors and a broadcast (2 * kTileRows + 3).
#pragma once

#include "scan/f32.hpp"

namespace {

using aigc_fast::F32Block;
using aigc_fast::F32Queries;
using aigc_fast::Hit;
using aigc_fast::Metric;

static_assert(kTileRows <= aigc_fast::kScanTileRows && 2 * F32::width <= aigc_fast::kMaxPanelWidth);

// Norms outside this range could overflow or lose bits to underflow in float32 sums.
constexpr double kSmallestNorm = 0x1p-60;
constexpr double kLargestNorm = 0x1p60;
constexpr std::size_t kSums = 4;
constexpr std::size_t kCacheLineFloats = 16;
constexpr std::size_t kPrefetchFloats = 1024;  // 4 KiB ahead of the row
// Between these a float32 sum of squares is as exact as a float32 dot product: nothing overflowed, and what underflowed
// is less than a rounding.
constexpr float kSmallestSquare = 0x1p-80f;
constexpr float kLargestSquare = 0x1p120f;
// A row whose mean is this much larger than its deviation has no useful float32 bound: rounding a float64 row to
// float32 changes its deviation by a share of up to 2^-24 times this.
constexpr double kLargestPearsonSlack = 0x1p14;

double sum_of_squares(const float* x, std::size_t dim, double minus) {
    const double ones_values[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    const double minus_values[8] = {-minus, -minus, -minus, -minus, -minus, -minus, -minus, -minus};
    const F64x8 ones = F64x8::load(ones_values);
    const F64x8 shift = F64x8::load(minus_values);
    F64x8 squares[kSums];  // so many that none waits for another
    for (F64x8& square : squares) square = F64x8::zero();
    const auto add = [&](std::size_t at, F64x8& square) {
        const F64x8 x_f64x8 = F64x8::fma(F64x8::load(x + at), ones, shift);
        square = F64x8::fma(x_f64x8, x_f64x8, square);
    };
    std::size_t j = 0;
    for (; j + 8 * kSums <= dim; j += 8 * kSums)
#pragma GCC unroll 4
        for (std::size_t i = 0; i < kSums; ++i) add(j + 8 * i, squares[i]);
    for (; j + 8 <= dim; j += 8) add(j, squares[0]);
    double sum = 0.0;
    for (const F64x8& square : squares) sum += square.sum();
    for (; j < dim; ++j) sum += (static_cast<double>(x[j]) - minus) * (static_cast<double>(x[j]) - minus);
    return sum;
}

float sum_of_squares_f32(const float* x, std::size_t dim) {
    F32 squares[kSums];
    for (F32& square : squares) square = F32::zero();
    const auto add = [](F32 x_f32, F32& square) { square = F32::fma(x_f32, x_f32, square); };
    std::size_t j = 0;
    for (; j + F32::width * kSums <= dim; j += F32::width * kSums)
#pragma GCC unroll 4
        for (std::size_t i = 0; i < kSums; ++i) add(F32::load(x + j + F32::width * i), squares[i]);
    for (; j + F32::width <= dim; j += F32::width) add(F32::load(x + j), squares[0]);
    if (j < dim) add(F32::load_tail(x + j, dim - j), squares[0]);
    float sum = 0.0f;
    for (const F32& square : squares) sum += square.sum();
    return sum;
}

double mean(const float* x, std::size_t dim) {
    const double ones_values[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    const F64x8 ones = F64x8::load(ones_values);
    F64x8 sums = F64x8::zero();
    std::size_t j = 0;
    for (; j + 8 <= dim; j += 8) sums = F64x8::fma(F64x8::load(x + j), ones, sums);
    double sum = sums.sum();
    for (; j < dim; ++j) sum += static_cast<double>(x[j]);
    return sum / static_cast<double>(dim);
}

inline void measure_row(const float* x, std::size_t dim, Metric metric, float* scale, float* slack) {
    // Pearson's slack divides a norm by a deviation that may be far smaller, so it takes float64.
    const float quick = metric == Metric::pearson ? 0.0f : sum_of_squares_f32(x, dim);
    const bool exact_enough = quick >= kSmallestSquare && quick <= kLargestSquare;
    const double square = exact_enough ? static_cast<double>(quick) : sum_of_squares(x, dim, 0.0);
    const double norm = __builtin_sqrt(square);
    *scale = 0.0f;
    if (!__builtin_isfinite(square)) {
        *slack = __builtin_nanf("");
    } else if (norm == 0.0) {
        *slack = 0.0f;
    } else if (!(norm >= kSmallestNorm && norm <= kLargestNorm)) {
        *slack = __builtin_inff();
    } else if (metric == Metric::cosine) {
        *scale = static_cast<float>(1.0 / norm);
        *slack = 1.0f;
    } else if (metric == Metric::inner_product) {
        *scale = 1.0f;
        *slack = static_cast<float>(norm);
    } else {
        const double deviation = __builtin_sqrt(sum_of_squares(x, dim, mean(x, dim)));
        // A deviation of zero says nothing of a float64 row, which this may be the rounding of.
        const bool bounded = norm <= kLargestPearsonSlack * deviation;
        *scale = bounded ? static_cast<float>(1.0 / deviation) : 0.0f;
        *slack = bounded ? static_cast<float>(norm / deviation) : __builtin_inff();
    }
}

// The processor's own prefetching stops at the end of a page.
inline void prefetch_behind(const float* x, std::size_t dim) {
    for (std::size_t j = 0; j < dim; j += kCacheLineFloats) __builtin_prefetch(x + j + kPrefetchFloats);
}

void measure(const F32Block& block, Metric metric) {
    for (std::size_t i = 0; i < block.count; ++i) {
        const float* x = block.rows + static_cast<std::ptrdiff_t>(i) * block.stride;
        prefetch_behind(x, block.dim);
        measure_row(x, block.dim, metric, block.scale + i, block.slack + i);
    }
}

// Appends the lanes of `mask`, which start at query `first`.
inline void append(std::uint32_t mask, F32 approx, std::size_t row, std::size_t first, std::size_t query_count,
                   Hit* hits, std::size_t* hit_count) {
    float values[F32::width];
    approx.store(values);
    for (; mask != 0; mask &= mask - 1) {
        const std::size_t lane = static_cast<std::size_t>(__builtin_ctz(mask));
        if (first + lane < query_count)
            hits[(*hit_count)++] = {static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(first + lane),
                                    values[lane]};
    }
}

// Rows x query-vectors in registers: each item element is broadcast once and meets Vectors * width queries. `take` gets
// the scores of a vector of queries, and by how much they may be wrong.
template <std::size_t Rows, std::size_t Vectors, class Take>
inline void score_tile(const F32Block& block, const F32Queries& queries, std::size_t row, Take take) {
    constexpr std::size_t panel = Vectors * F32::width;
    const float* x = block.rows + static_cast<std::ptrdiff_t>(row) * block.stride;
    const float* q = queries.vectors;
    F32 sums[Rows][Vectors];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 2
        for (std::size_t v = 0; v < Vectors; ++v) sums[r][v] = F32::zero();
    for (std::size_t j = 0; j < block.dim; ++j, q += panel) {
        F32 query_f32[Vectors];
#pragma GCC unroll 2
        for (std::size_t v = 0; v < Vectors; ++v) query_f32[v] = F32::load(q + v * F32::width);
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) {
            const F32 item_f32 =
                F32::broadcast(x[static_cast<std::ptrdiff_t>(r) * block.stride + static_cast<std::ptrdiff_t>(j)]);
#pragma GCC unroll 2
            for (std::size_t v = 0; v < Vectors; ++v) sums[r][v] = F32::fma(item_f32, query_f32[v], sums[r][v]);
        }
    }
#pragma GCC unroll 16
    for (std::size_t r = 0; r < Rows; ++r) {
        const F32 scale = F32::broadcast(block.scale[row + r]);
        const F32 slack = F32::broadcast(block.slack[row + r]);
#pragma GCC unroll 2
        for (std::size_t v = 0; v < Vectors; ++v) {
            const F32 approx = F32::mul(sums[r][v], scale);
            const F32 allowance = F32::mul(F32::load(queries.epsilon + v * F32::width), slack);
            take(row + r, v * F32::width, approx, allowance);
        }
    }
}

template <std::size_t Rows, std::size_t Vectors>
inline void scan_tile(const F32Block& block, const F32Queries& queries, std::size_t row, Hit* hits,
                      std::size_t* hit_count) {
    score_tile<Rows, Vectors>(block, queries, row, [&](std::size_t r, std::size_t q, F32 approx, F32 allowance) {
        const std::uint32_t mask = F32::not_less(approx, F32::sub(F32::load(queries.cutoff + q), allowance));
        if (__builtin_expect(mask != 0, 0)) append(mask, approx, r, q, queries.count, hits, hit_count);
    });
}

template <std::size_t Vectors>
std::size_t scan_panel_of(const F32Block& block, const F32Queries& queries, std::size_t row, Hit* hits,
                          std::size_t capacity, std::size_t* hit_count) {
    constexpr std::size_t most_hits = kTileRows * Vectors * F32::width;
    while (row < block.count && *hit_count + most_hits <= capacity) {
        if (row + kTileRows <= block.count) {
            scan_tile<kTileRows, Vectors>(block, queries, row, hits, hit_count);
            row += kTileRows;
        } else {
            scan_tile<1, Vectors>(block, queries, row, hits, hit_count);
            ++row;
        }
    }
    return row;
}

std::size_t scan_panel(const F32Block& block, const F32Queries& queries, std::size_t begin, Hit* hits,
                       std::size_t capacity, std::size_t* hit_count) {
    return queries.count <= F32::width ? scan_panel_of<1>(block, queries, begin, hits, capacity, hit_count)
                                       : scan_panel_of<2>(block, queries, begin, hits, capacity, hit_count);
}

template <std::size_t Vectors>
void bound_panel_of(const F32Block& block, const F32Queries& queries, float* lower) {
    const auto keep = [&](std::size_t row, std::size_t query, F32 approx, F32 allowance) {
        F32::sub(approx, allowance).store(lower + row * Vectors * F32::width + query);
    };
    std::size_t row = 0;
    for (; row + kTileRows <= block.count; row += kTileRows) score_tile<kTileRows, Vectors>(block, queries, row, keep);
    for (; row < block.count; ++row) score_tile<1, Vectors>(block, queries, row, keep);
}

void bound_panel(const F32Block& block, const F32Queries& queries, float* lower) {
    queries.count <= F32::width ? bound_panel_of<1>(block, queries, lower) : bound_panel_of<2>(block, queries, lower);
}

void collect(const aigc_fast::LowerBounds& bounds, const float* cutoffs, const float* spreads,
             aigc_fast::BoundedRow* const* rows, std::size_t* counts) {
    for (std::size_t row = 0; row < bounds.rows; ++row) {
        const float* values = bounds.values + row * bounds.stride;
        const F32 slack = F32::broadcast(bounds.slack[row]);
        for (std::size_t first = 0; first < bounds.queries; first += F32::width) {
            const F32 allowance = F32::mul(F32::load(spreads + first), slack);
            std::uint32_t mask =
                F32::not_less(F32::load(values + first), F32::sub(F32::load(cutoffs + first), allowance));
            if (bounds.queries - first < F32::width) mask &= (1u << (bounds.queries - first)) - 1;
            for (; mask != 0; mask &= mask - 1) {
                const std::size_t query = first + static_cast<std::size_t>(__builtin_ctz(mask));
                rows[query][counts[query]++] = {values[query], static_cast<std::uint32_t>(row)};
            }
        }
    }
}

// For few queries memory is the limit: each row is measured and scanned while it passes, lanes run along the row.
template <std::size_t Queries>
std::size_t scan_few_of(const F32Block& block, const F32Queries& queries, Metric metric, std::size_t row, Hit* hits,
                        std::size_t capacity, std::size_t* hit_count) {
    for (; row < block.count && *hit_count + Queries <= capacity; ++row) {
        const float* x = block.rows + static_cast<std::ptrdiff_t>(row) * block.stride;
        prefetch_behind(x, block.dim);
        float scale;
        float slack;
        measure_row(x, block.dim, metric, &scale, &slack);
        block.slack[row] = slack;
        F32 sums[Queries];
#pragma GCC unroll 4
        for (std::size_t i = 0; i < Queries; ++i) sums[i] = F32::zero();
        std::size_t j = 0;
        for (; j + F32::width <= block.dim; j += F32::width) {
            const F32 item_f32 = F32::load(x + j);
#pragma GCC unroll 4
            for (std::size_t i = 0; i < Queries; ++i)
                sums[i] = F32::fma(item_f32, F32::load(queries.vectors + i * block.dim + j), sums[i]);
        }
        if (j < block.dim) {
            const std::size_t rest = block.dim - j;
            const F32 item_f32 = F32::load_tail(x + j, rest);
#pragma GCC unroll 4
            for (std::size_t i = 0; i < Queries; ++i)
                sums[i] = F32::fma(item_f32, F32::load_tail(queries.vectors + i * block.dim + j, rest), sums[i]);
        }
        for (std::size_t i = 0; i < Queries; ++i) {
            const float approx = sums[i].sum() * scale;
            if (!(approx < queries.cutoff[i] - queries.epsilon[i] * slack))
                hits[(*hit_count)++] = {static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(i), approx};
        }
    }
    return row;
}

std::size_t scan_few(const F32Block& block, const F32Queries& queries, Metric metric, std::size_t begin, Hit* hits,
                     std::size_t capacity, std::size_t* hit_count) {
    constexpr decltype(&scan_few) by_count[] = {scan_few_of<1>, scan_few_of<2>, scan_few_of<3>, scan_few_of<4>};
    static_assert(sizeof by_count / sizeof by_count[0] == aigc_fast::kFewQueries);
    return by_count[queries.count - 1](block, queries, metric, begin, hits, capacity, hit_count);
}

constexpr aigc_fast::F32ScanKernels kF32ScanKernels = {F32::width, measure, scan_panel, scan_few, bound_panel, collect};

}  // namespace
