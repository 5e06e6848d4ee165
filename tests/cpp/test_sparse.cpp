// Sparse neighbours against plain loops, bit for bit: every way, arithmetic, block size, instruction set and number of
// threads, on arrays that end where their memory does.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "aigc_fast/sparse.hpp"
#include "canonical.hpp"
#include "check.hpp"
#include "guarded_array.hpp"

using namespace aigc_fast;
using test::GuardedArray;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

enum class Values { ratings, half_stars, signs, large, real, zeros, count };

double draw(Values values, std::mt19937_64& random) {
    const auto below = [&](std::uint64_t bound) { return static_cast<double>(random() % bound); };
    switch (values) {
        case Values::ratings:
            return 1.0 + below(5);
        case Values::half_stars:
            return 0.5 + below(10) / 2;
        case Values::signs:
            return below(5) - 2.0;
        case Values::large:
            return below(80'000) - 40'000.0;
        case Values::real:
            return std::ldexp(below(1u << 20) - (1u << 19), -static_cast<int>(random() % 60));
        default:
            return below(2);
    }
}

struct Rows {
    std::vector<std::vector<std::pair<std::size_t, double>>> entries;
    std::size_t cols;
};

// Some rows are empty, some are copies of others.
Rows random_rows(std::size_t rows, std::size_t cols, Values values, bool single, std::mt19937_64& random) {
    Rows result{std::vector<std::vector<std::pair<std::size_t, double>>>(rows), cols};
    for (std::size_t r = 0; r < rows; ++r) {
        if (r > 0 && random() % 5 == 0) {
            result.entries[r] = result.entries[random() % r];
            continue;
        }
        const std::uint64_t sparseness = 1 + random() % 6;
        for (std::size_t c = 0; c < cols; ++c) {
            if (random() % sparseness != 0) continue;
            const double value = draw(values, random);
            result.entries[r].emplace_back(c, single ? static_cast<double>(static_cast<float>(value)) : value);
        }
    }
    return result;
}

// The arrays of a CSR matrix.
template <class Value, class Index>
struct Csr {
    explicit Csr(const Rows& rows) : values(size(rows)), columns(size(rows)), indptr(rows.entries.size() + 1) {
        std::size_t at = 0;
        indptr[0] = 0;
        for (std::size_t r = 0; r < rows.entries.size(); ++r) {
            for (const auto& [column, value] : rows.entries[r]) {
                columns[at] = static_cast<Index>(column);
                values[at++] = static_cast<Value>(value);
            }
            indptr[r + 1] = static_cast<Index>(at);
        }
        view = {values.data(),      sizeof(Value) == 4 ? DType::f32 : DType::f64,
                columns.data(),     indptr.data(),
                sizeof(Index) == 8, rows.entries.size(),
                rows.cols};
    }
    static std::size_t size(const Rows& rows) {
        std::size_t count = 0;
        for (const auto& row : rows.entries) count += row.size();
        return count;
    }

    GuardedArray<Value> values;
    GuardedArray<Index> columns;
    GuardedArray<Index> indptr;
    CsrMatrix view;
};

std::vector<std::pair<std::size_t, double>> canonical(std::vector<std::pair<std::size_t, double>> row, Metric metric) {
    if (metric != Metric::pearson || row.empty()) return row;
    double sum = 0.0;
    double low = kInfinity;
    double high = -kInfinity;
    for (const auto& entry : row) {
        sum += entry.second;
        low = std::min(low, entry.second);
        high = std::max(high, entry.second);
    }
    const double mean = std::clamp(sum / static_cast<double>(row.size()), low, high);
    for (auto& entry : row) entry.second -= mean;
    return row;
}

// Sum of the products of the common columns, ascending, and their number.
std::pair<double, std::size_t> dot(const std::vector<std::pair<std::size_t, double>>& x,
                                   const std::vector<std::pair<std::size_t, double>>& q) {
    double sum = 0.0;
    std::size_t common = 0;
    for (auto a = x.begin(), b = q.begin(); a != x.end() && b != q.end();) {
        if (a->first < b->first) {
            ++a;
        } else if (b->first < a->first) {
            ++b;
        } else {
            sum += a++->second * b++->second;
            ++common;
        }
    }
    return {sum, common};
}

// (-score, id) of the results of query q, in order.
std::vector<std::pair<double, std::int64_t>> expected(const Rows& queries, const Rows& items, std::size_t q,
                                                      const SparseOptions& options, bool as_f64) {
    std::vector<std::pair<double, std::int64_t>> found;
    const auto query = canonical(queries.entries[q], options.metric);
    const double query_norm = std::sqrt(dot(query, query).first);
    for (std::size_t i = 0; i < items.entries.size(); ++i) {
        const auto item = canonical(items.entries[i], options.metric);
        const auto [sum, common] = dot(item, query);
        if (common < options.min_overlap || (options.exclude_self && i == q)) continue;
        const double size = query_norm * std::sqrt(dot(item, item).first) + options.shrink;
        double score = size == 0.0 ? 0.0 : std::clamp(sum / size, -1.0, 1.0);
        if (!as_f64) score = static_cast<double>(static_cast<float>(score));
        if (options.thresholds == nullptr || score >= options.thresholds[q])
            found.emplace_back(-score, static_cast<std::int64_t>(i));
    }
    std::sort(found.begin(), found.end());
    found.resize(std::min(found.size(), options.k));
    return found;
}

template <class QueryValue, class ItemValue, class Index>
void searches_equal_plain_loops(std::mt19937_64& random) {
    constexpr bool kAsF64 = sizeof(QueryValue) == 8 || sizeof(ItemValue) == 8;
    for (int round = 0; round < 40; ++round) {
        const auto values = static_cast<Values>(random() % static_cast<unsigned>(Values::count));
        const std::size_t cols = 1 + random() % 40;
        const std::size_t item_count = 1 + random() % (round % 4 == 0 ? 300 : 70);
        const Rows items = random_rows(item_count, cols, values, sizeof(ItemValue) == 4, random);
        const Csr<ItemValue, Index> item_csr(items);
        const bool itself = sizeof(QueryValue) == sizeof(ItemValue) && random() % 2 == 0;
        const Rows queries =
            itself ? items : random_rows(1 + random() % 30, cols, values, sizeof(QueryValue) == 4, random);
        const Csr<QueryValue, Index> query_csr(queries);
        SparseOptions options;
        options.metric = random() % 2 ? Metric::cosine : Metric::pearson;
        options.k = random() % 3 ? 1 + random() % 12 : item_count;
        options.shrink = random() % 2 ? 0.0 : 2.5;
        options.min_overlap = random() % 3 ? 1 : 3;
        options.exclude_self = itself && random() % 2;
        options.num_threads = 1 + static_cast<int>(random() % 3);
        std::vector<double> thresholds(queries.entries.size());
        for (double& threshold : thresholds)
            threshold = static_cast<double>(static_cast<float>(static_cast<double>(random() % 200) / 100.0 - 1.0));
        if (random() % 2) options.thresholds = thresholds.data();
        std::vector<std::vector<std::pair<double, std::int64_t>>> all;
        for (std::size_t q = 0; q < queries.entries.size(); ++q)
            all.push_back(expected(queries, items, q, options, kAsF64));
        for (const SparseWay way : {SparseWay::planned, SparseWay::one_by_one, SparseWay::panels, SparseWay::mutual})
            for (const bool no_integers : {false, true})
                for (const std::size_t block_rows : {0, 64, 192}) {
                    override_sparse_plan({way, no_integers, block_rows});
                    const CsrMatrix& query_view = itself && random() % 2 ? item_csr.view : query_csr.view;
                    const ThresholdHits hits = sparse_topk(query_view, item_csr.view, options);
                    CHECK(hits.indptr.size() == all.size() + 1 && hits.indptr.front() == 0);
                    for (std::size_t q = 0; q < all.size(); ++q) {
                        const auto begin = static_cast<std::size_t>(hits.indptr[q]);
                        bool same = static_cast<std::size_t>(hits.indptr[q + 1]) == begin + all[q].size();
                        for (std::size_t i = 0; same && i < all[q].size(); ++i)
                            same =
                                hits.ids[begin + i] == all[q][i].second && hits.scores[begin + i] == -all[q][i].first;
                        CHECK_CASE(same, "%s, round %d, way %d, floats %d, blocks of %zu, query %zu", isa(), round,
                                   static_cast<int>(way), no_integers, block_rows, q);
                    }
                }
    }
    override_sparse_plan({});
}

void large_sums_leave_the_integers() {
    // |x| |q| is just below and just above 2^31 in units: both must be the exact quotient.
    for (const double value : {32767.0, 32768.0}) {
        const Rows rows{{{{0, value}, {1, value}}, {{0, value}, {1, -value}}}, 2};
        const Csr<float, std::int32_t> csr(rows);
        const ThresholdHits hits = sparse_topk(csr.view, csr.view, {});
        CHECK(hits.scores.size() == 4 && hits.scores[0] == 1.0 && hits.scores[1] == 0.0);
    }
}

void empty_shapes_and_limits() {
    const Csr<float, std::int32_t> none(Rows{{}, 3});
    const Csr<float, std::int32_t> some(Rows{{{{1, 2.0}}, {}}, 3});
    CHECK(sparse_topk(some.view, none.view, {}).indptr == (std::vector<std::int64_t>{0, 0, 0}));
    CHECK(sparse_topk(none.view, some.view, {}).indptr == std::vector<std::int64_t>{0});
    SparseOptions options;
    options.k = 0;
    CHECK(sparse_topk(some.view, some.view, options).ids.empty());
    CsrMatrix wide = some.view;
    wide.cols = std::size_t{1} << 32;
    CHECK_THROWS(std::invalid_argument, sparse_topk(some.view, wide, {}));
}

void a_checkpoint_may_stop_a_search() {
    std::mt19937_64 random(1);
    const Csr<float, std::int32_t> csr(random_rows(2000, 5, Values::ratings, true, random));
    SparseOptions options;
    options.num_threads = 2;
    options.checkpoint = [] { throw std::runtime_error("stop"); };
    CHECK_THROWS(std::runtime_error, sparse_topk(csr.view, csr.view, options));
}

}  // namespace

int main() {
    for (const char* name : available_isas()) {
        set_isa(name);
        std::mt19937_64 random(7);
        searches_equal_plain_loops<float, float, std::int32_t>(random);
        searches_equal_plain_loops<double, double, std::int64_t>(random);
        searches_equal_plain_loops<float, double, std::int32_t>(random);
        searches_equal_plain_loops<double, float, std::int64_t>(random);
    }
    large_sums_leave_the_integers();
    empty_shapes_and_limits();
    a_checkpoint_may_stop_a_search();
    return test::result();
}
