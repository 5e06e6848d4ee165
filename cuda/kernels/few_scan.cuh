// The int8 scan for few queries, which memory bounds: four threads have a row of codes, 16 bytes at a time, and queries
// have codes of two levels, whose products nothing waits for and which halve the bound.
#pragma once

#include "tensor_scan.cuh"

namespace aigc_fast {
namespace cuda {

constexpr unsigned kRowLanes = 4;
constexpr unsigned kRowsOfThread = kTileRows * kRowLanes / kThreads;

__device__ __forceinline__ int multiply_add(const uint4& a, const uint4& b, int sum) {
    sum = __dp4a(static_cast<int>(a.x), static_cast<int>(b.x), sum);
    sum = __dp4a(static_cast<int>(a.y), static_cast<int>(b.y), sum);
    sum = __dp4a(static_cast<int>(a.z), static_cast<int>(b.z), sum);
    return __dp4a(static_cast<int>(a.w), static_cast<int>(b.w), sum);
}

// A block of threads scans `tiles_of_block` tiles against a panel of Q queries.
template <unsigned Q>
__device__ __forceinline__ void scan_codes(const Search& search, const Codes& codes, const Wave& wave,
                                           unsigned tiles_of_block) {
    const unsigned panels = round_up(search.queries, Q) / Q;
    const unsigned first_query = blockIdx.x % panels * Q;
    const unsigned first = wave.begin + blockIdx.x / panels * tiles_of_block;
    const unsigned last = min(first + tiles_of_block, wave.end);
    const unsigned lane = threadIdx.x % 32;
    const unsigned column = lane % kRowLanes * 16;
    const auto load = [&](const signed char* rows, unsigned row, unsigned part) {
        return *reinterpret_cast<const uint4*>(rows + static_cast<unsigned long long>(row) * codes.width +
                                               part * kCodeColumns + column);
    };
    for (unsigned position = first; position < last; ++position) {
        // Warps have 16 rows of a tile, in two runs of eight.
        const unsigned first_row =
            tile_at(search, position) * kTileRows + threadIdx.x / 32 * (kTileRows / kWarps) + lane / kRowLanes;
        int sums[Q][kRowsOfThread] = {};
        int fine_sums[Q][kRowsOfThread] = {};
#pragma unroll(Q == 1 ? 2 : 1)
        for (unsigned part = 0; part < codes.width / kCodeColumns; ++part) {
            uint4 item[kRowsOfThread];
#pragma unroll
            for (unsigned r = 0; r < kRowsOfThread; ++r) item[r] = load(codes.items, first_row + r * 8, part);
#pragma unroll
            for (unsigned q = 0; q < Q; ++q) {
                const uint4 query = load(codes.queries, first_query + q, part);
                const uint4 fine = load(codes.fine, first_query + q, part);
#pragma unroll
                for (unsigned r = 0; r < kRowsOfThread; ++r) {
                    sums[q][r] = multiply_add(item[r], query, sums[q][r]);
                    fine_sums[q][r] = multiply_add(item[r], fine, fine_sums[q][r]);
                }
            }
        }
        const CodeBlock& block = codes.blocks[first_row / kCodeRows];
#pragma unroll
        for (unsigned q = 0; q < Q; ++q) {
            const unsigned query = first_query + q;
            const QueryCode query_code = codes.query_codes[query];
            const float least = cutoff_of(search, codes, query) - block.residual - block.reach * query_code.sigma;
#pragma unroll
            for (unsigned r = 0; r < kRowsOfThread; ++r) {
                const unsigned row = first_row + r * 8;
                float sum = static_cast<float>(kFineSteps) * static_cast<float>(sums[q][r]) +
                            static_cast<float>(fine_sums[q][r]);
                sum += __shfl_xor_sync(kAllLanes, sum, 1);
                sum += __shfl_xor_sync(kAllLanes, sum, 2);
                const float estimate = sum * (block.scale * query_code.scale);
                const bool unbounded = block.unbounded >> row % kCodeRows & 1;
                const bool coded = block.coded >> row % kCodeRows & 1;
                const bool hit =
                    query < search.queries && lane % kRowLanes == 0 && (unbounded || (coded && !(estimate < least)));
                const unsigned lanes = __ballot_sync(kAllLanes, hit);
                if (lanes == 0) continue;
                unsigned slot = 0;
                if (lane == 0) slot = atomicAdd(&codes.hit_counts[query], static_cast<unsigned>(__popc(lanes)));
                slot = __shfl_sync(kAllLanes, slot, 0) + __popc(lanes & ((1u << lane) - 1));
                if (hit) store_hit(codes, query, slot, row, unbounded ? no_estimate() : estimate);
            }
        }
    }
}

}  // namespace cuda
}  // namespace aigc_fast
