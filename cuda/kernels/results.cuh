// Which results a query may get, their one order, and the sort by it.
#pragma once

#include "canonical.cuh"

namespace aigc_fast {
namespace cuda {

__device__ __forceinline__ double infinity() { return __longlong_as_double(0x7ff0000000000000ll); }

// Score descending, then id ascending.
template <class Score, class Id>
__device__ __forceinline__ bool comes_before(Score score, Id id, Score other_score, Id other_id) {
    return score > other_score || (score == other_score && id < other_id);
}

__device__ __forceinline__ bool contains(const IdLists& lists, unsigned query, long long id) {
    long long low = lists.indptr[query];
    const long long end = lists.indptr[query + 1];
    long long high = end;
    while (low < high) {
        const long long middle = (low + high) / 2;
        if (lists.ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && lists.ids[low] == id;
}

__device__ __forceinline__ long long id_of(const Search& search, unsigned row) {
    return search.names == nullptr ? row : search.names[row];
}

// Without its score: asked before a candidate is scored.
__device__ __forceinline__ bool row_allowed(const Search& search, unsigned query, unsigned row) {
    const Filter& filter = search.filter;
    if (filter.allowed != nullptr && !filter.allowed[row]) return false;
    if (filter.exclude.indptr != nullptr && contains(filter.exclude, query, id_of(search, row))) return false;
    return filter.allow.indptr == nullptr || contains(filter.allow, query, id_of(search, row));
}

__device__ __forceinline__ double threshold_of(const Filter& filter, unsigned query) {
    return filter.thresholds == nullptr ? -infinity() : filter.thresholds[query];
}

__device__ __forceinline__ bool score_allowed(const Filter& filter, unsigned query, double score, long long id) {
    if (!(score >= threshold_of(filter, query))) return false;  // or NaN
    return filter.after_scores == nullptr ||
           comes_before<double, long long>(filter.after_scores[query], filter.after_ids[query], score, id);
}

// A float32 that is certainly not above score / unit.
__device__ __forceinline__ float just_below(double score, double unit) {
    const float x = static_cast<float>(score / unit);
    const int bits = __float_as_int(x);
    if (!(x > -static_cast<float>(infinity()))) return x;  // -infinity, NaN
    if (x == 0.0f) return -__int_as_float(1);
    return __int_as_float(x > 0.0f ? bits - 1 : bits + 1);
}

// Sorts `count` results by a block of threads: a bitonic network in which every comparison puts the better one first,
// so that what lies beyond the end never takes part.
template <class Score, class Id>
__device__ __forceinline__ void sort_results(Score* scores, Id* ids, unsigned count) {
    const auto compare = [&](unsigned a, unsigned b) {
        if (b >= count) return;
        const Score score_a = scores[a], score_b = scores[b];
        const Id id_a = ids[a], id_b = ids[b];
        if (!comes_before(score_b, id_b, score_a, id_a)) return;
        scores[a] = score_b;
        scores[b] = score_a;
        ids[a] = id_b;
        ids[b] = id_a;
    };
    for (unsigned log_half = 0; 1u << log_half < count; ++log_half) {  // runs of 2 * half become sorted
        const unsigned half = 1u << log_half;
        const unsigned pairs = (count + 2 * half - 1) >> (log_half + 1) << log_half;
        for (unsigned i = threadIdx.x; i < pairs; i += kThreads) {
            const unsigned start = i >> log_half << (log_half + 1);
            const unsigned offset = i & (half - 1);
            compare(start + offset, start + 2 * half - 1 - offset);
        }
        __syncthreads();
        for (unsigned log_step = log_half; log_step-- > 0;) {
            const unsigned step = 1u << log_step;
            for (unsigned i = threadIdx.x; i < pairs; i += kThreads) {
                const unsigned a = (i >> log_step << (log_step + 1)) + (i & (step - 1));
                compare(a, a + step);
            }
            __syncthreads();
        }
    }
}

}  // namespace cuda
}  // namespace aigc_fast
