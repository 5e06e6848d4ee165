#include "search/selectivity.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/rows.hpp"
#include "dispatch/kernels.hpp"
#include "score/scorer.hpp"
#include "search/query_group.hpp"

namespace aigc_fast {
namespace {

constexpr double kWorthASample = 1 << 26;  // multiply-adds of a search
constexpr std::size_t kQueries = 4;
constexpr std::size_t kItems = 64;
constexpr std::size_t kFewestHits = 8;  // of the sample; fewer say little, and change no plan

}  // namespace

std::size_t estimate_hits(const Matrix& queries, const Matrix& items, const double* thresholds,
                          const SearchOptions& options) {
    const double pairs = static_cast<double>(queries.rows) * static_cast<double>(items.rows);
    if (pairs * static_cast<double>(items.cols) < kWorthASample) return 0;
    if (options.filter.allow.indptr != nullptr || options.filter.allow_ids != nullptr) return 0;
    const ScoreKernels& kernels = *active_kernels().score;
    const RowReader query_rows(queries);
    const RowReader item_rows(items);
    const std::size_t item_count = std::min(kItems, items.rows);
    std::vector<std::size_t> indices(std::min(kQueries, queries.rows));
    for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = i * queries.rows / indices.size();
    const QueryGroup group(query_rows, indices, options.metric, kernels, 1);
    const Scorer scorer(item_rows, nullptr, options.metric, scores_are_f64(queries, items), kernels, nullptr);
    Scorer::Scratch scratch;
    std::size_t reached = 0;
    for (std::size_t q = 0; q < group.count(); ++q) {
        if (!group.valid(q)) continue;
        const auto count = [&](const Scored& result) { reached += result.score >= thresholds[group.index(q)]; };
        ScoreQueue queue(scorer, group.row(q), group.norm(q), scratch);
        for (std::size_t i = 0; i < item_count; ++i)
            queue.push(static_cast<std::uint32_t>(i * items.rows / item_count), count);
        queue.flush(count);
    }
    return reached < kFewestHits ? 0 : reached * items.rows / (group.count() * item_count);
}

}  // namespace aigc_fast
