// The driver of sparse searches: canonical rows -> arithmetic -> inverted index -> each query -> results.
#include <algorithm>
#include <atomic>
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
#include "sparse/dense_columns.hpp"
#include "sparse/inverted_index.hpp"
#include "sparse/query_search.hpp"

namespace aigc_fast {
namespace {

constexpr std::size_t kQueriesPerTask = 16;
constexpr std::size_t kTasksPerCheckpoint = 16;
constexpr std::size_t kBlockRows = 32768;  // their sums stay in the second cache
constexpr double kEntriesPerList = 4.0;    // fewer, and a block's lists cost more than its sums' cache misses
constexpr double kScanShare = 0.125;       // a scan looks at a row in an eighth of the time of one addition
constexpr double kDenseShare = 0.15;       // an entry of a dense column costs about a seventh of one in a list

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
    return (rows + kColumnTile - 1) / kColumnTile * kColumnTile;
}

// The results of neighbouring queries.
struct Part {
    std::vector<std::int64_t> counts;
    std::vector<std::int64_t> ids;
    std::vector<double> scores;
};

ThresholdHits join(std::vector<Part> parts, std::size_t query_count) {
    ThresholdHits all;
    std::size_t total = 0;
    for (const Part& part : parts) total += part.ids.size();
    all.indptr.assign(1, 0);
    all.indptr.reserve(query_count + 1);
    all.ids.reserve(total);
    all.scores.reserve(total);
    for (Part& part : parts) {
        for (const std::int64_t count : part.counts) all.indptr.push_back(all.indptr.back() + count);
        all.ids.insert(all.ids.end(), part.ids.begin(), part.ids.end());
        all.scores.insert(all.scores.end(), part.scores.begin(), part.scores.end());
        part = {};  // never two whole copies
    }
    return all;
}

template <class Posting>
ThresholdHits run(const CanonicalRows& queries, const CanonicalRows& items, const SparseOptions& options,
                  double query_unit, double item_unit, std::size_t block_rows, int threads) {
    const InvertedIndex<Posting> index(items, item_unit, block_rows, threads);
    std::optional<DenseColumns> dense;
    if constexpr (std::is_same_v<Posting, IntegerPosting>)
        if (overrides.way != 1)
            dense.emplace(index, overrides.dense_share > 0.0 ? overrides.dense_share : kDenseShare, threads);
    const double scan_share = overrides.way == 1   ? std::numeric_limits<double>::infinity()
                              : overrides.way == 2 ? 0.0
                                                   : kScanShare;
    const SparseSearch<Posting> search(queries, items, options, *active_kernels().sparse, index,
                                       dense ? &*dense : nullptr, query_unit, item_unit, scan_share);
    const std::size_t tasks = (queries.rows() + kQueriesPerTask - 1) / kQueriesPerTask;
    std::vector<Part> parts(tasks);
    std::vector<std::unique_ptr<QuerySearch<Posting>>> workers(static_cast<std::size_t>(threads));
    std::size_t calls = 0;  // of the calling thread
    parallel_for(tasks, threads, [&](std::size_t task, std::size_t worker) {
        if (worker == 0 && options.checkpoint && ++calls % kTasksPerCheckpoint == 0) options.checkpoint();
        if (!workers[worker]) workers[worker] = std::make_unique<QuerySearch<Posting>>(search);
        Part& part = parts[task];
        const std::size_t end = std::min((task + 1) * kQueriesPerTask, queries.rows());
        QuerySearch<Posting>& search_group = *workers[worker];
        search_group(task * kQueriesPerTask, end, [&](const std::vector<Scored>& results) {
            part.counts.push_back(static_cast<std::int64_t>(results.size()));
            for (const Scored& result : results) {
                part.ids.push_back(result.id);
                part.scores.push_back(result.score);
            }
        });
    });
    return join(std::move(parts), queries.rows());
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
    const std::size_t block_rows = choose_block_rows(item_rows);
    if (!overrides.no_integers && block_rows <= IntegerPosting::kMostRows && integers_are_exact(query_rows, item_rows))
        return run<IntegerPosting>(query_rows, item_rows, options, std::ldexp(1.0, query_rows.unit_exponent()),
                                   std::ldexp(1.0, item_rows.unit_exponent()), block_rows, threads);
    if (item_rows.is_f64() || item_rows.centred())
        return run<RealPosting<double>>(query_rows, item_rows, options, 1.0, 1.0, block_rows, threads);
    return run<RealPosting<float>>(query_rows, item_rows, options, 1.0, 1.0, block_rows, threads);
}

}  // namespace aigc_fast
