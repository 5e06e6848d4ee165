// The driver of sparse searches: canonical rows -> arithmetic -> plan -> panels of queries, and queries one by one ->
// results.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/float_environment.hpp"
#include "base/thread_pool.hpp"
#include "dispatch/kernels.hpp"
#include "sparse/canonical_rows.hpp"
#include "sparse/entry_rows.hpp"
#include "sparse/inverted_index.hpp"
#include "sparse/panel_search.hpp"
#include "sparse/plan.hpp"
#include "sparse/scoring.hpp"
#include "sparse/touched_search.hpp"

namespace aigc_fast {
namespace {

constexpr std::size_t kQueriesPerTask = 16;      // one by one
constexpr std::size_t kQueriesPerChunk = 16384;  // whose results are held before they are handed over
constexpr std::size_t kBlockRows = 32768;        // their sums stay in the second cache
constexpr double kEntriesPerList = 4.0;          // fewer, and a block's lists cost more than its sums' cache misses
constexpr std::size_t kShortestStretch = 16;     // entries whose products int16 must hold together

SparsePlanOverride overrides;

// Sums of int32 hold every partial sum: |sum| <= |x| |q| in units (Cauchy-Schwarz), values fit int16.
bool integers_are_exact(const CanonicalRows& queries, const CanonicalRows& items) {
    constexpr double kLargestValue = 32767.0;
    constexpr double kLargestSum = 2147483647.0;
    const double query_unit = std::ldexp(1.0, queries.unit_exponent());
    const double item_unit = std::ldexp(1.0, items.unit_exponent());
    return queries.largest_magnitude() <= kLargestValue * query_unit &&
           items.largest_magnitude() <= kLargestValue * item_unit &&
           queries.largest_norm() / query_unit * (items.largest_norm() / item_unit) < kLargestSum;
}

std::size_t choose_block_rows(const CanonicalRows& items) {
    const double lists = kEntriesPerList * static_cast<double>(std::max<std::size_t>(items.cols(), 1));
    const auto most_blocks = std::max<std::size_t>(
        1, static_cast<std::size_t>(static_cast<double>(items.entries_before(items.rows())) / lists));
    std::size_t rows = overrides.block_rows;
    if (rows == 0) {
        const std::size_t blocks = std::min((items.rows() + kBlockRows - 1) / kBlockRows, most_blocks);
        rows = (items.rows() + blocks - 1) / blocks;
    }
    return std::min(rows, IntegerPosting::kMostRows);
}

template <class Posting, class Panel, class Value>
ThresholdHits run(const Scoring& scoring, const PanelKernels<Panel, Value>& kernels, int threads) {
    using Panels = PanelSearch<Panel, Value>;
    constexpr std::size_t lanes = Panel::kLanes;
    auto [order, takers] = order_rows(scoring, &scoring.queries == &scoring.items);
    const EntryRows<Value> rows(scoring.items, scoring.item_unit, std::move(order), threads);
    std::optional<MutualResults> mutual;
    if (plan_mutual(scoring, rows, takers, lanes, overrides.way, threads)) mutual.emplace(takers, scoring.k());
    std::optional<InvertedIndex<Posting>> index;  // once it is needed
    std::vector<std::unique_ptr<Panels>> panels(static_cast<std::size_t>(threads));
    std::vector<std::unique_ptr<TouchedSearch<Posting>>> touched(static_cast<std::size_t>(threads));
    const auto checkpoint = [&](std::size_t worker) {
        if (worker == 0 && scoring.options.checkpoint) scoring.options.checkpoint();  // the calling thread
    };
    ThresholdHits all;
    all.indptr.assign(1, 0);
    all.indptr.reserve(scoring.queries.rows() + 1);
    const std::size_t chunk = mutual ? scoring.queries.rows() : kQueriesPerChunk;
    for (std::size_t begin = 0; begin < scoring.queries.rows(); begin += chunk) {
        const std::size_t end = std::min(begin + chunk, scoring.queries.rows());
        SparsePlan plan;
        if (mutual)
            for (std::size_t position = 0; position < rows.count(); ++position)
                (position < takers ? plan.in_panels : plan.one_by_one).push_back(rows.id(position));
        else
            plan = plan_queries(scoring, rows, begin, end, lanes, overrides.way, threads);
        std::vector<std::vector<Scored>> found(end - begin);
        const std::size_t groups = (plan.in_panels.size() + lanes - 1) / lanes;
        parallel_for(groups, threads, [&](std::size_t group, std::size_t worker) {
            checkpoint(worker);
            if (!panels[worker])
                panels[worker] = std::make_unique<Panels>(scoring, rows, kernels, mutual ? &*mutual : nullptr);
            const std::size_t first = group * lanes;
            (*panels[worker])(
                plan.in_panels.data() + first, std::min(lanes, plan.in_panels.size() - first), mutual ? first : 0,
                [&](std::size_t query, const std::vector<Scored>& results) { found[query - begin] = results; });
        });
        for (std::size_t i = 0; i < plan.in_panels.size(); ++i) {
            const std::uint32_t query = plan.in_panels[i];
            if (mutual) found[query] = mutual->sorted(i);
            if (!nothing_missed(scoring, query, found[query - begin], mutual.has_value()))
                plan.one_by_one.push_back(query);
        }
        if (!plan.one_by_one.empty() && !index)
            index.emplace(scoring.items, scoring.item_unit, choose_block_rows(scoring.items), threads);
        const std::size_t tasks = (plan.one_by_one.size() + kQueriesPerTask - 1) / kQueriesPerTask;
        parallel_for(tasks, threads, [&](std::size_t task, std::size_t worker) {
            checkpoint(worker);
            if (!touched[worker]) touched[worker] = std::make_unique<TouchedSearch<Posting>>(scoring, *index);
            const std::size_t last = std::min((task + 1) * kQueriesPerTask, plan.one_by_one.size());
            for (std::size_t i = task * kQueriesPerTask; i < last; ++i) {
                const std::vector<Scored> results = (*touched[worker])(plan.one_by_one[i]);
                found[plan.one_by_one[i] - begin] = results;  // a copy has no room to spare
            }
        });
        for (std::vector<Scored>& results : found) {
            for (const Scored& result : results) {
                all.ids.push_back(result.id);
                all.scores.push_back(result.score);
            }
            all.indptr.push_back(static_cast<std::int64_t>(all.ids.size()));
            std::vector<Scored>().swap(results);
        }
    }
    return all;
}

void check_size(std::size_t size, const char* what) {
    if (size > std::numeric_limits<std::uint32_t>::max())
        throw std::invalid_argument(std::string(what) + " must be fewer than 2^32, got " + std::to_string(size));
}

}  // namespace

void override_sparse_plan(const SparsePlanOverride& wanted) { overrides = wanted; }

ThresholdHits sparse_topk(const CsrMatrix& queries, const CsrMatrix& items, const SparseOptions& options) {
    const DefaultFloatEnvironment environment;
    check_size(queries.rows, "rows of queries");
    check_size(items.rows, "rows of items");
    check_size(items.cols, "columns");
    if (queries.rows == 0 || items.rows == 0) return {std::vector<std::int64_t>(queries.rows + 1), {}, {}};
    const int threads = options.num_threads > 0 ? options.num_threads : default_num_threads();
    const CanonicalRows item_rows(items, options.metric, threads);
    const bool itself = queries.values == items.values && queries.columns == items.columns &&
                        queries.indptr == items.indptr && queries.rows == items.rows;
    std::optional<CanonicalRows> others;
    if (!itself) others.emplace(queries, options.metric, threads);
    const CanonicalRows& query_rows = itself ? item_rows : *others;
    const SparseKernels& kernels = *active_kernels().sparse;
    if (!overrides.no_integers && integers_are_exact(query_rows, item_rows)) {
        const Scoring scoring{query_rows, item_rows, options, std::ldexp(1.0, query_rows.unit_exponent()),
                              std::ldexp(1.0, item_rows.unit_exponent())};
        if (longest_stretch(scoring) >= kShortestStretch)
            return run<IntegerPosting>(scoring, kernels.integers, threads);
        return run<IntegerPosting>(scoring, kernels.floats, threads);
    }
    const Scoring scoring{query_rows, item_rows, options, 1.0, 1.0};
    if (item_rows.is_f64() || item_rows.centred()) return run<RealPosting<double>>(scoring, kernels.doubles, threads);
    return run<RealPosting<float>>(scoring, kernels.floats, threads);
}

}  // namespace aigc_fast
