// How a search will run: scored directly or scanned first, in which blocks, by how many threads.
#pragma once

#include <cstddef>
#include <optional>

#include "aigc_fast/aigc_fast.hpp"
#include "dispatch/kernels.hpp"

namespace aigc_fast {

enum class Way {
    direct,   // score the allowed items canonically, without a scan
    f32,      // scan float32 rows
    dense,    // scan float32 rows, keep all bounds and select from them
    bf16,     // scan rows rounded to bfloat16 on the fly, where the CPU multiplies them
    int8,     // scan int8 codes: the index's, or made on the fly
    cascade,  // scan heads first, where the index has them
};

const char* name_of(Way way);

inline constexpr std::size_t kWaveGrowth = 4;

struct Plan {
    Way way;
    double direct_cost;  // estimates, nanoseconds of one core
    double f32_cost;
    double dense_cost;  // infinite for thresholds alone, few queries, many items, pages or allow-lists a query
    double bf16_cost;   // infinite without kernels
    double int8_cost;
    double cascade_cost;  // infinite without heads
    int threads;
    std::size_t block_rows;    // rows scanned at a time: as many as stay in cache
    std::size_t survey;        // so many most promising rows come before all others; 0: none are known
    std::size_t most_queries;  // at a time
    std::size_t first_stride;  // the first wave scans one in so many blocks, each further one kWaveGrowth times as many
};

// For tests: makes small inputs take the ways of large ones. 0 and nullopt leave the choice to the planner.
struct PlanOverride {
    std::optional<Way> way;
    int threads = 0;
    std::size_t first_stride = 0;  // rounded up to a power of four
    std::size_t block_rows = 0;    // rounded up to what the scan needs
};
void override_plan(const PlanOverride& overrides);

// What a search wants.
struct Demand {
    std::size_t hits;  // results a query: k, or an estimate
    bool top_k;        // cutoffs rise while results are found, and late copies of a row are none
};

Plan make_plan(const Matrix& queries, const Matrix& items, const SearchOptions& options, const Demand& demand,
               const Kernels& kernels);

}  // namespace aigc_fast
