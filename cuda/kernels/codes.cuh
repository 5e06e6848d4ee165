// Int8 codes of items and queries, and the bound that makes a scan of them exact (docs/architecture.md, "The int8 scan
// and its bound"): with item = s*c + r, query = t*d + u,
//     | item.query - s*t*(c.d) | = | r.query + (s*c).u | <= residual + reach * sigma
// Items and queries are coded from their canonical rows, in float64, and what is left over is measured on the codes
// themselves and rounded up.
#pragma once

#include "prepare.cuh"

namespace aigc_fast {
namespace cuda {

constexpr double kRowRounding = 0x1p-22;       // of a unit row to float32, and of the arithmetic of its residual
constexpr float kEstimateRounding = 0x1p-19f;  // of an estimate in float32, relative to reach
constexpr float kScoreRounding = 0x1p-21f;     // of the canonical score itself, at most 1 for cosine and Pearson
constexpr float kLargestCode = 127.0f;
constexpr double kFineSteps = 254.0;  // of the fine codes in one of the coarse: from -127 to 127
constexpr unsigned kCodeLanes = kCodeRows * kLanes / kThreads;  // rows of a block that eight threads code

// Positive float32 are ordered like their bits.
__device__ __forceinline__ void raise_to(unsigned* shared, float x) { atomicMax(shared, __float_as_uint(x)); }

// A block of threads codes a block of items; the grid covers whole tiles.
template <class E>
__device__ __forceinline__ void code_items(const Search& search, const Codes& codes) {
    __shared__ unsigned largest, residual, reach;
    __shared__ unsigned coded[kCodeRows / 32], unbounded[kCodeRows / 32];
    if (threadIdx.x == 0) largest = residual = reach = 0;
    if (threadIdx.x < kCodeRows / 32) coded[threadIdx.x] = unbounded[threadIdx.x] = 0;
    __syncthreads();

    const unsigned lane = threadIdx.x % kLanes;
    CanonicalRow<E> rows[kCodeLanes];
    double factors[kCodeLanes];  // what makes a unit row; 0 where there is none
    float magnitude = 0.0f;
#pragma unroll
    for (unsigned i = 0; i < kCodeLanes; ++i) {
        const unsigned in_block = threadIdx.x / kLanes + i * (kThreads / kLanes);
        const unsigned row = blockIdx.x * kCodeRows + in_block;
        const bool real = row < search.items.rows;
        rows[i] = canonical_row<E>(search.items, real ? row : 0, search.metric, lane);
        double square = 0.0;
        for (unsigned j = lane; j < search.items.dim; j += kLanes) square = fma(rows[i][j], rows[i][j], square);
        square = add_lanes(square);
        const double norm = sqrt(square);
        const bool finite = IsF64<E>::value ? rows[i].finite : is_finite(square);
        const bool bounded =
            search.metric != kInnerProduct || norm == 0.0 || (norm >= kSmallestNorm && norm <= kLargestNorm);
        factors[i] = !real || !finite || !bounded || norm == 0.0 ? 0.0
                     : search.metric == kInnerProduct            ? 1.0
                                                                 : 1 / norm;
        if (real && finite && lane == 0) atomicOr((bounded ? coded : unbounded) + in_block / 32, 1u << in_block % 32);
        if (factors[i] == 0.0) continue;
        for (unsigned j = lane; j < search.items.dim; j += kLanes)
            magnitude = fmaxf(magnitude, fabsf(static_cast<float>(rows[i][j] * factors[i])));
    }
    raise_to(&largest, magnitude);
    __syncthreads();

    const float peak = __uint_as_float(largest);
    const float scale = peak > 0.0f ? peak / kLargestCode : 1.0f;
    const float inverse = 1.0f / scale;
#pragma unroll
    for (unsigned i = 0; i < kCodeLanes; ++i) {
        const unsigned row = blockIdx.x * kCodeRows + threadIdx.x / kLanes + i * (kThreads / kLanes);
        double left_square = 0.0;
        double code_square = 0.0;
        for (unsigned j = lane * 4; j < codes.width; j += kLanes * 4) {
            unsigned packed = 0;
#pragma unroll
            for (unsigned b = 0; b < 4; ++b) {
                const float x = factors[i] == 0.0 ? 0.0f : static_cast<float>(rows[i][j + b] * factors[i]);
                const int code = __float2int_rn(x * inverse);
                packed |= (static_cast<unsigned>(code) & 0xff) << (8 * b);
                const double covered = static_cast<double>(code) * static_cast<double>(scale);
                const double left = static_cast<double>(x) - covered;
                left_square = fma(left, left, left_square);
                code_square = fma(covered, covered, code_square);
            }
            *reinterpret_cast<unsigned*>(codes.items + static_cast<unsigned long long>(row) * codes.width + j) = packed;
        }
        const double covered = sqrt(add_lanes(code_square));
        const double left = sqrt(add_lanes(left_square));
        raise_to(&residual, __double2float_ru(left + (left + covered) * kRowRounding));
        raise_to(&reach, __double2float_ru(covered * (1.0 + kRowRounding)));
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    const auto bits = [](const unsigned* words) { return words[0] | static_cast<unsigned long long>(words[1]) << 32; };
    codes.blocks[blockIdx.x] = {scale,       inverse,        __uint_as_float(residual), __uint_as_float(reach),
                                bits(coded), bits(unbounded)};
}

// Eight threads a query, after prepare_queries(). Panels are filled up with queries of zeros.
__device__ __forceinline__ void code_queries_of(const Search& search, const Codes& codes) {
    const unsigned query = (blockIdx.x * kThreads + threadIdx.x) / kLanes;
    const unsigned lane = threadIdx.x % kLanes;
    const bool real = query < search.queries;
    const QueryInfo info = search.info[real ? query : 0];
    const bool scannable = info.epsilon < static_cast<float>(infinity());
    const bool coded = real && info.finite && scannable && info.norm != 0.0;
    const double* values = search.values + static_cast<unsigned long long>(query) * round_up(search.items.dim, kLanes);
    double largest = 0.0;
    for (unsigned j = lane; coded && j < search.items.dim; j += kLanes) largest = larger(largest, fabs(values[j]));
    largest = over_lanes(largest, larger) / info.norm;
    // The scale of the finer of the two levels, or of the only one.
    const double steps = codes.fine == nullptr ? 1.0 : kFineSteps;
    const float scale = coded ? static_cast<float>(largest / (kLargestCode * steps)) : 1.0f;
    const double step = steps * static_cast<double>(scale);
    double square = 0.0;
    const auto code_of = [&](double x, double unit) {
        const double code = rint(x / unit);
        return code > kLargestCode ? 127 : code < -kLargestCode ? -127 : static_cast<int>(code);
    };
    for (unsigned j = lane; query < round_up(search.queries, search.panel) && j < codes.width; j += kLanes) {
        const double x = coded && j < search.items.dim ? values[j] / info.norm : 0.0;
        const int code = code_of(x, step);
        double left = x - code * step;
        const unsigned long long at = static_cast<unsigned long long>(query) * codes.width + j;
        codes.queries[at] = static_cast<signed char>(code);
        if (codes.fine != nullptr) {
            const int fine = code_of(left, scale);
            left -= fine * static_cast<double>(scale);
            codes.fine[at] = static_cast<signed char>(fine);
        }
        square = fma(left, left, square);
    }
    const double left = sqrt(add_lanes(square));
    if (query >= round_up(search.queries, search.panel) || lane != 0) return;
    const float sigma = __double2float_ru(left * (1.0 + kRowRounding) + kEstimateRounding);
    const float offset =
        real && !scannable ? static_cast<float>(infinity()) : (search.metric == kInnerProduct ? 0.0f : kScoreRounding);
    codes.query_codes[query] = {scale, sigma, offset};
    if (real) codes.hit_counts[query] = 0;
}

__device__ __forceinline__ float no_estimate() { return __uint_as_float(0x7fffffffu); }  // NaN

// |estimate - score / unit| is at most this.
__device__ __forceinline__ float allowance(const CodeBlock& block, const QueryCode& query) {
    return (block.residual + block.reach * query.sigma) * 1.00001f + query.offset;
}

// What an estimate must reach. NaN where the query has no bound: everything reaches it.
__device__ __forceinline__ float cutoff_of(const Search& search, const Codes& codes, unsigned query) {
    return search.cutoffs[query] - codes.query_codes[query].offset;
}

}  // namespace cuda
}  // namespace aigc_fast
