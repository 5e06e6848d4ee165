#include "search/plan.hpp"

#include <algorithm>

#include "scan/f32.hpp"

namespace aigc_fast {
namespace {

// Costs in nanoseconds, measured on one AVX-512 core; only their proportions matter.
constexpr double kScorePerPair = 8.0;  // a canonical score, beside its elements: order, filter, cache misses
constexpr double kScorePerElement = 0.10;
constexpr double kScanPerElement = 0.008;  // a float32 multiply-add in a full register tile
constexpr double kReadPerElement = 0.20;   // a float32 from memory, shared by all queries
constexpr double kScanPerCall = 5000.0;    // panels, candidate buffers
constexpr double kWorthAThread = 50000.0;  // below this, waking a thread costs more than it does

// Blocks that leave room for the queries in a second-level cache; smaller ones where each row is read twice only.
constexpr std::size_t kBlockBytes = 256u << 10;
constexpr std::size_t kFewBlockBytes = 32u << 10;

PlanOverride overrides_in_force;

double pairs_to_score(const Matrix& queries, const Matrix& items, const Filter& filter) {
    const auto query_count = static_cast<double>(queries.rows);
    if (filter.allow.indptr != nullptr)
        return static_cast<double>(filter.allow.indptr[queries.rows] - filter.allow.indptr[0]);
    if (filter.allow_ids != nullptr) return query_count * static_cast<double>(filter.allow_count);
    return query_count * static_cast<double>(items.rows);
}

}  // namespace

Plan make_plan(const Matrix& queries, const Matrix& items, const SearchOptions& options) {
    const auto dim = static_cast<double>(items.cols);
    const auto item_elements = static_cast<double>(items.rows) * dim;
    const double direct = pairs_to_score(queries, items, options.filter) * (kScorePerPair + kScorePerElement * dim);
    const double scan =
        kScanPerCall + item_elements * std::max(kReadPerElement, static_cast<double>(queries.rows) * kScanPerElement);
    Plan plan{};
    plan.direct = direct <= scan;
    const double work = std::min(direct, scan);
    const int most = options.num_threads > 0 ? options.num_threads : default_num_threads();
    plan.threads = static_cast<int>(std::clamp(work / kWorthAThread, 1.0, static_cast<double>(most)));
    const std::size_t bytes = queries.rows <= kFewQueries ? kFewBlockBytes : kBlockBytes;
    const std::size_t rows = bytes / (std::max<std::size_t>(items.cols, 1) * sizeof(float));
    plan.block_rows = std::clamp<std::size_t>(rows / kScanTileRows, 1, 512) * kScanTileRows;
    if (overrides_in_force.direct) plan.direct = *overrides_in_force.direct;
    if (overrides_in_force.threads > 0) plan.threads = overrides_in_force.threads;
    if (overrides_in_force.block_rows > 0) plan.block_rows = overrides_in_force.block_rows;
    return plan;
}

void override_plan(const PlanOverride& overrides) { overrides_in_force = overrides; }

}  // namespace aigc_fast
