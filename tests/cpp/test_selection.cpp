// Selection: whatever bounds a scan offers, in whatever order, the results are the best by score and id. Tiny k, ties
// by the thousand, pages, thresholds, guessed cutoffs.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "check.hpp"
#include "dispatch/kernels.hpp"
#include "search/selectivity.hpp"
#include "select/threshold.hpp"
#include "select/topk.hpp"

using namespace aigc_fast;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// One-dimensional inner products with unit queries: the score of an item is its value, times the query's sign.
struct Setup {
    Setup(std::vector<float> values, std::vector<float> query_values, const Filter& filter, const double* thresholds,
          std::vector<std::int64_t> item_ids = {})
        : items(std::move(values)),
          queries(std::move(query_values)),
          ids(std::move(item_ids)),
          item_rows(matrix(items)),
          query_rows(matrix(queries)),
          result_filter(filter, thresholds, items.size(), true),
          scorer(item_rows, ids.empty() ? nullptr : ids.data(), Metric::inner_product, false, *active_kernels().score,
                 nullptr),
          group(query_rows, all(queries.size()), Metric::inner_product, *active_kernels().score, 1) {}

    static Matrix matrix(const std::vector<float>& column) {
        return {column.data(), DType::f32, column.size(), 1, sizeof(float), sizeof(float)};
    }
    static std::vector<std::size_t> all(std::size_t count) {
        std::vector<std::size_t> indices(count);
        std::iota(indices.begin(), indices.end(), std::size_t{0});
        return indices;
    }
    std::int64_t id(std::size_t row) const { return ids.empty() ? static_cast<std::int64_t>(row) : ids[row]; }

    // What is right, by sorting everything.
    std::vector<Scored> expected(std::size_t query, const Filter& filter, const double* thresholds) const {
        std::vector<Scored> results;
        for (std::size_t row = 0; row < items.size(); ++row) {
            const double score = static_cast<double>(items[row]) * static_cast<double>(queries[query]);
            if (thresholds != nullptr && score < thresholds[query]) continue;
            if (filter.after_score != nullptr) {
                const double end = filter.after_score[query];
                if (score > end || (score == end && id(row) <= filter.after_id[query])) continue;
            }
            results.push_back({score, id(row), static_cast<std::uint32_t>(row)});
        }
        std::sort(results.begin(), results.end(), [](const Scored& a, const Scored& b) {
            return a.score != b.score ? a.score > b.score : a.id < b.id;
        });
        return results;
    }

    std::vector<float> items;
    std::vector<float> queries;
    std::vector<std::int64_t> ids;
    RowReader item_rows;
    RowReader query_rows;
    ResultFilter result_filter;
    Scorer scorer;
    QueryGroup group;
};

// Bounds about a score that are as wide as a bad scan's: nothing, a little, or infinite.
Bounds around(double score, std::mt19937_64& random) {
    const float widths[] = {0.0f, 0.01f, 0.5f, 4.0f, kInfinity};
    const float below = widths[random() % 5];
    const float above = widths[random() % 5];
    return {std::nextafter(static_cast<float>(score), -kInfinity) - below,
            std::nextafter(static_cast<float>(score), kInfinity) + above};
}

std::vector<float> values_with_ties(std::size_t count, int distinct, std::mt19937_64& random) {
    std::vector<float> values(count);
    for (float& value : values)
        value = static_cast<float>(static_cast<int>(random() % static_cast<unsigned>(distinct)) - distinct / 2) / 4;
    return values;
}

// Offers items in this order, by several workers, as a scan would: not where its upper bound misses the cutoff.
template <class Selector>
void offer(Selector& selector, const Setup& setup, std::size_t workers, const std::vector<std::size_t>& order,
           std::mt19937_64& random) {
    for (const std::size_t row : order)
        for (std::size_t q = 0; q < setup.queries.size(); ++q) {
            const std::size_t worker = random() % workers;
            const Bounds bounds =
                around(static_cast<double>(setup.items[row]) * static_cast<double>(setup.queries[q]), random);
            if (bounds.upper >= selector.cutoffs(worker, q, q + 1)[q])
                selector.offer(worker, q, static_cast<std::uint32_t>(row), bounds);
        }
}

template <class Selector>
void offer_all(Selector& selector, const Setup& setup, std::size_t workers, std::mt19937_64& random) {
    std::vector<std::size_t> order = Setup::all(setup.items.size());
    std::shuffle(order.begin(), order.end(), random);
    selector.begin_wave(1.0);
    offer(selector, setup, workers, order, random);
}

struct Slots {
    Slots(std::size_t queries, std::size_t k) : scores(queries * k), ids(queries * k), counts(queries) {}
    TopKSelector::Output output() { return {scores.data(), false, ids.data(), counts.data()}; }
    std::vector<float> scores;
    std::vector<std::int64_t> ids;
    std::vector<std::int64_t> counts;
};

void check_row(const Slots& slots, std::size_t query, std::size_t k, const std::vector<Scored>& expected) {
    const std::size_t count = std::min(k, expected.size());
    CHECK_CASE(slots.counts[query] == static_cast<std::int64_t>(count), "k %zu: count %lld, expected %zu", k,
               static_cast<long long>(slots.counts[query]), count);
    for (std::size_t i = 0; i < k; ++i) {
        const std::size_t slot = query * k + i;
        CHECK_CASE(slots.ids[slot] == (i < count ? expected[i].id : -1), "k %zu, rank %zu: id %lld", k, i,
                   static_cast<long long>(slots.ids[slot]));
        CHECK(slots.scores[slot] == (i < count ? static_cast<float>(expected[i].score) : -kInfinity));
    }
}

void topk_equals_sorting(std::mt19937_64& random) {
    for (int repeat = 0; repeat < 150; ++repeat) {
        const std::size_t count = 1 + random() % 900;
        const int distinct = repeat % 3 == 0 ? 2 : repeat % 3 == 1 ? 40 : 100000;
        const std::vector<float> queries = {1.0f, -1.0f, 1.0f};
        std::vector<std::int64_t> ids;
        if (repeat % 4 == 1) {  // ids of their own, in no order
            for (std::size_t i = 0; i < count; ++i) ids.push_back(static_cast<std::int64_t>(1000 + 7 * i));
            std::shuffle(ids.begin(), ids.end(), random);
        }
        const std::vector<float> values = values_with_ties(count, distinct, random);
        const double thresholds[] = {-0.25, 0.5, -1e9};
        const double page_scores[] = {0.25, 1e9, -0.5};
        const std::int64_t page_ids[] = {static_cast<std::int64_t>(random() % count), 0, 1500};
        Filter filter;
        if (repeat % 5 == 2) {
            filter.after_score = page_scores;
            filter.after_id = page_ids;
        }
        const double* at_least = repeat % 7 == 3 ? thresholds : nullptr;
        const Setup setup(values, queries, filter, at_least, ids);
        for (const std::size_t k : {std::size_t{1}, std::size_t{2}, std::size_t{10}, count, count + 3}) {
            Slots slots(queries.size(), k);
            TopKSelector selector(k, setup.result_filter, setup.scorer, 1, count, slots.output());
            const std::size_t workers = 1 + random() % 4;
            Scorer::Scratch scratch;
            for (int group = 0; group < 2; ++group) {  // a selector serves one group after the other
                selector.begin(setup.group, workers, false);
                offer_all(selector, setup, workers, random);
                for (std::size_t q = 0; q < queries.size(); ++q) {
                    CHECK(selector.finish(q, scratch));
                    check_row(slots, q, k, setup.expected(q, filter, at_least));
                }
            }
        }
    }
}

// In waves a result is right or is not given. Samples that say nothing of the rest (the best items, or the worst) only
// make guesses fail; where the order is random they seldom do.
void guesses_are_verified(std::mt19937_64& random) {
    int given = 0;
    int withheld = 0;
    for (int repeat = 0; repeat < 300; ++repeat) {
        const std::vector<float> values = values_with_ties(2000, repeat % 2 ? 6 : 100000, random);
        const Filter filter;
        const Setup setup(values, {1.0f}, filter, nullptr);
        const std::vector<Scored> expected = setup.expected(0, filter, nullptr);
        const std::size_t k = 1 + random() % 20;
        std::vector<std::size_t> order = Setup::all(values.size());
        std::shuffle(order.begin(), order.end(), random);
        if (repeat % 3 == 1)
            std::sort(order.begin(), order.end(), [&](auto a, auto b) { return values[a] > values[b]; });
        if (repeat % 3 == 2)
            std::sort(order.begin(), order.end(), [&](auto a, auto b) { return values[a] < values[b]; });
        Slots slots(1, k);
        slots.counts[0] = -7;
        TopKSelector selector(k, setup.result_filter, setup.scorer, 1, values.size(), slots.output());
        selector.begin(setup.group, 2, true);
        std::size_t offered = 0;
        for (const double fraction : {1.0 / 16, 1.0 / 4, 1.0}) {
            const auto end = static_cast<std::size_t>(fraction * static_cast<double>(order.size()));
            selector.begin_wave(fraction);
            offer(selector, setup, 2,
                  {order.begin() + static_cast<std::ptrdiff_t>(offered),
                   order.begin() + static_cast<std::ptrdiff_t>(end)},
                  random);
            offered = end;
            if (fraction < 1.0) selector.end_wave(0);
        }
        Scorer::Scratch scratch;
        if (selector.finish(0, scratch)) {
            check_row(slots, 0, k, expected);
            ++given;
        } else {
            CHECK(slots.counts[0] == -7);
            withheld += repeat % 3 == 1;
        }
    }
    CHECK(withheld > 0);  // the best items came first: the guess was too high
    CHECK(given > 150);
}

void threshold_equals_sorting(std::mt19937_64& random) {
    for (int repeat = 0; repeat < 50; ++repeat) {
        const std::vector<float> values = values_with_ties(1 + random() % 3000, repeat % 2 ? 3 : 1000, random);
        const std::vector<float> queries = {1.0f, -1.0f};
        const double thresholds[] = {static_cast<double>(values[0]), 1e9};
        const Filter filter;
        const Setup setup(values, queries, filter, thresholds);
        ThresholdSelector<float> selector(queries.size(), setup.result_filter, setup.scorer);
        selector.begin(setup.group, 3, false);
        offer_all(selector, setup, 3, random);
        Scorer::Scratch scratch;
        for (std::size_t q = 0; q < queries.size(); ++q) selector.finish(q, scratch);
        const ThresholdHits hits = selector.take(2);
        const std::vector<Scored> expected = setup.expected(0, filter, thresholds);
        const auto count = static_cast<std::int64_t>(expected.size());
        CHECK((hits.indptr == std::vector<std::int64_t>{0, count, count}));
        CHECK(hits.ids.size() == expected.size() && hits.scores.size() == expected.size());
        for (std::size_t i = 0; i < std::min(expected.size(), hits.ids.size()); ++i)
            CHECK(hits.ids[i] == expected[i].id && hits.scores[i] == expected[i].score);
    }
}

void best_k_equals_sorting(std::mt19937_64& random) {
    for (const std::size_t k : {1, 2, 5, 100}) {
        BestK best(k);
        std::vector<Scored> all;
        for (int i = 0; i < 3000; ++i) {
            const double score =
                random() % 4 == 0 ? -std::numeric_limits<double>::infinity() : static_cast<double>(random() % 5);
            all.push_back({score, static_cast<std::int64_t>((i * 7919) % 3000), 0});
        }
        for (const Scored& result : all) best.add(result);
        std::sort(all.begin(), all.end(), comes_before);
        const std::vector<Scored> found = best.sorted();
        CHECK(found.size() == k);
        for (std::size_t i = 0; i < found.size(); ++i)
            CHECK(found[i].score == all[i].score && found[i].id == all[i].id);
    }
}

void many_results_are_sorted_like_few(std::mt19937_64& random) {
    for (const std::size_t count : {0, 1, 256, 257, 5000}) {
        std::vector<Scored> expected;
        for (std::size_t i = 0; i < count; ++i) {
            const double values[] = {
                0.0,
                -0.0,
                1e-310,
                -1e-310,
                static_cast<double>(random() % 1000) - 500.0,
                std::ldexp(static_cast<double>(random()) - 0x1p63, -static_cast<int>(random() % 99)),
                -std::numeric_limits<double>::infinity()};
            expected.push_back({values[random() % 7], static_cast<std::int64_t>((i * 7919) % 5003), 0});
        }
        std::vector<Scored> found = expected;
        sort_results(found);
        std::sort(expected.begin(), expected.end(), comes_before);
        for (std::size_t i = 0; i < found.size(); ++i)
            CHECK(found[i].score == expected[i].score && found[i].id == expected[i].id);
    }
}

// Ties by id, whichever rows have these ids.
template <class Score>
void compact_results_are_sorted_like_others(std::mt19937_64& random) {
    for (const std::size_t count : {0, 1, 256, 257, 5000}) {
        std::vector<std::int64_t> ids(count);
        std::iota(ids.begin(), ids.end(), std::int64_t{1} << 40);
        std::shuffle(ids.begin(), ids.end(), random);
        std::vector<RowScore<Score>> found;
        std::vector<Scored> expected, expected_by_row;
        for (std::uint32_t row = 0; row < count; ++row) {
            const Score values[] = {Score(0), Score(-0.0), Score(1) / Score(3), Score(-1e-40),
                                    static_cast<Score>(random()) - Score(0x1p63)};
            found.push_back({values[random() % 5], row});
            const auto score = static_cast<double>(found.back().score);
            expected.push_back({score, ids[row], row});
            expected_by_row.push_back({score, row, row});
        }
        std::shuffle(found.begin(), found.end(), random);
        const auto check = [&](std::vector<Scored>& right, const std::int64_t* names) {
            std::vector<RowScore<Score>> sorted = found;
            sort_results(sorted, names);
            std::sort(right.begin(), right.end(), comes_before);
            for (std::size_t i = 0; i < count; ++i) CHECK(sorted[i].row == right[i].row);
        };
        check(expected, ids.data());
        check(expected_by_row, nullptr);
    }
}

// One-dimensional items 0, 1, 2, ...: how many reach a threshold is known.
void hits_are_estimated() {
    constexpr std::size_t kItems = 1u << 21;
    std::vector<float> items(kItems);
    std::iota(items.begin(), items.end(), 0.0f);
    const std::vector<float> queries(32, 1.0f);
    SearchOptions options;
    options.metric = Metric::inner_product;
    for (const double share : {0.0, 0.1, 0.5, 1.0}) {
        const std::vector<double> thresholds(queries.size(), (1.0 - share) * kItems);
        const auto estimate = [&](std::size_t count) {
            const Matrix few{items.data(), DType::f32, count, 1, sizeof(float), sizeof(float)};
            return estimate_hits(Setup::matrix(queries), few, thresholds.data(), options);
        };
        CHECK(std::fabs(static_cast<double>(estimate(kItems)) / kItems - share) <= 1.0 / 64);
        CHECK(estimate(kItems - 1) == 0);  // a search that is over as soon as a sample would be
        CHECK(estimate(0) == 0);
    }
}

}  // namespace

int main() {
    std::mt19937_64 random(3);
    topk_equals_sorting(random);
    guesses_are_verified(random);
    threshold_equals_sorting(random);
    best_k_equals_sorting(random);
    many_results_are_sorted_like_few(random);
    compact_results_are_sorted_like_others<float>(random);
    compact_results_are_sorted_like_others<double>(random);
    hits_are_estimated();
    return test::result();
}
