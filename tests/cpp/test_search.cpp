// The public C++ API from end to end, with nothing but its header: every way that the planner takes gives what plain
// loops give.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "aigc_fast/aigc_fast.hpp"
#include "canonical.hpp"
#include "check.hpp"
#include "guarded_array.hpp"
#include "rows.hpp"

using namespace aigc_fast;
using test::GuardedArray;
using test::Kind;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
Matrix matrix_of(const GuardedArray<T>& values, std::size_t dim) {
    return {values.data(), sizeof(T) == 4 ? DType::f32 : DType::f64,     values.size() / dim,
            dim,           static_cast<std::ptrdiff_t>(dim * sizeof(T)), static_cast<std::ptrdiff_t>(sizeof(T))};
}

template <class T>
std::vector<double> all_scores(const GuardedArray<T>& queries, const GuardedArray<T>& items, std::size_t dim,
                               Metric metric) {
    std::vector<double> scores;
    std::vector<std::vector<double>> rows;
    for (std::size_t i = 0; i < items.size() / dim; ++i)
        rows.push_back(test::canonical(items.data() + i * dim, dim, metric));
    for (std::size_t q = 0; q < queries.size() / dim; ++q) {
        const std::vector<double> query = test::canonical(queries.data() + q * dim, dim, metric);
        for (const auto& row : rows) scores.push_back(test::score(row, query, metric, sizeof(T) == sizeof(double)));
    }
    return scores;
}

// (-score, id) pairs of a query's results, in order.
std::vector<std::pair<double, std::int64_t>> ranked(const double* scores, std::size_t count, double at_least,
                                                    const std::vector<std::int64_t>& excluded) {
    std::vector<std::pair<double, std::int64_t>> pairs;
    for (std::size_t i = 0; i < count; ++i) {
        const auto id = static_cast<std::int64_t>(i);
        if (scores[i] >= at_least && !std::binary_search(excluded.begin(), excluded.end(), id))
            pairs.emplace_back(-scores[i], id);
    }
    std::sort(pairs.begin(), pairs.end());
    return pairs;
}

// From sizes that are scored directly to sizes that are scanned, by one and by several threads.
template <class T>
void searches_equal_plain_loops(std::mt19937_64& random) {
    for (const Metric metric : {Metric::cosine, Metric::inner_product, Metric::pearson})
        for (const std::size_t item_count : {1, 50, 3000}) {
            const std::size_t dim = 1 + random() % 40;
            const std::size_t query_count = 1 + random() % 20;
            GuardedArray<T> queries(query_count * dim);
            GuardedArray<T> items(item_count * dim);
            for (std::size_t i = 0; i < query_count; ++i)
                test::fill(queries.data() + i * dim, dim, i % 7 == 6 ? Kind::nan : Kind::normal, random);
            for (std::size_t i = 0; i < item_count; ++i) {
                const Kind any = static_cast<Kind>(random() % static_cast<unsigned>(Kind::count));
                test::fill(items.data() + i * dim, dim, i % 3 ? Kind::integers : any, random);
            }
            const std::vector<double> scores = all_scores(queries, items, dim, metric);
            const std::vector<double> thresholds(query_count, 0.0);
            std::vector<std::int64_t> indptr{0};
            std::vector<std::int64_t> excluded;
            for (std::size_t q = 0; q < query_count; ++q) {
                for (std::size_t i = q; i < item_count; i += 5) excluded.push_back(static_cast<std::int64_t>(i));
                indptr.push_back(static_cast<std::int64_t>(excluded.size()));
            }
            for (const int threads : {1, 3}) {
                SearchReport report;
                SearchOptions options;
                options.metric = metric;
                options.num_threads = threads;
                options.filter.exclude = {indptr.data(), excluded.data()};
                options.report = &report;
                constexpr std::size_t k = 12;
                GuardedArray<T> best(query_count * k);
                GuardedArray<std::int64_t> ids(query_count * k);
                GuardedArray<std::int64_t> counts(query_count);
                topk(matrix_of(queries, dim), matrix_of(items, dim), k, nullptr, options, best.data(), ids.data(),
                     counts.data());
                CHECK(std::strlen(report.way) > 0 && report.isa == std::string(isa()) && report.threads >= 1);
                const ThresholdHits hits =
                    threshold(matrix_of(queries, dim), matrix_of(items, dim), thresholds.data(), options);
                CHECK(hits.indptr.size() == query_count + 1);
                for (std::size_t q = 0; q < query_count; ++q) {
                    const std::vector<std::int64_t> mine(excluded.begin() + indptr[q],
                                                         excluded.begin() + indptr[q + 1]);
                    const auto expected = ranked(scores.data() + q * item_count, item_count, -kInfinity, mine);
                    CHECK(counts[q] == static_cast<std::int64_t>(std::min(k, expected.size())));
                    for (std::size_t i = 0; i < k; ++i) {
                        const bool real = i < expected.size();
                        CHECK(ids[q * k + i] == (real ? expected[i].second : -1));
                        CHECK(static_cast<double>(best[q * k + i]) == (real ? -expected[i].first : -kInfinity));
                    }
                    const auto reached = ranked(scores.data() + q * item_count, item_count, 0.0, mine);
                    const auto begin = static_cast<std::size_t>(hits.indptr[q]);
                    CHECK(static_cast<std::size_t>(hits.indptr[q + 1]) - begin == reached.size());
                    for (std::size_t i = 0; i < reached.size() && begin + i < hits.ids.size(); ++i)
                        CHECK(hits.ids[begin + i] == reached[i].second && hits.scores[begin + i] == -reached[i].first);
                }
            }
            GuardedArray<T> dense(query_count * item_count);
            similarity(matrix_of(queries, dim), matrix_of(items, dim), metric, 2, dense.data());
            for (std::size_t i = 0; i < scores.size(); ++i)
                CHECK(test::same_bits(static_cast<double>(dense[i]), scores[i]));
        }
}

void strides_and_types_are_read() {
    // Rows backwards, every second column, of int8.
    const std::int8_t bytes[] = {1, 9, 2, 9, 3, 9, 4, 9};
    const Matrix backwards{bytes + 4, DType::i8, 2, 2, -4, 2};  // rows (3, 4) and (1, 2)
    const float query[] = {1.0f, 0.0f};
    const Matrix queries{query, DType::f32, 1, 2, 8, 4};
    SearchOptions options;
    options.metric = Metric::inner_product;
    float scores[2];
    std::int64_t ids[2];
    std::int64_t count = 0;
    topk(queries, backwards, 2, nullptr, options, scores, ids, &count);
    CHECK(ids[0] == 0 && ids[1] == 1 && scores[0] == 3.0f && scores[1] == 1.0f && count == 2);
    // bfloat16 and float16 of 1 and -2.
    const std::uint16_t bf16[] = {0x3f80, 0xc000};
    const std::uint16_t f16[] = {0x3c00, 0xc000};
    for (const Matrix& items : {Matrix{bf16, DType::bf16, 2, 1, 2, 2}, Matrix{f16, DType::f16, 2, 1, 2, 2}}) {
        topk({query, DType::f32, 1, 1, 4, 4}, items, 2, nullptr, options, scores, ids, &count);
        CHECK(ids[0] == 0 && scores[0] == 1.0f && scores[1] == -2.0f);
    }
}

void items_may_have_ids() {
    const float items[] = {1.0f, 1.0f, 2.0f};
    const std::int64_t names[] = {30, 20, 10};
    const float query[] = {1.0f};
    SearchOptions options;
    options.metric = Metric::inner_product;
    options.ids = names;
    float scores[3];
    std::int64_t ids[3];
    std::int64_t count = 0;
    topk({query, DType::f32, 1, 1, 4, 4}, {items, DType::f32, 3, 1, 4, 4}, 3, nullptr, options, scores, ids, &count);
    CHECK(ids[0] == 10 && ids[1] == 20 && ids[2] == 30);
}

void lists_and_pages_apply() {
    const float items[] = {5.0f, 4.0f, 3.0f, 2.0f, 1.0f};
    const float query[] = {1.0f};
    const std::int64_t allowed[] = {0, 2, 3, 4};
    const double page_score = 5.0;
    const std::int64_t page_id = 0;
    SearchOptions options;
    options.metric = Metric::inner_product;
    options.filter.allow_ids = allowed;
    options.filter.allow_count = 4;
    options.filter.after_score = &page_score;
    options.filter.after_id = &page_id;
    const double at_least = 2.0;
    float scores[5];
    std::int64_t ids[5];
    std::int64_t count = 0;
    topk({query, DType::f32, 1, 1, 4, 4}, {items, DType::f32, 5, 1, 4, 4}, 5, &at_least, options, scores, ids, &count);
    CHECK(count == 2 && ids[0] == 2 && ids[1] == 3 && ids[2] == -1);
}

void a_checkpoint_may_stop_a_search() {
    constexpr std::size_t count = 5000;  // queries: several groups
    GuardedArray<float> rows(count * 2);
    std::fill(rows.begin(), rows.end(), 1.0f);
    int calls = 0;
    SearchOptions options;
    options.checkpoint = [&] {
        if (++calls == 2) throw std::runtime_error("enough");
    };
    GuardedArray<float> scores(count);
    GuardedArray<std::int64_t> ids(count);
    GuardedArray<std::int64_t> counts(count);
    const Matrix queries = matrix_of(rows, 2);
    const Matrix items{rows.data(), DType::f32, 100, 2, 8, 4};
    CHECK_THROWS(std::runtime_error,
                 topk(queries, items, 1, nullptr, options, scores.data(), ids.data(), counts.data()));
    CHECK(calls == 2);
    const std::vector<double> thresholds(count, 0.5);
    calls = 0;
    CHECK_THROWS(std::runtime_error, threshold(queries, items, thresholds.data(), options));
    // A single query is stopped between blocks of rows: here all items are the same one.
    const Matrix many{rows.data(), DType::f32, 1'000'000, 2, 0, 4};
    calls = 0;
    CHECK_THROWS(std::runtime_error, topk({rows.data(), DType::f32, 1, 2, 8, 4}, many, 1, thresholds.data(), options,
                                          scores.data(), ids.data(), counts.data()));
}

void normalize_divides_rows() {
    const float rows[] = {3.0f, 4.0f, 0.0f, 0.0f, 1.0f, NAN};
    float unit[6];
    float norms[3];
    normalize({rows, DType::f32, 3, 2, 8, 4}, 1, unit, norms);
    CHECK(unit[0] == 0.6f && unit[1] == 0.8f && unit[2] == 0.0f && unit[3] == 0.0f);
    CHECK(std::isnan(unit[4]) && std::isnan(unit[5]));
    CHECK(norms[0] == 5.0f && norms[1] == 0.0f && std::isnan(norms[2]));
}

void empty_shapes() {
    SearchOptions options;
    float scores[4];
    std::int64_t ids[4];
    std::int64_t counts[2] = {7, 7};
    const float query[] = {1.0f, 2.0f};
    topk({query, DType::f32, 2, 1, 4, 4}, {nullptr, DType::f32, 0, 1, 4, 4}, 2, nullptr, options, scores, ids, counts);
    CHECK(counts[0] == 0 && counts[1] == 0 && ids[0] == -1 && ids[3] == -1);
    topk({query, DType::f32, 2, 1, 4, 4}, {query, DType::f32, 2, 1, 4, 4}, 0, nullptr, options, nullptr, nullptr,
         counts);
    CHECK(counts[0] == 0);
    topk({nullptr, DType::f32, 0, 1, 4, 4}, {query, DType::f32, 2, 1, 4, 4}, 2, nullptr, options, scores, ids, counts);
}

void settings() {
    const std::string before = isa();
    CHECK_THROWS(std::invalid_argument, set_isa("none"));
    CHECK(isa() == before);
    CHECK_THROWS(std::invalid_argument, set_default_num_threads(0));
    set_default_num_threads(3);
    CHECK(default_num_threads() == 3);
}

}  // namespace

int main() {
    std::mt19937_64 random(4);
    for (const char* name : available_isas()) {
        set_isa(name);
        CHECK(isa() == std::string(name));
        searches_equal_plain_loops<float>(random);
        searches_equal_plain_loops<double>(random);
    }
    strides_and_types_are_read();
    items_may_have_ids();
    lists_and_pages_apply();
    a_checkpoint_may_stop_a_search();
    normalize_divides_rows();
    empty_shapes();
    settings();
    return test::result();
}
