// Which queries are searched in panels and which one by one, by estimated cost. Results do not depend on it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "base/thread_pool.hpp"
#include "sparse/entry_rows.hpp"
#include "sparse/panel_search.hpp"
#include "sparse/scoring.hpp"

namespace aigc_fast {

struct SparsePlan {
    std::vector<std::uint32_t> in_panels;  // each panel takes the next so many
    std::vector<std::uint32_t> one_by_one;
    double cost = 0.0;
};

namespace sparse_costs {             // nanoseconds of one thread
constexpr double kPanelEntry = 1.0;  // of all rows, whatever the queries of the panel have
constexpr double kPanelRow = 10.0;   // a look at its sums
constexpr double kOffer = 270.0;     // of the k results of a row: what others offer it
constexpr double kAddition = 1.6;    // one by one: an entry of the query's lists
constexpr double kTouchedRow = 6.0;  // the score of one
constexpr double kIndexEntry = 6.0;  // of the inverted index, which panels do not need
}  // namespace sparse_costs

template <class Value>
SparsePlan plan_queries(const Scoring& scoring, const EntryRows<Value>& rows, std::size_t begin, std::size_t end,
                        std::size_t lanes, SparseWay way, int threads) {
    using namespace sparse_costs;
    constexpr std::size_t kQueriesPerTask = 256;
    const auto entries = static_cast<double>(rows.entries_from(0));
    const auto items = static_cast<double>(scoring.items.rows());
    std::vector<double> alone(end - begin);  // the cost of each by itself; 0 where no panel takes it
    parallel_for((alone.size() + kQueriesPerTask - 1) / kQueriesPerTask, threads, [&](std::size_t task, std::size_t) {
        SparseRow row;
        const std::size_t last = std::min((task + 1) * kQueriesPerTask, alone.size());
        for (std::size_t i = task * kQueriesPerTask; i < last; ++i) {
            if (way == SparseWay::one_by_one || !panel_takes(scoring, begin + i)) continue;
            scoring.queries.read(begin + i, row);
            double additions = 0.0;
            for (const std::uint32_t column : row.columns) additions += rows.rows_with(column);
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
    const auto panels = [&](std::size_t count) { return static_cast<double>((count + lanes - 1) / lanes) * panel; };
    plan.cost = panels(plan.in_panels.size());
    if (plan.one_by_one.empty() && rest >= panels(plan.in_panels.size() - kept)) return plan;  // no index for a few
    plan.cost = panels(kept) + rest;
    plan.one_by_one.insert(plan.one_by_one.end(), plan.in_panels.begin() + static_cast<std::ptrdiff_t>(kept),
                           plan.in_panels.end());
    plan.in_panels.resize(kept);
    return plan;
}

// The order of rows: for those that are compared with each other the largest first, and last those that are no queries
// of panels; their number. Else as they come.
inline std::pair<std::vector<std::uint32_t>, std::size_t> order_rows(const Scoring& scoring, bool itself) {
    std::vector<std::uint32_t> order(scoring.items.rows());
    std::iota(order.begin(), order.end(), 0u);
    if (!itself) return {std::move(order), 0};
    const auto others =
        std::stable_partition(order.begin(), order.end(), [&](std::uint32_t row) { return panel_takes(scoring, row); });
    std::stable_sort(order.begin(), others,
                     [&](std::uint32_t a, std::uint32_t b) { return scoring.items.size(a) > scoring.items.size(b); });
    const auto takers = static_cast<std::size_t>(others - order.begin());
    return {std::move(order), takers};
}

// Whether the first rows are to be compared with each other and the rest mutually, which costs less the more their
// sizes differ, but keeps the results of all at once.
template <class Value>
bool plan_mutual(const Scoring& scoring, const EntryRows<Value>& rows, std::size_t takers, std::size_t lanes,
                 SparseWay way, int threads) {
    using namespace sparse_costs;
    constexpr std::size_t kMostBytes = std::size_t{1} << 28;
    if (takers == 0 || way == SparseWay::one_by_one || way == SparseWay::panels) return false;
    if (way == SparseWay::mutual) return true;
    if (MutualResults::bytes(takers, scoring.k()) > kMostBytes) return false;
    double cost = static_cast<double>(takers) * static_cast<double>(scoring.k()) * kOffer;
    for (std::size_t first = 0; first < takers; first += lanes)
        cost += static_cast<double>(rows.entries_from(first)) * kPanelEntry +
                static_cast<double>(rows.count() - first) * kPanelRow;
    return cost < plan_queries(scoring, rows, 0, scoring.queries.rows(), lanes, way, threads).cost;
}

}  // namespace aigc_fast
