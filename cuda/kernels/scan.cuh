// The float32 scan: a tile of 128 items against a panel of queries, and the canonical score of whatever it cannot
// rule out.
//
// Each thread has four items and `Q` queries: the lanes of a warp have different items and the same queries, so that
// items are read from shared memory without conflicts and queries as broadcasts. Both come in steps of 16 columns, the
// next step on its way while this one is multiplied. Items are converted to float32 as they pass through registers.
#pragma once

#include "prepare.cuh"

namespace aigc_fast {
namespace cuda {

constexpr unsigned kWarps = kThreads / 32;
constexpr unsigned kItemsOfThread = kTileRows / 32;
constexpr unsigned kItemStride = kTileRows + 1;  // odd: a column of items written by 16 lanes hits 16 banks

__device__ __forceinline__ void copy_16_bytes(void* shared, const void* global) {
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(global) : "memory");
}
__device__ __forceinline__ void finish_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

__device__ __forceinline__ unsigned tile_at(const Search& search, unsigned position) {
    return static_cast<unsigned>(static_cast<unsigned long long>(position) * search.tile_step % search.tiles);
}

// A result that a query may get.
__device__ __forceinline__ void emit(const Search& search, unsigned query, double score, unsigned row) {
    const unsigned slot = atomicAdd(&search.counts[query], 1u);
    if (search.mode == kKeep && slot < search.capacity) {
        const unsigned long long at = static_cast<unsigned long long>(query) * search.capacity + slot;
        search.scores[at] = score;
        search.ids[at] = id_of(search, row);
    } else if (search.mode == kFill) {
        const long long at = search.indptr[query] + slot;
        if (search.as_f64)
            static_cast<double*>(search.hit_scores)[at] = score;
        else
            static_cast<float*>(search.hit_scores)[at] = static_cast<float>(score);
        search.hit_ids[at] = id_of(search, row);
    }
}

// Whether a result comes before all that are certain: the last of k kept ones, if there are k.
__device__ __forceinline__ bool still_wanted(const Search& search, unsigned query, double score, long long id) {
    if (search.mode != kKeep || search.kept[query] < search.k) return true;
    const unsigned long long last = static_cast<unsigned long long>(query) * search.capacity + search.k - 1;
    return comes_before(score, id, search.scores[last], search.ids[last]);
}

// Scores one candidate by eight threads and says (to the first of them) whether the query may get it. Called by whole
// warps; `active` where there is a candidate at all.
template <class E>
__device__ __forceinline__ bool decide(const Search& search, unsigned query, unsigned row, bool active, double* score) {
    const unsigned lane = threadIdx.x % kLanes;
    active = active && search.info[query].finite && row_allowed(search, query, row);
    if (!__any_sync(kAllLanes, active)) return false;
    const unsigned dim = round_up(search.items.dim, kLanes);
    *score =
        canonical_score<E>(search.items, active ? row : 0, search.values + static_cast<unsigned long long>(query) * dim,
                           search.info[query].norm, search.metric, search.as_f64, lane);
    return active && lane == 0 && score_allowed(search.filter, query, *score, id_of(search, row)) &&
           still_wanted(search, query, *score, id_of(search, row));
}

// Scores a query's candidates, four at a time, and emits those that it may get. Bits say which, `row_of(bit)` what row
// each is. Called by whole warps with the same candidates.
template <class E, class RowOf>
__device__ __forceinline__ void consider(const Search& search, unsigned query, unsigned candidates, RowOf row_of) {
    const unsigned lane = threadIdx.x % 32;
    while (candidates != 0) {
        unsigned mine = candidates;
        for (unsigned skip = lane / kLanes; skip > 0; --skip) mine &= mine - 1;
        const unsigned row = row_of(mine != 0 ? __ffs(mine) - 1 : 0);
        double score;
        if (decide<E>(search, query, row, mine != 0, &score)) emit(search, query, score, row);
        for (int taken = 0; taken < 4; ++taken) candidates &= candidates - 1;
    }
}

template <class E, unsigned Q>
__device__ __forceinline__ void scan(const Search& search, const Wave& wave) {
    constexpr unsigned panel_width = Q * kWarps;
    __shared__ float items[2][kStepColumns * kItemStride];
    __shared__ __align__(16) float queries[2][kStepColumns * panel_width];
    const unsigned panels = round_up(search.queries, panel_width) / panel_width;
    const unsigned panel = blockIdx.x % panels;  // blocks that run together share items, which stay in the L2 cache
    const unsigned position = wave.begin + blockIdx.x / panels;
    const unsigned first_item = tile_at(search, position) * kTileRows;
    const unsigned lane = threadIdx.x % 32;
    const unsigned warp = threadIdx.x / 32;
    const unsigned steps = round_up(search.items.dim, kStepColumns) / kStepColumns;
    const float* vectors = search.vectors + static_cast<unsigned long long>(panel) * steps * kStepColumns * panel_width;

    // Sixteen threads load sixteen columns of an item.
    constexpr unsigned loads = kTileRows * kStepColumns / kThreads;
    const unsigned load_column = threadIdx.x % kStepColumns;
    const unsigned load_item = threadIdx.x / kStepColumns;
    float loaded[loads];
    const auto start_step = [&](unsigned step, unsigned buffer) {
        for (unsigned i = threadIdx.x * 4; i < kStepColumns * panel_width; i += kThreads * 4)
            copy_16_bytes(&queries[buffer][i],
                          vectors + static_cast<unsigned long long>(step) * kStepColumns * panel_width + i);
        const unsigned column = step * kStepColumns + load_column;
#pragma unroll
        for (unsigned i = 0; i < loads; ++i) {
            const unsigned item = first_item + load_item + i * (kThreads / kStepColumns);
            const bool inside = item < search.items.rows && column < search.items.dim;
            const E* row = static_cast<const E*>(search.items.data) + item * search.items.row_stride;
            loaded[i] = inside ? as_f32(row[column * search.items.column_stride]) : 0.0f;
        }
    };
    const auto finish_step = [&](unsigned buffer) {
#pragma unroll
        for (unsigned i = 0; i < loads; ++i)
            items[buffer][load_column * kItemStride + load_item + i * (kThreads / kStepColumns)] = loaded[i];
        finish_copies();
        __syncthreads();
    };

    float sums[Q][kItemsOfThread] = {};
    if (steps != 0) {
        start_step(0, 0);
        finish_step(0);
    }
    for (unsigned step = 0; step < steps; ++step) {
        const unsigned buffer = step % 2;
        const bool more = step + 1 < steps;
        if (more) start_step(step + 1, buffer ^ 1);  // last read before the barrier of the step before
#pragma unroll 4
        for (unsigned column = 0; column < kStepColumns; ++column) {
            float x[kItemsOfThread];
            float q[Q];
#pragma unroll
            for (unsigned i = 0; i < kItemsOfThread; ++i) x[i] = items[buffer][column * kItemStride + i * 32 + lane];
#pragma unroll
            for (unsigned j = 0; j < Q; ++j) q[j] = queries[buffer][column * panel_width + warp * Q + j];
#pragma unroll
            for (unsigned j = 0; j < Q; ++j)
#pragma unroll
                for (unsigned i = 0; i < kItemsOfThread; ++i) sums[j][i] = __fmaf_rn(x[i], q[j], sums[j][i]);
        }
        if (more) finish_step(buffer ^ 1);
    }

    // Warps go on by themselves. What a warp has found for 32 items and a query, as bits, is kept by one of its lanes.
    static_assert(Q * kItemsOfThread <= 32, "a lane for every pair");
    unsigned found = 0;
#pragma unroll
    for (unsigned i = 0; i < kItemsOfThread; ++i) {
        const unsigned item = first_item + i * 32 + lane;
        const Measure measure = item < search.items.rows ? search.measures[item] : Measure{0.0f, 0.0f};
#pragma unroll
        for (unsigned j = 0; j < Q; ++j) {
            const unsigned query = panel * panel_width + warp * Q + j;
            const bool real = item < search.items.rows && query < search.queries;
            const float epsilon = real ? search.info[query].epsilon : 0.0f;
            // "Not below" rather than "at least": NaN, from a bound that is not one, makes a candidate.
            const bool below = sums[j][i] * measure.scale < search.cutoffs[query] - epsilon * measure.slack;
            const unsigned candidates = __ballot_sync(kAllLanes, real && !below);
            if (lane == i * Q + j) found = candidates;
        }
    }
    for (unsigned pairs = __ballot_sync(kAllLanes, found != 0); pairs != 0; pairs &= pairs - 1) {
        const unsigned pair = __ffs(pairs) - 1;
        const unsigned query = panel * panel_width + warp * Q + pair % Q;
        unsigned candidates = __shfl_sync(kAllLanes, found, pair);
        consider<E>(search, query, candidates, [&](unsigned bit) { return first_item + pair / Q * 32 + bit; });
    }
}

}  // namespace cuda
}  // namespace aigc_fast
