// After a wave of a top-K search over codes: a block of threads raises one query's cutoff to the k-th best of the hits'
// certain lower bounds, scores those whose upper bound reaches it, and settles as any search does. Where hits were
// lost, the wave's items are scored instead.
#pragma once

#include "settle.cuh"
#include "tensor_scan.cuh"

namespace aigc_fast {
namespace cuda {

constexpr unsigned kBins = 256;
static_assert(kBins == kThreads, "a thread for each bin");

// Floats in the order of these integers; 0 is none.
__device__ __forceinline__ unsigned order_of(float x) {
    const unsigned bits = __float_as_uint(x);
    return x != x ? 0 : bits >> 31 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float with_order(unsigned order) {
    return __uint_as_float(order >> 31 ? order & 0x7fffffffu : ~order);
}

// Finds a number that at least `rank` of `count` orders reach, the largest with its lowest byte zero, by three steps of
// a radix search; 0 where there is none.
template <class OrderOf>
__device__ __forceinline__ unsigned ranked(unsigned rank, unsigned count, OrderOf order_at) {
    __shared__ unsigned bins[kBins];
    __shared__ unsigned chosen, above;
    unsigned prefix = 0;
    for (int shift = 24; shift >= 8; shift -= 8) {
        bins[threadIdx.x] = 0;
        if (threadIdx.x == 0) chosen = kBins;
        __syncthreads();
        for (unsigned i = threadIdx.x; i < count; i += kThreads) {
            const unsigned order = order_at(i);
            if (order != 0 && (shift == 24 || order >> (shift + 8) == prefix))
                atomicAdd(&bins[order >> shift & (kBins - 1)], 1u);
        }
        __syncthreads();
        if (threadIdx.x < 32) {  // eight bins each, from the highest on
            unsigned own = 0;
            for (unsigned i = 0; i < 8; ++i) own += bins[kBins - 1 - threadIdx.x * 8 - i];
            unsigned upto = own;
            for (unsigned distance = 1; distance < 32; distance *= 2) {
                const unsigned other = __shfl_up_sync(kAllLanes, upto, distance);
                if (threadIdx.x >= distance) upto += other;
            }
            unsigned before = upto - own;
            if (before < rank && rank <= upto) {
                unsigned bin = kBins - 1 - threadIdx.x * 8;
                for (; before + bins[bin] < rank; --bin) before += bins[bin];
                chosen = bin;
                above = before;
            }
        }
        __syncthreads();
        if (chosen == kBins) return 0;
        prefix = prefix << 8 | chosen;
        rank -= above;
        __syncthreads();
    }
    return prefix << 8;
}

template <class E>
__device__ __forceinline__ void settle_codes_of(const Search& search, const Codes& codes, const Wave& wave) {
    const unsigned query = blockIdx.x;
    const unsigned found = codes.hit_counts[query];
    const bool lost = found > codes.hit_capacity;
    const unsigned count = lost ? 0 : found;
    const Hit* hits = codes.hits + static_cast<unsigned long long>(query) * codes.hit_capacity;
    const QueryCode query_code = codes.query_codes[query];
    const auto bound = [&](const Hit& hit) { return allowance(codes.blocks[hit.row / kCodeRows], query_code); };
    // An item that may belong to an earlier page must not raise the cutoff.
    if (count >= search.k && search.filter.after_scores == nullptr) {
        const unsigned order = ranked(search.k, count, [&](unsigned i) {
            return row_allowed(search, query, hits[i].row) ? order_of(hits[i].estimate - bound(hits[i])) : 0;
        });
        if (threadIdx.x == 0 && order != 0 && with_order(order) > search.cutoffs[query])
            search.cutoffs[query] = with_order(order);
    }
    __syncthreads();
    const float cutoff = search.cutoffs[query];
    const unsigned lane = threadIdx.x % 32;
    for (unsigned first = threadIdx.x / 32 * 32; first < count; first += kThreads) {
        const Hit hit = first + lane < count ? hits[first + lane] : Hit{0, -static_cast<float>(infinity())};
        // "Not below" rather than "at least": what has no bound is scored.
        const bool wanted = first + lane < count && !(hit.estimate + bound(hit) < cutoff);
        consider<E>(search, query, __ballot_sync(kAllLanes, wanted),
                    [&](unsigned bit) { return __shfl_sync(kAllLanes, hit.row, bit); });
    }
    __syncthreads();
    if (threadIdx.x == 0) codes.hit_counts[query] = 0;
    settle_query<E>(search, wave, query, lost);
}

}  // namespace cuda
}  // namespace aigc_fast
