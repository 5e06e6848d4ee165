// What a head's scan let through, looked at by all dimensions, pair by pair. Plain loops, which compilers turn into
// byte dot products where the instruction set has them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "scan/int8.hpp"

namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kFetchAhead = 8;  // pairs; a single query meets every row only once

// `count` is a multiple of kRowAlignment, which spares the loop a tail.
inline std::int32_t code_product(const std::uint8_t* row, const std::int8_t* query, std::size_t count) {
    std::int32_t sum = 0;
    count = count / aigc_fast::kRowAlignment * aigc_fast::kRowAlignment;
    for (std::size_t j = 0; j < count; ++j)
        sum += static_cast<std::int32_t>(row[j]) * static_cast<std::int32_t>(query[j]);
    return sum;
}

std::size_t refine(const aigc_fast::Int8Rows& rows, const aigc_fast::CodedBlocks& block,
                   const aigc_fast::CodedQueries& queries, const std::int8_t* query_codes, aigc_fast::Hit* hits,
                   std::size_t count) {
    const std::size_t fetched = queries.count == 1 ? count : 0;
    const auto fetch = [&](std::size_t i) {
        const std::uint8_t* row = rows.codes + hits[i].row * rows.stride;
        for (std::size_t at = 0; at < rows.stride; at += kCacheLine) __builtin_prefetch(row + at);
    };
    for (std::size_t i = 0; i < fetched && i < kFetchAhead; ++i) fetch(i);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (i + kFetchAhead < fetched) fetch(i + kFetchAhead);
        aigc_fast::Hit hit = hits[i];
        const std::size_t q = hit.query;
        const std::size_t of = hit.row / aigc_fast::kCodeRows;
        const std::int32_t sum =
            code_product(rows.codes + hit.row * rows.stride, query_codes + q * rows.stride, rows.stride);
        hit.approx = static_cast<float>(sum - 128 * queries.code_sums[q]) * (block.scale[of] * queries.scale[q]);
        const float allowance = (block.residual[of] + block.reach[of] * queries.sigma[q]) * 1.00001f;
        hits[kept] = hit;
        kept += !(hit.approx + queries.offset[q] + allowance < queries.cutoff[q]) ? 1 : 0;
    }
    return kept;
}

}  // namespace
