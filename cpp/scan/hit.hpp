// What every scan reports: a row that may reach a query's cutoff.
#pragma once

#include <cstdint>

namespace aigc_fast {

struct Hit {
    std::uint32_t row;    // in the block
    std::uint32_t query;  // in the panel
    float approx;
};

}  // namespace aigc_fast
