// What a threshold search needs beside the scan: where each query's hits begin, and their order.
#pragma once

#include "results.cuh"

namespace aigc_fast {
namespace cuda {

// indptr[i] = counts[0] + ... + counts[i - 1], by one block: each thread adds up a run of queries.
__device__ __forceinline__ void add_counts_of(const unsigned* counts, unsigned queries, long long* indptr) {
    __shared__ long long sums[kThreads];
    const unsigned run = (queries + kThreads - 1) / kThreads;
    const unsigned begin = min(threadIdx.x * run, queries);
    const unsigned end = min(begin + run, queries);
    long long sum = 0;
    for (unsigned i = begin; i < end; ++i) sum += counts[i];
    sums[threadIdx.x] = sum;
    __syncthreads();
    long long at = 0;
    for (unsigned i = 0; i < threadIdx.x; ++i) at += sums[i];
    for (unsigned i = begin; i < end; ++i) {
        indptr[i] = at;
        at += counts[i];
    }
    if (threadIdx.x == kThreads - 1) indptr[queries] = at;
}

// A block a query.
template <class Score>
__device__ __forceinline__ void sort_hits(const long long* indptr, Score* scores, long long* ids) {
    const long long first = indptr[blockIdx.x];
    sort_results(scores + first, ids + first, static_cast<unsigned>(indptr[blockIdx.x + 1] - first));
}

}  // namespace cuda
}  // namespace aigc_fast
