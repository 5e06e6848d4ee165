#include "search/plan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "index/item_codes.hpp"

namespace aigc_fast {
namespace {

// Costs in nanoseconds of one core; only their proportions matter.
constexpr double kScorePerPair = 8.0;  // a canonical score, beside its elements: order, filter, cache misses
constexpr double kScorePerElement = 0.06;
constexpr double kMeasurePerElement = 0.09;  // the norm of a float32 row
constexpr double kMeasurePerRow = 8.0;       // its root and reciprocal
constexpr double kReadPerByte = 0.05;        // from memory, for all queries of a scan at once
constexpr double kCacheBytes = 8 << 20;      // items that take less are near after the first search
constexpr double kScanPerCall = 2000.0;      // panels, candidate buffers
constexpr double kResult = 20.0;             // its score and place in the order
constexpr double kResultPerElement = 0.105;
constexpr double kOffered = 15.0;  // a candidate on the way to it
constexpr double kReached = 33.0;  // a result of a threshold search: no candidates, little order
constexpr double kReachedPerElement = 0.03;
// What bounds let through in vain, beside a result: bounds over the spread of scores, which is about 1 / sqrt(columns),
// times the depth of the results in the tail of the scores.
constexpr double kBf16Survivors = 0.0025;
constexpr double kInt8Survivors = 0.012;
constexpr double kFirstHitsPerQuery = 1000.0;
constexpr double kDensePerPair = 1.0;  // a bound kept and looked at
constexpr double kDenseResult = 34.0;
constexpr double kDenseResultPerElement = 0.09;
constexpr double kLayOutPerByte = 0.015;  // turning codes that lie row after row into blocks
constexpr double kCodePerRow = 40.0;      // coding a row on the fly, beside its elements
constexpr double kRefinePerPair = 12.0;   // what a head lets through, beside its elements
constexpr double kRefinePerElement = 0.012;
constexpr double kHeadPerQuery = 3000.0;  // its coordinates, and codes of both kinds
constexpr std::size_t kSurveyRows = 16;   // promising rows, beside one for each result
constexpr std::size_t kSurveyAtMostOneIn = 16;
constexpr std::size_t kSurveyedBlockRows = 1024;    // whose heads are known: little is left to do for most
constexpr std::size_t kFewestCopies = 16;           // fewer identical rows cost a search nothing
constexpr double kWorthAThread = 50000.0;           // below this, waking a thread costs more than it does
constexpr double kWorthAThreadOfSurvey = 150000.0;  // threads meet in the middle as well

constexpr std::size_t kFirstStride = 64;
constexpr std::size_t kFirstWaveRows = 512;  // at least
constexpr std::size_t kFirstWaveRowsOfFew = 4096;
constexpr std::size_t kFewResults = 32;
constexpr std::size_t kFewestRows = 192;  // of a block: whole tiles of every scan

// Blocks that leave room for the queries in a second-level cache.
constexpr std::size_t kBlockBytes = 256u << 10;

// Of bounds that are kept: those of a panel of queries at least are to stay in a cache.
constexpr std::size_t kDenseBytes = 16u << 20;

PlanOverride overrides_in_force;

// The share of pairs that heads let through. It was measured for cutoffs a little lower than those of 10 results;
// deeper ones let more through, and so do those of a batch, which are low for the first rows.
double surviving_share(const Head& head, std::size_t results, bool surveyed) {
    constexpr double kMeasuredResults = 10.0;
    constexpr double kGrowth = 0.35;
    constexpr double kLowCutoffs = 1.5;
    const double deeper = std::pow(static_cast<double>(std::max<std::size_t>(results, 1)) / kMeasuredResults, kGrowth);
    return std::min(1.0, head.survivors * deeper * (surveyed ? 1.0 : kLowCutoffs));
}

// Whether, and how many, most promising rows are looked at first.
std::size_t rows_to_survey(const Matrix& queries, const Matrix& items, const Demand& demand) {
    const std::size_t wanted = kSurveyRows + demand.hits;
    return demand.top_k && queries.rows == 1 && wanted <= items.rows / kSurveyAtMostOneIn ? wanted : 0;
}

// What finding and scoring the results of all queries takes, once a scan has looked at the rows, and what `survivors`
// (one of the constants above) add to it. Of rows in random order, one in n is among the k best of the n before it with
// probability k / n: k * (1 + log(rows / k)) are candidates. Depth: where the tail of a normal distribution holds k.
struct ResultCosts {
    double all;
    double depth;

    double with(double survivors) const { return all * (1.0 + survivors * depth); }
};

ResultCosts result_costs(const Matrix& queries, const Matrix& items, const Demand& demand) {
    const auto dim = static_cast<double>(items.cols);
    const auto wanted = static_cast<double>(std::min(demand.hits, items.rows));
    const double rarity = wanted > 0.0 ? std::log(static_cast<double>(items.rows) / wanted) : 0.0;
    const double each = demand.top_k ? kResult + kResultPerElement * dim + kOffered * (1.0 + rarity)
                                     : kReached + kReachedPerElement * dim;
    return {static_cast<double>(queries.rows) * wanted * each, std::sqrt(2.0 * rarity * dim)};
}

double pairs_to_score(const Matrix& queries, const Matrix& items, const Filter& filter) {
    const auto query_count = static_cast<double>(queries.rows);
    if (filter.allow.indptr != nullptr)
        return static_cast<double>(filter.allow.indptr[queries.rows] - filter.allow.indptr[0]);
    if (filter.allow_ids != nullptr) return query_count * static_cast<double>(filter.allow_count);
    return query_count * static_cast<double>(items.rows);
}

}  // namespace

const char* name_of(Way way) {
    switch (way) {
        case Way::direct:
            return "direct";
        case Way::f32:
            return "f32";
        case Way::dense:
            return "dense";
        case Way::bf16:
            return "bf16";
        case Way::int8:
            return "int8";
        default:
            return "cascade";
    }
}

Plan make_plan(const Matrix& queries, const Matrix& items, const SearchOptions& options, const Demand& demand,
               const Kernels& kernels) {
    const auto query_count = static_cast<double>(queries.rows);
    const auto dim = static_cast<double>(items.cols);
    const auto rows = static_cast<double>(items.rows);
    const double elements = rows * dim;
    const KernelCosts& costs = kernels.costs;
    const double score = kScorePerPair + kScorePerElement * dim;
    const ResultCosts results = result_costs(queries, items, demand);
    const double int8_results = results.with(kInt8Survivors);

    const double reading_rows = elements * sizeof(float) > kCacheBytes ? kReadPerByte * sizeof(float) : 0.0;
    const int most = options.num_threads > 0 ? options.num_threads : default_num_threads();
    // A direct search shares out queries, a scan also items: count the threads that would have nothing to do.
    const double alone = pairs_to_score(queries, items, options.filter) * (score + reading_rows * dim);
    const double deserved = std::clamp(alone / kWorthAThread, 1.0, static_cast<double>(most));
    const double direct = alone * deserved / std::clamp(query_count, 1.0, deserved);
    const double f32_scan =
        kScanPerCall + rows * kMeasurePerRow +
        elements * std::max(reading_rows, kMeasurePerElement + query_count * costs.f32_multiply_add);
    // The first rows are hits of all queries; a few queries hand them over while memory is waited for.
    const double first_hits = queries.rows > kFewQueries ? query_count * kFirstHitsPerQuery : 0.0;
    double f32 = f32_scan + first_hits + results.all;
    const bool keepable = demand.top_k && queries.rows > kFewQueries && options.filter.allow.indptr == nullptr &&
                          options.filter.after_score == nullptr &&
                          items.rows <= kDenseBytes / kMaxPanelWidth / sizeof(float);
    double dense =
        keepable ? f32_scan + query_count * (rows * kDensePerPair + static_cast<double>(demand.hits) *
                                                                        (kDenseResult + kDenseResultPerElement * dim))
                 : std::numeric_limits<double>::infinity();
    const bool coded_before = options.codes != nullptr;
    const double coding = coded_before ? (options.codes->by_row ? kLayOutPerByte : 0.0) : costs.encode_element;
    const double coding_rows = coded_before ? 0.0 : rows * kCodePerRow;
    const double reading = coded_before ? kReadPerByte : reading_rows;
    const bool codable = items.cols <= kMaxInt8Dim;
    double bf16 =
        codable && kernels.bf16 != nullptr
            ? kScanPerCall + first_hits + results.with(kBf16Survivors) + rows * kCodePerRow +
                  elements * std::max(reading_rows, costs.round_element + query_count * costs.bf16_multiply_add)
            : std::numeric_limits<double>::infinity();
    const double int8 = codable ? kScanPerCall + first_hits + int8_results + coding_rows +
                                      elements * std::max(reading, coding + query_count * costs.int8_multiply_add)
                                : std::numeric_limits<double>::infinity();

    const std::size_t survey = rows_to_survey(queries, items, demand);
    double cascade = std::numeric_limits<double>::infinity();
    if (options.codes != nullptr && options.codes->head != nullptr) {
        const Head& head = *options.codes->head;
        const double refined = query_count * surviving_share(head, demand.hits, survey > 0);
        cascade = kScanPerCall + first_hits + int8_results + query_count * kHeadPerQuery +
                  rows * (static_cast<double>(head.codes.code_dim()) *
                              std::max(kReadPerByte, query_count * costs.int8_multiply_add) +
                          refined * (kRefinePerPair + kRefinePerElement * dim));
    }

    // Only codes say which rows are copies that a search passes over.
    const bool many_copies =
        coded_before && demand.top_k && options.codes->most_copies >= std::max(demand.hits, kFewestCopies);
    if (many_copies) f32 = dense = bf16 = std::numeric_limits<double>::infinity();

    Plan plan{};
    const double work = std::min({direct, f32, dense, bf16, int8, cascade});
    plan.direct_cost = direct;
    plan.f32_cost = f32;
    plan.dense_cost = dense;
    plan.bf16_cost = bf16;
    plan.int8_cost = int8;
    plan.cascade_cost = cascade;
    plan.way = work == direct    ? Way::direct
               : work == cascade ? Way::cascade
               : work == int8    ? Way::int8
               : work == bf16    ? Way::bf16
               : work == dense   ? Way::dense
                                 : Way::f32;
    if (overrides_in_force.way) plan.way = *overrides_in_force.way;
    if (plan.way == Way::cascade && !std::isfinite(cascade)) plan.way = Way::int8;
    if (plan.way == Way::dense && !std::isfinite(dense)) plan.way = Way::f32;
    if (plan.way == Way::bf16 && !std::isfinite(bf16)) plan.way = Way::f32;
    if (items.rows == 0) plan.way = Way::direct;
    if (plan.way == Way::cascade) plan.survey = survey;
    const double worth_a_thread = plan.survey > 0 ? kWorthAThreadOfSurvey : kWorthAThread;
    plan.threads = static_cast<int>(std::clamp(work / worth_a_thread, 1.0, static_cast<double>(most)));
    if (overrides_in_force.threads > 0) plan.threads = overrides_in_force.threads;

    const bool coded = plan.way == Way::bf16 || plan.way == Way::int8 || plan.way == Way::cascade;
    const std::size_t granule = coded ? kCodeRows * kMaxCodeTileBlocks : kScanTileRows;
    const std::size_t element_bytes = plan.way == Way::bf16 ? 2 : coded ? 1 : sizeof(float);
    const std::size_t rows_in_cache = kBlockBytes / (std::max<std::size_t>(items.cols, 1) * element_bytes);
    plan.block_rows = std::clamp<std::size_t>(rows_in_cache / granule, 1, 8192 / granule) * granule;
    if (plan.survey > 0) plan.block_rows = std::max(plan.block_rows, kSurveyedBlockRows);
    plan.most_queries = std::numeric_limits<std::size_t>::max();
    if (plan.way == Way::dense)
        plan.most_queries =
            kDenseBytes / sizeof(float) / std::max<std::size_t>(items.rows, 1) / kMaxPanelWidth * kMaxPanelWidth;
    // Waves pay where hits are what a scan spends its time on: several queries or results, and many more items than
    // results. Threads meet after each wave, which a few queries are to outweigh by more rows.
    // A survey does more for cutoffs.
    plan.first_stride = 1;
    const bool few = queries.rows <= kFewQueries;
    const std::size_t least_rows = std::max(few ? kFirstWaveRowsOfFew : kFirstWaveRows, demand.hits / 2);
    if (demand.top_k && demand.hits > (few ? kFewResults : 0) && plan.survey == 0)
        while (plan.first_stride < kFirstStride && items.rows >= kWaveGrowth * plan.first_stride * least_rows)
            plan.first_stride *= kWaveGrowth;
    // Small blocks where the first wave would have less than one.
    const std::size_t rows_of_first = items.rows / plan.first_stride / granule * granule;
    plan.block_rows = std::clamp(rows_of_first, std::min(kFewestRows, plan.block_rows), plan.block_rows);
    if (overrides_in_force.first_stride > 0)
        for (plan.first_stride = 1; plan.first_stride < overrides_in_force.first_stride;)
            plan.first_stride *= kWaveGrowth;
    if (overrides_in_force.block_rows > 0)
        plan.block_rows = coded ? (overrides_in_force.block_rows + kCodeRows - 1) / kCodeRows * kCodeRows
                                : overrides_in_force.block_rows;
    return plan;
}

void override_plan(const PlanOverride& overrides) { overrides_in_force = overrides; }

}  // namespace aigc_fast
