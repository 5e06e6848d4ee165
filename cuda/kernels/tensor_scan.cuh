// The int8 scan on tensor cores: tiles of 128 items against a panel of 128 queries.
//
// Integer accumulators start at minus what a product of codes must reach, so that what is left to do for a score is to
// look at its sign. Eight warps have 32 queries and 64 items each (a block of codes). Rows come in parts of 64 bytes,
// three of which are in shared memory or on their way there; the queries' parts stay if there are few.
#pragma once

#include "codes.cuh"
#include "scan.cuh"

namespace aigc_fast {
namespace cuda {

constexpr unsigned kPartCopies = kTileRows * kCodeColumns / 16 / kThreads;  // of 16 bytes, for each thread
constexpr unsigned kQueryFragments = 2;                                     // of 16 queries, for each warp
constexpr unsigned kItemFragments = 8;                                      // of 8 items

__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <unsigned Left>
__device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
}

// Four matrices of 8 rows of 16 bytes in shared memory; lanes 8i to 8i + 7 have the addresses of matrix i's rows.
__device__ __forceinline__ void load_matrices(unsigned (&registers)[4], unsigned address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(address)
                 : "memory");
}

// sums = start + a * b: 16 queries, 8 items, 32 columns.
__device__ __forceinline__ void multiply_add(int (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                                             const int* start) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, "
        "%13};"
        : "=r"(sums[0]), "=r"(sums[1]), "=r"(sums[2]), "=r"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(start[0]), "r"(start[1]), "r"(start[2]),
          "r"(start[3]));
}

// Minus the least product of codes with which an item of the block may reach the query's cutoff, lowered by more than
// float32 can have raised it: two units, and 2^-20 of it (2^-19 of reach is in sigma, for where its terms cancel).
__device__ __forceinline__ int accumulator_start(const CodeBlock& block, float cutoff, float one, float sigma,
                                                 unsigned width) {
    const float limit = 16140.0f * static_cast<float>(width) + 4.0f;  // beyond any product
    float least = (cutoff - block.residual * one - block.reach * sigma) * block.inverse_scale;
    least = least < limit ? least : limit;  // an infinite cutoff: never, or always
    least = least > -limit ? least : -limit;
    return -static_cast<int>(least - (fabsf(least) * 0x1p-20f + 2.0f));
}

// The number of the lane, found anew: what a rare path computes from it takes no registers elsewhere.
__device__ __forceinline__ unsigned lane_again() {
    unsigned lane;
    asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
}

// Adds a hit to a query's list.
__device__ __forceinline__ void store_hit(const Codes& codes, unsigned query, unsigned slot, unsigned row,
                                          float estimate) {
    if (slot < codes.hit_capacity)
        codes.hits[static_cast<unsigned long long>(query) * codes.hit_capacity + slot] = {row, estimate};
}

template <class E>
struct IsVoid {
    static constexpr bool value = false;
};
template <>
struct IsVoid<void> {
    static constexpr bool value = true;
};

// A block of threads scans `tiles_of_block` tiles, one after the other. Hits are scored where E is the items' type
// (threshold searches), and else go to each query's list (top-K), which settle_codes() then looks through.
template <class E>
__device__ __forceinline__ void scan_tensor(const Search& search, const Codes& codes, const Wave& wave,
                                            unsigned tiles_of_block) {
    extern __shared__ __align__(16) signed char parts[];
    __shared__ int starts[2][kTileRows / kCodeRows][kTensorQueries];  // of this tile and the next
    __shared__ float in_steps[3][kTensorQueries];  // each query's cutoff, 1 and sigma in steps of its codes
    __shared__ unsigned any_unbounded[2][kTileRows / kCodeRows];
    const unsigned panels = round_up(search.queries, kTensorQueries) / kTensorQueries;
    const unsigned first_query = blockIdx.x % panels * kTensorQueries;  // blocks that run together share items
    const unsigned first = wave.begin + blockIdx.x / panels * tiles_of_block;
    const unsigned tiles = min(tiles_of_block, wave.end - first);
    const unsigned parts_of_row = codes.width / kCodeColumns;
    const bool resident = parts_of_row <= kTensorResident;
    const unsigned lane = threadIdx.x % 32;
    const unsigned warp_queries = threadIdx.x / 64 * 32;
    const unsigned half = threadIdx.x / 32 % 2;  // of the tile, a block of codes

    const unsigned tile_step = search.tile_step % search.tiles;
    const auto next_tile = [&](unsigned tile) {
        tile += tile_step;
        return tile < search.tiles ? tile : tile - search.tiles;
    };
    // Copies a part of 128 rows to shared memory, 16 bytes of two rows by each thread.
    const unsigned copy_row = threadIdx.x / 4;
    const unsigned copy_column = threadIdx.x % 4 * 16;
    const auto source_of = [&](const signed char* rows, unsigned first_row) {
        return rows + static_cast<unsigned long long>(first_row + copy_row) * codes.width + copy_column;
    };
    const auto copy_part = [&](unsigned slot, const signed char* source) {
        signed char* const target = parts + slot * kTensorPart + copy_row * kTensorStride + copy_column;
#pragma unroll
        for (unsigned i = 0; i < kPartCopies; ++i)
            copy_16_bytes(target + i * (kThreads / 4) * kTensorStride, source + i * (kThreads / 4) * codes.width);
    };
    // What is copied next, to which of the slots.
    unsigned copies_left = tiles;
    unsigned copied_tile = tile_at(search, first);
    unsigned copied_part = 0;
    unsigned copy_slot = 0;
    const signed char* copy_source = source_of(codes.items, copied_tile * kTileRows);
    const auto copy_next = [&] {
        if (copies_left != 0) {
            copy_part(copy_slot, copy_source);
            if (!resident)
                copy_part(kTensorStages + copy_slot,
                          source_of(codes.queries, first_query) + copied_part * kCodeColumns);
            copy_slot = copy_slot + 1 == kTensorStages ? 0 : copy_slot + 1;
            copy_source += kCodeColumns;
            if (++copied_part == parts_of_row) {
                copied_part = 0;
                --copies_left;
                copied_tile = next_tile(copied_tile);
                copy_source = source_of(codes.items, copied_tile * kTileRows);
            }
        }
        commit_copies();  // also of nothing, so that what is waited for can be counted
    };

    // Each thread finds where the accumulators of one query start for one block of codes.
    const auto find_starts = [&](unsigned tile, unsigned buffer) {
        const unsigned query = threadIdx.x % kTensorQueries;
        const unsigned of_half = threadIdx.x / kTensorQueries;
        const CodeBlock& block = codes.blocks[tile * (kTileRows / kCodeRows) + of_half];
        starts[buffer][of_half][query] =
            accumulator_start(block, in_steps[0][query], in_steps[1][query], in_steps[2][query], codes.width);
        if (query == 0) any_unbounded[buffer][of_half] = block.unbounded != 0;
    };
    if (threadIdx.x < kTensorQueries) {
        const QueryCode query = codes.query_codes[first_query + threadIdx.x];
        const float step = 1.0f / query.scale;
        in_steps[0][threadIdx.x] = cutoff_of(search, codes, first_query + threadIdx.x) * step;
        in_steps[1][threadIdx.x] = step;
        in_steps[2][threadIdx.x] = query.sigma * step;
    }
    __syncthreads();

    if (resident)
        for (unsigned part = 0; part < parts_of_row; ++part)
            copy_part(kTensorStages + part, source_of(codes.queries, first_query) + part * kCodeColumns);
    for (unsigned stage = 0; stage < kTensorStages - 1; ++stage) copy_next();
    unsigned tile = tile_at(search, first);
    find_starts(tile, 0);

    int sums[kQueryFragments][kItemFragments][4];
    unsigned slot = 0;
    unsigned buffer = 0;  // of starts
    const unsigned shared = static_cast<unsigned>(__cvta_generic_to_shared(parts));
    const unsigned item_matrices =
        shared + (half * kCodeRows + lane % 8 + lane / 16 * 8) * kTensorStride + lane / 8 % 2 * 16;
    const unsigned query_matrices =
        shared + kTensorStages * kTensorPart + (warp_queries + lane % 16) * kTensorStride + lane / 16 * 16;
    const auto multiply_part = [&](unsigned part, const auto& start_of) {
        const unsigned items = item_matrices + slot * kTensorPart;
        const unsigned queries = query_matrices + (resident ? part : slot) * kTensorPart;
        slot = slot + 1 == kTensorStages ? 0 : slot + 1;
#pragma unroll
        for (unsigned column = 0; column < kCodeColumns; column += 32) {
            unsigned a[kQueryFragments][4];
#pragma unroll
            for (unsigned m = 0; m < kQueryFragments; ++m)
                load_matrices(a[m], queries + m * 16 * kTensorStride + column);
#pragma unroll
            for (unsigned n = 0; n < kItemFragments; n += 2) {
                unsigned b[4];
                load_matrices(b, items + n * 8 * kTensorStride + column);
#pragma unroll
                for (unsigned m = 0; m < kQueryFragments; ++m) {
                    multiply_add(sums[m][n], a[m], b[0], b[1], column == 0 ? start_of(m, n) : sums[m][n]);
                    multiply_add(sums[m][n + 1], a[m], b[2], b[3], column == 0 ? start_of(m, n + 1) : sums[m][n + 1]);
                }
            }
        }
    };
    const auto wait_for_part = [&] {
        wait_for_copies<kTensorStages - 2>();
        __syncthreads();
        copy_next();  // to where the part before was read
    };
    for (unsigned i = 0; i < tiles; ++i) {
        wait_for_part();
        int start[kQueryFragments][4];
#pragma unroll
        for (unsigned m = 0; m < kQueryFragments; ++m) {
            start[m][0] = start[m][1] = starts[buffer][half][warp_queries + m * 16 + lane / 4];
            start[m][2] = start[m][3] = starts[buffer][half][warp_queries + m * 16 + 8 + lane / 4];
        }
        multiply_part(0, [&](unsigned m, unsigned) -> const int (&)[4] { return start[m]; });
        find_starts(next_tile(tile), buffer ^ 1);  // last read before the barrier
        for (unsigned part = 1; part < parts_of_row; ++part) {
            wait_for_part();
            multiply_part(part, [&](unsigned m, unsigned n) -> const int (&)[4] { return sums[m][n]; });
        }

        int all = -1;  // negative as long as all sums are
#pragma unroll
        for (unsigned m = 0; m < kQueryFragments; ++m)
#pragma unroll
            for (unsigned n = 0; n < kItemFragments; ++n)
                all &= sums[m][n][0] & sums[m][n][1] & sums[m][n][2] & sums[m][n][3];
        if (__any_sync(kAllLanes, all >= 0) || any_unbounded[buffer][half] != 0) {
            const unsigned lane = lane_again();
            const unsigned first_row = tile * kTileRows + half * kCodeRows;
            const CodeBlock& block = codes.blocks[first_row / kCodeRows];
            // Of the 16 items of a lane: bits 2n and 2n + 1 are items 8n + 2 (lane % 4) and the next.
            unsigned coded = 0;
            unsigned unbounded = 0;
#pragma unroll
            for (unsigned n = 0; n < kItemFragments; ++n) {
                coded |= static_cast<unsigned>(block.coded >> (n * 8 + lane % 4 * 2)) % 4 << 2 * n;
                unbounded |= static_cast<unsigned>(block.unbounded >> (n * 8 + lane % 4 * 2)) % 4 << 2 * n;
            }
            const auto row_of = [&](unsigned of_lane, unsigned bit) {
                return first_row + bit / 2 * 8 + of_lane % 4 * 2 + bit % 2;
            };
            unsigned found[kQueryFragments] = {};  // 16 bits each of two queries
#pragma unroll
            for (unsigned m = 0; m < kQueryFragments; ++m)
#pragma unroll
                for (unsigned high = 0; high < 2; ++high) {
                    const unsigned query = first_query + warp_queries + m * 16 + high * 8 + lane / 4;
                    unsigned bits = 0;
#pragma unroll
                    for (unsigned n = 0; n < kItemFragments; ++n)
#pragma unroll
                        for (unsigned e = 0; e < 2; ++e)
                            bits |= (sums[m][n][high * 2 + e] >= 0 ? 1u : 0u) << (2 * n + e);
                    bits = query < search.queries ? (bits & coded) | unbounded : 0;
                    found[m] |= bits << (16 * high);
                    if (IsVoid<E>::value) {
                        // Four lanes have the query's other items of this block: one of them makes room for all.
                        unsigned before = 0;
                        unsigned total = 0;
#pragma unroll
                        for (unsigned l = 0; l < 4; ++l) {
                            const unsigned count = __popc(__shfl_sync(kAllLanes, bits, lane / 4 * 4 + l));
                            if (l < lane % 4) before += count;
                            total += count;
                        }
                        unsigned slot = 0;
                        if (lane % 4 == 0 && total != 0) slot = atomicAdd(&codes.hit_counts[query], total);
                        slot = __shfl_sync(kAllLanes, slot, lane / 4 * 4) + before;
                        const int start = starts[buffer][half][query - first_query];
                        const float scale = block.scale * codes.query_codes[query].scale;
#pragma unroll
                        for (unsigned n = 0; n < kItemFragments; ++n)
#pragma unroll
                            for (unsigned e = 0; e < 2; ++e) {
                                const unsigned bit = 2 * n + e;
                                if (!(bits >> bit & 1)) continue;
                                const float estimate = static_cast<float>(sums[m][n][high * 2 + e] - start) * scale;
                                store_hit(codes, query, slot++, row_of(lane, bit),
                                          unbounded >> bit & 1 ? no_estimate() : estimate);
                            }
                    }
                }
            if constexpr (!IsVoid<E>::value)
                for (unsigned lanes = __ballot_sync(kAllLanes, (found[0] | found[1]) != 0); lanes != 0;
                     lanes &= lanes - 1) {
                    const unsigned of_lane = __ffs(lanes) - 1;
#pragma unroll 1
                    for (unsigned i = 0; i < kQueryFragments * 2; ++i) {
                        const unsigned query = first_query + warp_queries + i * 8 + of_lane / 4;
                        const unsigned of_two = __shfl_sync(kAllLanes, i < 2 ? found[0] : found[1], of_lane);
                        const unsigned bits = of_two >> (i % 2 * 16) & 0xffff;
                        consider<E>(search, query, bits, [&](unsigned bit) { return row_of(of_lane, bit); });
                    }
                }
        }
        tile = next_tile(tile);
        buffer ^= 1;
    }
}

}  // namespace cuda
}  // namespace aigc_fast
