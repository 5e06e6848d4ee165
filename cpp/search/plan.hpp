// How a search will run: scored directly or scanned first, in which blocks, by how many threads.
#pragma once

#include <cstddef>

#include "aigc_fast/aigc_fast.hpp"

namespace aigc_fast {

struct Plan {
    bool direct;             // score the allowed items canonically, without a scan
    int threads;
    std::size_t block_rows;  // rows scanned at a time: as many as stay in cache
};

Plan make_plan(const Matrix& queries, const Matrix& items, const SearchOptions& options);

}  // namespace aigc_fast
