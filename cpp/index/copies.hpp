// Identical rows: they have the same score with every query, so only the first few of them can be among the k best.
#pragma once

#include <cstdint>

#include "base/rows.hpp"
#include "index/item_codes.hpp"

namespace aigc_fast {

// Turns the kind of coded rows that come after identical ones, in the order of ids (null: of rows), into copy + m.
// Looks at a sample first: rows are compared only where that has copies, so rare ones may stay unmarked.
void mark_copies(const RowReader& rows, const std::int64_t* ids, int threads, RowKind* kinds);

}  // namespace aigc_fast
