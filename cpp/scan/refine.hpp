// What a head's scan let through, looked at by all dimensions, pair by pair. Written over the PairProducts of the file
// that includes this.
#pragma once

#include <cstddef>
#include <cstdint>

#include "scan/pair_products.hpp"

namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kFetchAhead = 8;  // pairs; a single query meets every row only once

std::size_t refine(const aigc_fast::Int8Rows& rows, const aigc_fast::CodedBlocks& block,
                   const aigc_fast::CodedQueries& queries, const std::int8_t* query_codes, aigc_fast::Hit* hits,
                   std::size_t count) {
    const std::size_t fetched = count;
    const auto fetch = [&](std::size_t i) {
        const std::uint8_t* row = rows.codes + hits[i].row * rows.stride;
        for (std::size_t at = 0; at < rows.stride; at += kCacheLine) __builtin_prefetch(row + at);
    };
    for (std::size_t i = 0; i < fetched && i < kFetchAhead; ++i) fetch(i);
    std::size_t kept = 0;
    constexpr std::size_t kPairs = PairProducts::pairs;
    for (std::size_t first = 0; first < count; first += kPairs) {
        const std::uint8_t* pair_rows[kPairs];
        const std::int8_t* pair_queries[kPairs];
        for (std::size_t l = 0; l < kPairs; ++l) {
            if (first + l + kFetchAhead < fetched) fetch(first + l + kFetchAhead);
            const aigc_fast::Hit& hit = hits[first + l < count ? first + l : first];
            pair_rows[l] = rows.codes + hit.row * rows.stride;
            pair_queries[l] = query_codes + hit.query * rows.stride;
        }
        std::int32_t products[kPairs];
        PairProducts::multiply(pair_rows, pair_queries, rows.stride, products);
        for (std::size_t l = 0; l < kPairs && first + l < count; ++l) {
            aigc_fast::Hit hit = hits[first + l];
            const std::size_t q = hit.query;
            const std::size_t of = hit.row / aigc_fast::kCodeRows;
            const std::int32_t sum = products[l] - 128 * queries.code_sums[q];
            hit.approx = static_cast<float>(sum) * (block.scale[of] * queries.scale[q]);
            const float allowance = (block.residual[of] + block.reach[of] * queries.sigma[q]) * 1.00001f;
            hits[kept] = hit;
            kept += !(hit.approx + queries.offset[q] + allowance < queries.cutoff[q]) ? 1 : 0;
        }
    }
    return kept;
}

}  // namespace
