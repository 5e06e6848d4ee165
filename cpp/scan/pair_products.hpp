// The dot products of codes of single pairs (a row and a query), for refine.hpp. Each instruction set names the way it
// takes, as PairProducts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "scan/int8.hpp"

namespace {

// A plain loop, which compilers turn into what the instruction set has.
struct PlainPairProducts {
    static constexpr std::size_t pairs = 1;

    // `count` is a multiple of kRowAlignment, which spares the loop a tail.
    static void multiply(const std::uint8_t* const* rows, const std::int8_t* const* queries, std::size_t count,
                         std::int32_t* products) {
        const std::uint8_t* row = rows[0];
        const std::int8_t* query = queries[0];
        std::int32_t sum = 0;
        count = count / aigc_fast::kRowAlignment * aigc_fast::kRowAlignment;
        for (std::size_t j = 0; j < count; ++j)
            sum += static_cast<std::int32_t>(row[j]) * static_cast<std::int32_t>(query[j]);
        products[0] = sum;
    }
};

}  // namespace
