// Which queries are searched in panels and which one by one, by estimated cost. Results do not depend on it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/thread_pool.hpp"
#include "sparse/entry_rows.hpp"
#include "sparse/panel_search.hpp"
#include "sparse/scoring.hpp"

namespace aigc_fast {

struct SparsePlan {
    std::vector<std::uint32_t> in_panels;  // each panel takes the next so many
    std::vector<std::uint32_t> one_by_one;
};

namespace sparse_costs {             // nanoseconds of one thread
constexpr double kPanelEntry = 1.0;  // of all rows, whatever the queries of the panel have
constexpr double kPanelRow = 10.0;   // a look at its sums
constexpr double kAddition = 1.6;    // one by one: an entry of the query's lists
constexpr double kTouchedRow = 6.0;  // the score of one
constexpr double kIndexEntry = 6.0;  // of the inverted index, which panels do not need
}  // namespace sparse_costs

template <class Value>
SparsePlan plan_queries(const Scoring& scoring, const EntryRows<Value>& rows, std::size_t begin, std::size_t end,
                        std::size_t lanes, SparseWay way, int threads) {
    using namespace sparse_costs;
    constexpr std::size_t kQueriesPerTask = 256;
    const auto entries = static_cast<double>(rows.entries());
    const auto items = static_cast<double>(scoring.items.rows());
    std::vector<double> alone(end - begin);  // the cost of each by itself; 0 where no panel takes it
    parallel_for((alone.size() + kQueriesPerTask - 1) / kQueriesPerTask, threads, [&](std::size_t task, std::size_t) {
        SparseRow row;
        const std::size_t last = std::min((task + 1) * kQueriesPerTask, alone.size());
        for (std::size_t i = task * kQueriesPerTask; i < last; ++i) {
            if (way == SparseWay::one_by_one || !panel_takes(scoring, begin + i)) continue;
            scoring.queries.read(begin + i, row);
            double additions = 0.0;
            for (const std::uint32_t column : row.columns) additions += rows.count(column);
            alone[i] = 1.0 + additions * kAddition + std::min(additions, items) * kTouchedRow;
        }
    });
    SparsePlan plan;
    for (std::size_t i = 0; i < alone.size(); ++i)
        (alone[i] > 0.0 ? plan.in_panels : plan.one_by_one).push_back(static_cast<std::uint32_t>(begin + i));
    if (way == SparseWay::panels) return plan;
    // Queries that cost about the same have most columns in common. The cheapest are not worth a panel.
    std::stable_sort(plan.in_panels.begin(), plan.in_panels.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return alone[a - begin] > alone[b - begin]; });
    const double panel = entries * kPanelEntry + items * kPanelRow;
    double rest = entries * kIndexEntry;
    std::size_t kept = plan.in_panels.size();
    while (kept > 0) {
        const std::size_t first = (kept - 1) / lanes * lanes;
        double together = 0.0;
        for (std::size_t i = first; i < kept; ++i) together += alone[plan.in_panels[i] - begin];
        if (together >= panel) break;
        rest += together;
        kept = first;
    }
    const auto cheap = static_cast<double>((plan.in_panels.size() - kept + lanes - 1) / lanes);
    if (plan.one_by_one.empty() && rest >= cheap * panel) return plan;  // no index for a few
    plan.one_by_one.insert(plan.one_by_one.end(), plan.in_panels.begin() + static_cast<std::ptrdiff_t>(kept),
                           plan.in_panels.end());
    plan.in_panels.resize(kept);
    return plan;
}

}  // namespace aigc_fast
