// The driver: plan -> scan -> candidates -> score -> order. A scan proposes, the canonical score decides.
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "aigc_fast/aigc_fast.hpp"
#include "base/aligned.hpp"
#include "base/rows.hpp"
#include "base/thread_pool.hpp"
#include "dispatch/kernels.hpp"
#include "score/scorer.hpp"
#include "search/plan.hpp"
#include "search/query_group.hpp"
#include "select/filter.hpp"
#include "select/threshold.hpp"
#include "select/topk.hpp"

namespace aigc_fast {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::size_t kHits = 2048;         // hits between two looks at the cutoffs; at least one tile's
constexpr std::size_t kTasksPerThread = 8;  // so that no thread waits long for the last one
static_assert(kHits >= kScanTileRows * kMaxPanelWidth);

// What every search shares.
struct Search {
    Search(const Matrix& queries, const Matrix& items, const double* thresholds, const SearchOptions& options)
        : kernels(active_kernels()),
          plan(make_plan(queries, items, options)),
          queries(queries),
          items(items),
          options(options),
          filter(options.filter, thresholds, items.rows, !plan.direct),
          scorer(this->items, options.metric, scores_are_f64(queries, items), *kernels.score) {
        if (items.rows > std::numeric_limits<std::uint32_t>::max())
            throw std::invalid_argument("items must have fewer than 2^32 rows, got " + std::to_string(items.rows));
    }

    const Kernels& kernels;
    const Plan plan;
    const RowReader queries;
    const RowReader items;
    const SearchOptions& options;
    const ResultFilter filter;
    const Scorer scorer;
};

// Scores the items that a query may get, all of them. Enough for small jobs, and for short allow-lists in any job.
template <class Selector>
void score_directly(const Search& search, const QueryGroup& group, Selector& selector) {
    const Filter& lists = search.options.filter;
    std::vector<Scorer::Scratch> scratch(static_cast<std::size_t>(search.plan.threads));
    parallel_for(group.count(), search.plan.threads, [&](std::size_t q, std::size_t worker) {
        const std::size_t query = group.index(q);
        auto results = selector.collector();
        const auto add = [&](const Scored& result) {
            if (search.filter.score_allowed(query, result)) results.add(result);
        };
        ScoreQueue queue(search.scorer, group.row(q), group.norm(q), scratch[worker]);
        const auto consider = [&](std::int64_t item) {
            if (search.filter.item_allowed(query, item)) queue.push(static_cast<std::uint32_t>(item), add);
        };
        if (!group.valid(q)) {
            // A query that is not finite gets an empty row.
        } else if (lists.allow.indptr != nullptr) {
            for (auto at = lists.allow.indptr[query]; at < lists.allow.indptr[query + 1]; ++at)
                consider(lists.allow.ids[at]);
        } else if (lists.allow_ids != nullptr) {
            for (std::size_t at = 0; at < lists.allow_count; ++at) consider(lists.allow_ids[at]);
        } else {
            for (std::size_t item = 0; item < search.items.rows(); ++item) consider(static_cast<std::int64_t>(item));
        }
        queue.flush(add);
        selector.write(query, std::move(results));
    });
}

// A scanning thread's own memory.
struct ScanWorker {
    ScanWorker(std::size_t block_rows, std::size_t dim, bool in_place)
        : hits(kHits), scale(block_rows), slack(block_rows), converted(in_place ? 0 : block_rows * dim) {}
    AlignedArray<Hit> hits;
    AlignedArray<float> scale;
    AlignedArray<float> slack;
    AlignedArray<float> converted;
};

// Hands the hits of one scan step to the selector, with their bounds.
template <class Selector>
void offer_hits(const Search& search, const QueryGroup& group, const F32Block& block, std::size_t first_row,
                std::size_t first_query, const Hit* hits, std::size_t count, std::size_t worker, Selector& selector) {
    for (std::size_t i = 0; i < count; ++i) {
        const Hit& hit = hits[i];
        const std::size_t q = first_query + hit.query;
        const float slack = block.slack[hit.row];
        if (std::isnan(slack) || !group.valid(q)) continue;  // a row or a query that is not finite
        const std::size_t item = first_row + hit.row;
        if (!search.filter.item_allowed(group.index(q), static_cast<std::int64_t>(item))) continue;
        const float allowance = group.epsilon(q) * slack;
        const bool bounded = allowance < kInfinity;  // false for NaN: an infinite epsilon on a zero row
        selector.offer(worker, q, static_cast<std::uint32_t>(item), bounded ? hit.approx - allowance : -kInfinity,
                       bounded ? hit.approx + allowance : kInfinity);
    }
}

// Rows [begin, end), at most a block of them, against panels [panel, panel_end).
template <class Selector>
void scan_block(const Search& search, const QueryGroup& group, std::size_t begin, std::size_t end, std::size_t panel,
                std::size_t panel_end, std::size_t worker_index, ScanWorker& worker, Selector& selector) {
    const F32ScanKernels& kernels = *search.kernels.f32;
    const std::size_t dim = search.items.dim();
    F32Block block{};
    block.count = end - begin;
    block.dim = dim;
    block.scale = worker.scale.data();
    block.slack = worker.slack.data();
    if (search.items.in_place_f32()) {
        block.rows = search.items.in_place<float>(begin);
        block.stride = search.items.row_stride_bytes() / static_cast<std::ptrdiff_t>(sizeof(float));
        if (block.stride == static_cast<std::ptrdiff_t>(dim)) block.prefetch_bytes = block.count * dim * sizeof(float);
    } else {
        for (std::size_t i = 0; i < block.count; ++i)
            search.items.copy_f32(begin + i, worker.converted.data() + i * dim);
        block.rows = worker.converted.data();
        block.stride = static_cast<std::ptrdiff_t>(dim);
    }
    kernels.measure(block, search.options.metric, worker.scale.data(), worker.slack.data());
    const auto scan = group.few() ? kernels.scan_few : kernels.scan_panel;
    for (; panel < panel_end; ++panel) {
        const F32Queries queries = group.panel(panel, selector.cutoffs(worker_index));
        for (std::size_t row = 0; row < block.count;) {
            std::size_t hits = 0;
            row = scan(block, queries, row, worker.hits.data(), kHits, &hits);
            offer_hits(search, group, block, begin, group.panel_begin(panel), worker.hits.data(), hits, worker_index,
                       selector);
        }
    }
}

template <class Selector>
void scan_and_score(const Search& search, const QueryGroup& group, Selector& selector) {
    const auto threads = static_cast<std::size_t>(search.plan.threads);
    const std::size_t block_rows = std::min(search.plan.block_rows, search.items.rows());
    const std::size_t blocks = (search.items.rows() + block_rows - 1) / block_rows;
    const std::size_t wanted = threads == 1 ? 1 : threads * kTasksPerThread;
    // Tasks are runs of blocks; where there are few blocks, each is shared out by panels of queries as well.
    const std::size_t runs = std::min(blocks, wanted);
    const std::size_t panel_runs = std::min(group.panels(), (wanted + runs - 1) / runs);

    selector.begin(group, threads);
    std::vector<ScanWorker> workers;
    for (std::size_t i = 0; i < threads; ++i)
        workers.emplace_back(block_rows, search.items.dim(), search.items.in_place_f32());
    parallel_for(runs * panel_runs, search.plan.threads, [&](std::size_t task, std::size_t worker) {
        const std::size_t run = task / panel_runs;
        const std::size_t panel_run = task % panel_runs;
        const std::size_t panel = group.panels() * panel_run / panel_runs;
        const std::size_t panel_end = group.panels() * (panel_run + 1) / panel_runs;
        for (std::size_t block = blocks * run / runs; block < blocks * (run + 1) / runs; ++block)
            scan_block(search, group, block * block_rows, std::min((block + 1) * block_rows, search.items.rows()),
                       panel, panel_end, worker, workers[worker], selector);
    });
    std::vector<Scorer::Scratch> scratch(threads);
    parallel_for(group.count(), search.plan.threads,
                 [&](std::size_t q, std::size_t worker) { selector.finish(q, scratch[worker]); });
}

template <class Selector>
void run(const Search& search, Selector& selector) {
    const std::size_t query_count = search.queries.rows();
    const std::size_t group_size = selector.group_size();
    for (std::size_t begin = 0; begin < query_count; begin += group_size) {
        if (begin > 0 && search.options.checkpoint) search.options.checkpoint();
        const QueryGroup group(search.queries, begin, std::min(group_size, query_count - begin), search.options.metric,
                               search.kernels, !search.plan.direct, search.plan.threads);
        if (search.plan.direct)
            score_directly(search, group, selector);
        else
            scan_and_score(search, group, selector);
    }
}

}  // namespace

void topk(const Matrix& queries, const Matrix& items, std::size_t k, const double* thresholds,
          const SearchOptions& options, void* scores, std::int64_t* ids, std::int64_t* counts) {
    const Search search(queries, items, thresholds, options);
    TopKSelector selector(k, search.filter, search.scorer, items.rows,
                          {scores, scores_are_f64(queries, items), ids, counts});
    if (k == 0) {
        std::fill_n(counts, queries.rows, 0);
        return;
    }
    run(search, selector);
}

ThresholdHits threshold(const Matrix& queries, const Matrix& items, const double* thresholds,
                        const SearchOptions& options) {
    const Search search(queries, items, thresholds, options);
    ThresholdSelector selector(queries.rows, search.filter, search.scorer);
    run(search, selector);
    return selector.take();
}

}  // namespace aigc_fast
