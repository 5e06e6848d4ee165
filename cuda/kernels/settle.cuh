// After a wave of a top-K search: a block of threads puts one query's candidates in order, keeps the best k and raises
// the cutoff. Where there were more candidates than room, the wave's items are scored again, as many at a time as there
// is room for.
#pragma once

#include "scan.cuh"

namespace aigc_fast {
namespace cuda {

// Sorts `count` candidates and keeps at most k.
__device__ __forceinline__ unsigned keep_best(const Search& search, unsigned query, unsigned count) {
    const unsigned long long first = static_cast<unsigned long long>(query) * search.capacity;
    sort_results(search.scores + first, search.ids + first, count);
    const unsigned kept = count < search.k ? count : search.k;
    if (threadIdx.x == 0) search.kept[query] = kept;
    __syncthreads();
    return kept;
}

template <class E>
__device__ __forceinline__ void rescore_wave(const Search& search, const Wave& wave, unsigned query) {
    const unsigned tiles_at_once = (search.capacity - search.k) / kTileRows;
    for (unsigned position = wave.begin; position < wave.end; position += tiles_at_once) {
        __syncthreads();  // all have read the count
        if (threadIdx.x == 0) search.counts[query] = search.kept[query];
        __syncthreads();
        const unsigned tiles = wave.end - position < tiles_at_once ? wave.end - position : tiles_at_once;
        for (unsigned i = threadIdx.x / kLanes; i < tiles * kTileRows; i += kThreads / kLanes) {
            const unsigned row = tile_at(search, position + i / kTileRows) * kTileRows + i % kTileRows;
            double score;
            if (decide<E>(search, query, row, row < search.items.rows, &score)) emit(search, query, score, row);
        }
        __syncthreads();
        keep_best(search, query, search.counts[query]);
    }
}

// Puts the wave's candidates in order, of which some may have been lost, and raises the cutoff.
template <class E>
__device__ __forceinline__ void settle_query(const Search& search, const Wave& wave, unsigned query, bool lost) {
    const unsigned count = search.counts[query];
    if (lost || count > search.capacity)
        rescore_wave<E>(search, wave, query);
    else
        keep_best(search, query, count);
    if (threadIdx.x != 0) return;
    const unsigned kept = search.kept[query];
    search.counts[query] = kept;
    if (kept < search.k) return;
    const double last = search.scores[static_cast<unsigned long long>(query) * search.capacity + search.k - 1];
    search.cutoffs[query] = just_below(last, search.info[query].unit);
}

template <class E>
__device__ __forceinline__ void settle(const Search& search, const Wave& wave) {
    settle_query<E>(search, wave, blockIdx.x, false);
}

// A block a query.
__device__ __forceinline__ void write_topk_of(const Search& search, const TopKOutput& output) {
    const unsigned query = blockIdx.x;
    const unsigned kept = search.kept[query];
    for (unsigned i = threadIdx.x; i < output.width; i += kThreads) {
        const bool real = i < kept;
        const unsigned long long from = static_cast<unsigned long long>(query) * search.capacity + i;
        const unsigned long long to = static_cast<unsigned long long>(query) * output.width + i;
        const double score = real ? search.scores[from] : -infinity();
        if (search.as_f64)
            static_cast<double*>(output.scores)[to] = score;
        else
            static_cast<float*>(output.scores)[to] = static_cast<float>(score);
        output.ids[to] = real ? search.ids[from] : -1;
    }
    if (threadIdx.x == 0) output.counts[query] = kept;
}

}  // namespace cuda
}  // namespace aigc_fast
