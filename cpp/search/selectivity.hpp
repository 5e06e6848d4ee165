// How many items reach a threshold: an estimate for the planner, from a few canonical scores.
#pragma once

#include <cstddef>

#include "aigc_fast/aigc_fast.hpp"

namespace aigc_fast {

// Hits a query in the mean; 0 where they are few, where the search is over as soon as a sample would be, or where it
// has allow-lists.
std::size_t estimate_hits(const Matrix& queries, const Matrix& items, const double* thresholds,
                          const SearchOptions& options);

}  // namespace aigc_fast
