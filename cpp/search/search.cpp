// The driver: plan -> scan -> candidates -> score -> order. A scan proposes, the canonical score decides.
#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "aigc_fast/aigc_fast.hpp"
#include "base/aligned.hpp"
#include "base/float_environment.hpp"
#include "base/rows.hpp"
#include "base/thread_pool.hpp"
#include "dispatch/kernels.hpp"
#include "score/scorer.hpp"
#include "search/cascade_scanner.hpp"
#include "search/code_scanner.hpp"
#include "search/dense_bounds.hpp"
#include "search/f32_scanner.hpp"
#include "search/plan.hpp"
#include "search/query_group.hpp"
#include "search/selectivity.hpp"
#include "select/filter.hpp"
#include "select/threshold.hpp"
#include "select/topk.hpp"

namespace aigc_fast {
namespace {

constexpr std::uint32_t kRowsBetweenCheckpoints = 1 << 16;  // of rows scored one by one
constexpr std::size_t kHits = 768;           // most hits between two looks at the cutoffs: those of the largest tile
constexpr std::size_t kTasksPerThread = 8;   // so that no thread waits long for the last one
constexpr std::size_t kScoredTogether = 24;  // rows of one query, so that kernels and its own row are used well
static_assert(kHits >= kScanTileRows * kMaxPanelWidth && kHits >= kCodePanel * kMaxCodeTileBlocks * kCodeRows);

// What every search shares.
struct Search {
    Search(const Matrix& queries, const Matrix& items, const double* thresholds, const SearchOptions& options,
           const Demand& demand)
        : kernels(active_kernels()),
          plan(make_plan(queries, items, options, demand, kernels)),
          queries(queries),
          items(items),
          options(options),
          filter(options.filter, thresholds, items.rows, plan.way != Way::direct),
          scorer(this->items, options.ids, options.metric, scores_are_f64(queries, items), *kernels.score,
                 options.report == nullptr ? nullptr : &options.report->scored) {
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

    // Lets the caller end a search, which may be long even for one query. Worker 0 is the calling thread.
    void checkpoint(std::size_t worker) const {
        if (worker == 0 && options.checkpoint) options.checkpoint();
    }
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
            const auto row = static_cast<std::uint32_t>(item);
            if (row % kRowsBetweenCheckpoints == 0) search.checkpoint(worker);
            if (search.filter.row_allowed(query, row)) queue.push(row, add);
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
        selector.write(query, results.sorted());
    });
}

// Hits of rows from `begin` on, which the worker has loaded.
template <class Scanner, class Selector>
void offer_hits(const Search& search, const QueryGroup& group, const Scanner& scanner, std::size_t begin,
                std::size_t first_query, const Hit* hits, std::size_t count, std::size_t worker_index,
                const typename Scanner::Worker& worker, Selector& selector) {
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t query = first_query + hits[i].query;
        const auto item = static_cast<std::uint32_t>(begin + hits[i].row);
        Bounds bounds;
        if (group.valid(query) && scanner.bounds(worker, query, hits[i], &bounds) &&
            search.filter.row_allowed(group.index(query), item))
            selector.offer(worker_index, query, item, bounds);
    }
}

// Rows [begin, end), a block of them, against panels [panel, panel_end) of queries.
template <class Scanner, class Selector>
void scan_block(const Search& search, const QueryGroup& group, const Scanner& scanner, std::size_t begin,
                std::size_t end, std::size_t panel, std::size_t panel_end, std::size_t worker_index,
                typename Scanner::Worker& worker, Hit* hits, Selector& selector) {
    scanner.load(worker, begin, end);
    std::uint64_t all_hits = 0;
    const auto panel_start = [&](std::size_t p) {
        return p == scanner.panels() ? group.count() : scanner.panel_begin(p);
    };
    const std::size_t first_query = panel_start(panel);
    const std::size_t last_query = panel_start(panel_end);
    for (; panel < panel_end; ++panel) {
        // Few enough that the first rows, which all are hits, do not go on for long before they raise the cutoffs.
        const std::size_t most_hits = std::clamp<std::size_t>(scanner.tile_hits(panel), 64, kHits);
        for (std::size_t row = 0; row < end - begin;) {
            std::size_t count = 0;
            const float* cutoffs = selector.cutoffs(worker_index, panel_start(panel), panel_start(panel + 1));
            row = scanner.scan(worker, panel, cutoffs, row, hits, most_hits, &count);
            all_hits += count;
            offer_hits(search, group, scanner, begin, scanner.panel_begin(panel), hits, count, worker_index, worker,
                       selector);
        }
    }
    for (const std::uint32_t row : worker.unbounded)
        for (std::size_t query = first_query; query < last_query; ++query)
            if (const auto item = static_cast<std::uint32_t>(begin + row);
                group.valid(query) && search.filter.row_allowed(group.index(query), item))
                selector.offer(worker_index, query, item, kUnbounded);
    if (search.options.report != nullptr) search.options.report->hits.fetch_add(all_hits, std::memory_order_relaxed);
}

// What the scanning threads of one group of queries own.
template <class Scanner>
struct ScanThreads {
    ScanThreads(const Scanner& scanner, std::size_t threads, std::size_t block_rows) : scratch(threads) {
        for (std::size_t i = 0; i < threads; ++i) {
            workers.push_back(scanner.worker(block_rows));
            hits.emplace_back(kHits);
        }
    }
    std::vector<typename Scanner::Worker> workers;
    std::vector<AlignedArray<Hit>> hits;
    std::vector<Scorer::Scratch> scratch;
};

// The blocks of all items in waves: every stride-th block first, then with stride / 4 those between them, and so on.
struct Wave {
    std::size_t stride;
    bool first;

    std::size_t count(std::size_t blocks) const {
        const std::size_t upto = (blocks + stride - 1) / stride;
        return first ? upto : upto - (upto + kWaveGrowth - 1) / kWaveGrowth;  // less those of the waves before
    }
    // The share of the rows that has been scanned when the wave ends, or a little more: with few blocks, well above one
    // in `stride`.
    double share(std::size_t rows, std::size_t block_rows) const {
        const std::size_t blocks = (rows + block_rows - 1) / block_rows;
        const std::size_t scanned = std::min(rows, (blocks + stride - 1) / stride * block_rows);
        return static_cast<double>(scanned) / static_cast<double>(rows);
    }
    std::size_t block(std::size_t i) const { return stride * (first ? i : i + i / (kWaveGrowth - 1) + 1); }
};

template <class Scanner, class Selector>
void scan_wave(const Search& search, const QueryGroup& group, const Scanner& scanner, const Wave& wave,
               ScanThreads<Scanner>& threads, Selector& selector) {
    const std::size_t rows = search.items.rows();
    const std::size_t block_rows = search.plan.block_rows;
    const std::size_t blocks = wave.count((rows + block_rows - 1) / block_rows);
    const std::size_t wanted = threads.workers.size() == 1 ? 1 : threads.workers.size() * kTasksPerThread;
    // Tasks are runs of blocks; where there are few blocks, each is shared out by panels of queries as well.
    // In the first of several waves by panels above all: hits are many until a query's cutoff is known to its thread.
    const std::size_t least_panel_runs = wave.first && wave.stride > 1 ? std::min(scanner.panels(), wanted) : 1;
    const std::size_t runs = std::min(blocks, (wanted + least_panel_runs - 1) / least_panel_runs);
    if (runs == 0) return;
    const std::size_t panel_runs = std::min(scanner.panels(), (wanted + runs - 1) / runs);
    parallel_for(runs * panel_runs, search.plan.threads, [&](std::size_t task, std::size_t worker) {
        const std::size_t run = task / panel_runs;
        const std::size_t panel_run = task % panel_runs;
        const std::size_t panel = scanner.panels() * panel_run / panel_runs;
        const std::size_t panel_end = scanner.panels() * (panel_run + 1) / panel_runs;
        for (std::size_t i = blocks * run / runs; i < blocks * (run + 1) / runs; ++i) {
            search.checkpoint(worker);
            const std::size_t begin = wave.block(i) * block_rows;
            scan_block(search, group, scanner, begin, std::min(begin + block_rows, rows), panel, panel_end, worker,
                       threads.workers[worker], threads.hits[worker].data(), selector);
        }
    });
}

// What is known to be promising comes first: it raises the cutoffs for all that follows.
template <class Selector>
void offer_promising(const Search& search, const QueryGroup& group, CascadeScanner& scanner,
                     ScanThreads<CascadeScanner>& threads, Selector& selector) {
    if (search.plan.survey == 0) return;
    selector.begin_wave(1.0);
    const std::vector<Hit> hits = scanner.survey(threads.workers[0], search.plan.survey,
                                                 selector.cutoffs(0, 0, group.count()), search.plan.threads);
    offer_hits(search, group, scanner, 0, 0, hits.data(), hits.size(), 0, threads.workers[0], selector);
    for (std::size_t q = 0; q < group.count(); ++q) selector.end_wave(q);
}

template <class Scanner, class Selector>
void offer_promising(const Search&, const QueryGroup&, const Scanner&, ScanThreads<Scanner>&, Selector&) {}

// Returns the queries for which a guess was too high.
template <class Scanner, class Selector>
std::vector<std::size_t> scan_and_score(const Search& search, const QueryGroup& group, Scanner scanner, bool guess,
                                        Selector& selector) {
    const auto started = std::chrono::steady_clock::now();
    ScanThreads<Scanner> threads(scanner, static_cast<std::size_t>(search.plan.threads), search.plan.block_rows);
    selector.begin(group, threads.workers.size(), guess);
    offer_promising(search, group, scanner, threads, selector);
    const std::size_t first = guess ? search.plan.first_stride : 1;
    for (std::size_t stride = first; stride > 0; stride /= kWaveGrowth) {
        const Wave wave{stride, stride == first};
        selector.begin_wave(wave.share(search.items.rows(), search.plan.block_rows));
        scan_wave(search, group, scanner, wave, threads, selector);
        if (stride == 1) break;
        parallel_for(group.count(), search.plan.threads, [&](std::size_t q, std::size_t) { selector.end_wave(q); });
    }
    const auto scanned = std::chrono::steady_clock::now();
    std::vector<std::uint8_t> finished(group.count());
    parallel_for(group.count(), search.plan.threads,
                 [&](std::size_t q, std::size_t worker) { finished[q] = selector.finish(q, threads.scratch[worker]); });
    if (SearchReport* report = search.options.report; report != nullptr) {
        using Seconds = std::chrono::duration<double>;
        report->scan_seconds += Seconds(scanned - started).count();
        report->score_seconds += Seconds(std::chrono::steady_clock::now() - scanned).count();
    }
    std::vector<std::size_t> failed;
    for (std::size_t q = 0; q < group.count(); ++q)
        if (!finished[q]) failed.push_back(group.index(q));
    return failed;
}

// Keeps all bounds, selects from them and scores what was selected, a block of rows for all queries that want some of
// them: where many do, rows come from memory once.
void search_densely(const Search& search, const QueryGroup& group, TopKSelector& selector) {
    const auto started = std::chrono::steady_clock::now();
    const int threads = search.plan.threads;
    const std::size_t rows = search.items.rows();
    const F32Scanner scanner(group, search.items, search.options.metric, *search.kernels.f32, threads);
    const DenseBounds bounds(group, scanner, search.filter, rows, search.plan.block_rows, threads);
    const std::vector<DenseBounds::Candidates> candidates = bounds.candidates(selector.wanted(), threads);
    const auto scanned = std::chrono::steady_clock::now();

    std::vector<Scorer::Scratch> scratch(static_cast<std::size_t>(threads));
    std::size_t most = 1;
    for (const auto& of_query : candidates) most = std::max(most, of_query.rows.size());
    const std::size_t block_rows = std::max(search.plan.block_rows, kScoredTogether * rows / most);
    parallel_for((rows + block_rows - 1) / block_rows, threads, [&](std::size_t block, std::size_t worker) {
        search.checkpoint(worker);
        for (std::size_t q = 0; q < group.count(); ++q) {
            const std::vector<std::uint32_t>& list = candidates[q].rows;
            const auto from = std::lower_bound(list.begin(), list.end(), block * block_rows);
            double* scores = candidates[q].scores.get() + (from - list.begin());
            const auto keep = [&](const Scored& result) { *scores++ = result.score; };
            ScoreQueue queue(search.scorer, group.row(q), group.norm(q), scratch[worker]);
            for (auto row = from; row != list.end() && *row < (block + 1) * block_rows; ++row) queue.push(*row, keep);
            queue.flush(keep);
        }
    });
    parallel_for(group.count(), threads, [&](std::size_t q, std::size_t) {
        auto results = selector.collector();
        for (std::size_t i = 0; i < candidates[q].rows.size(); ++i) {
            const std::uint32_t row = candidates[q].rows[i];
            const Scored result{candidates[q].scores[i], search.scorer.id(row), row};
            if (search.filter.score_allowed(group.index(q), result)) results.add(result);
        }
        selector.write(group.index(q), results.sorted());
    });
    if (SearchReport* report = search.options.report; report != nullptr) {
        using Seconds = std::chrono::duration<double>;
        report->scan_seconds += Seconds(scanned - started).count();
        report->score_seconds += Seconds(std::chrono::steady_clock::now() - scanned).count();
        for (const auto& of_query : candidates) report->hits.fetch_add(of_query.rows.size(), std::memory_order_relaxed);
    }
}

// One way of searching a group; returns the queries to search once more, without guesses.
template <class Selector>
std::vector<std::size_t> search_group(const Search& search, const QueryGroup& group, bool guess, Selector& selector) {
    const Metric metric = search.options.metric;
    const int threads = search.plan.threads;
    if (search.plan.way == Way::direct) {
        score_directly(search, group, selector);
        return {};
    }
    if constexpr (std::is_same_v<Selector, TopKSelector>) {
        if (search.plan.way == Way::dense) {
            search_densely(search, group, selector);
            return {};
        }
    }
    if (search.plan.way == Way::f32)
        return scan_and_score(search, group, F32Scanner(group, search.items, metric, *search.kernels.f32, threads),
                              guess, selector);
    const ItemCodes* codes = search.options.codes;
    const std::size_t copies = selector.copies_wanted();
    if (search.plan.way == Way::cascade)
        return scan_and_score(
            search, group,
            CascadeScanner(group, search.items, metric, search.kernels, *codes, copies, threads, search.options.report),
            guess, selector);
    if (search.plan.way == Way::bf16)
        return scan_and_score(
            search, group,
            CodeScanner(group, search.items, metric, search.kernels, *search.kernels.bf16, nullptr, copies, threads),
            guess, selector);
    return scan_and_score(
        search, group,
        CodeScanner(group, search.items, metric, search.kernels, *search.kernels.int8, codes, copies, threads), guess,
        selector);
}

template <class Selector>
void run(const Search& search, Selector& selector) {
    const std::size_t query_count = search.queries.rows();
    const std::size_t group_size = std::min(selector.group_size(), search.plan.most_queries);
    if (SearchReport* report = search.options.report; report != nullptr) {
        report->way = name_of(search.plan.way);
        report->isa = search.kernels.isa;
        report->threads = search.plan.threads;
        report->block_rows = search.plan.block_rows;
        report->direct_cost = search.plan.direct_cost;
        report->f32_cost = search.plan.f32_cost;
        report->dense_cost = search.plan.dense_cost;
        report->bf16_cost = search.plan.bf16_cost;
        report->int8_cost = search.plan.int8_cost;
        report->cascade_cost = search.plan.cascade_cost;
    }
    const auto group_of = [&](std::vector<std::size_t> indices) {
        return QueryGroup(search.queries, std::move(indices), search.options.metric, *search.kernels.score,
                          search.plan.threads);
    };
    for (std::size_t begin = 0; begin < query_count; begin += group_size) {
        search.checkpoint(0);
        std::vector<std::size_t> indices(std::min(group_size, query_count - begin));
        std::iota(indices.begin(), indices.end(), begin);
        const std::vector<std::size_t> again = search_group(search, group_of(std::move(indices)), true, selector);
        if (!again.empty()) search_group(search, group_of(again), false, selector);
    }
}

}  // namespace

void topk(const Matrix& queries, const Matrix& items, std::size_t k, const double* thresholds,
          const SearchOptions& options, void* scores, std::int64_t* ids, std::int64_t* counts) {
    const DefaultFloatEnvironment environment;
    const Search search(queries, items, thresholds, options, {k, true});
    TopKSelector selector(k, search.filter, search.scorer, queries.rows, items.rows,
                          {scores, scores_are_f64(queries, items), ids, counts});
    if (k == 0) {
        std::fill_n(counts, queries.rows, 0);
        return;
    }
    run(search, selector);
}

ThresholdHits threshold(const Matrix& queries, const Matrix& items, const double* thresholds,
                        const SearchOptions& options) {
    const DefaultFloatEnvironment environment;
    const Search search(queries, items, thresholds, options,
                        {estimate_hits(queries, items, thresholds, options), false});
    const auto hits = [&](auto selector) {
        run(search, selector);
        return selector.take(search.plan.threads);
    };
    return scores_are_f64(queries, items) ? hits(ThresholdSelector<double>(queries.rows, search.filter, search.scorer))
                                          : hits(ThresholdSelector<float>(queries.rows, search.filter, search.scorer));
}

}  // namespace aigc_fast
