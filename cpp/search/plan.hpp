// How a search will run: scored directly or scanned first, in which blocks, by how many threads.
#pragma once

#include <cstddef>
#include <optional>

#include "aigc_fast/aigc_fast.hpp"

namespace aigc_fast {

struct Plan {
    bool direct;  // score the allowed items canonically, without a scan
    int threads;
    std::size_t block_rows;  // rows scanned at a time: as many as stay in cache
};

// For tests: makes small inputs take the ways of large ones. 0 and nullopt leave the choice to the planner.
struct PlanOverride {
    std::optional<bool> direct;
    int threads = 0;
    std::size_t block_rows = 0;  // any number; the last tile of a block may be short
};
void override_plan(const PlanOverride& overrides);

Plan make_plan(const Matrix& queries, const Matrix& items, const SearchOptions& options);

}  // namespace aigc_fast
