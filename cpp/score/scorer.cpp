#include "score/scorer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace aigc_fast {
namespace {

constexpr std::size_t kPrefetchBytes = 1024;
constexpr double kNever = std::numeric_limits<double>::quiet_NaN();

// The mean by the canonical tree, kept within the row's range so that a constant row is exactly its own mean.
double canonical_mean(const double* x, std::size_t dim) {
    double lanes[8] = {};
    double low = x[0];
    double high = x[0];
    for (std::size_t j = 0; j < dim; ++j) {
        lanes[j % 8] += x[j];
        low = std::min(low, x[j]);
        high = std::max(high, x[j]);
    }
    const double sum =
        ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    return std::clamp(sum / static_cast<double>(dim), low, high);
}

// float64 rows whose largest magnitude lies outside [2^-400, 2^400] are scaled to about one, since their squares
// could leave float64. kPlain* is the range of squared norms that no scaled row can have (for any dim < 2^40).
constexpr double kLargestPlain = 0x1p400;
constexpr double kSmallestPlain = 0x1p-400;
constexpr double kPlainSquareMin = 0x1p-760;
constexpr double kPlainSquareMax = 0x1p800;

DotAndSquare pair_f64(const ScoreKernels& kernels, const double* x, const double* q, std::size_t dim) {
    DotAndSquare result;
    kernels.pairs_f64(&x, 1, q, dim, &result);
    return result;
}

int scale_extreme(double* x, std::size_t dim) {
    double largest = 0.0;
    for (std::size_t j = 0; j < dim; ++j) largest = std::max(largest, std::fabs(x[j]));
    if (largest == 0.0 || (largest >= kSmallestPlain && largest <= kLargestPlain)) return 0;
    const int exponent = std::ilogb(largest);
    for (std::size_t j = 0; j < dim; ++j) x[j] = std::ldexp(x[j], -exponent);
    return exponent;
}

}  // namespace

CanonicalRow canonical_row(const RowReader& reader, std::size_t row, Metric metric, const ScoreKernels& kernels,
                           double* values) {
    const std::size_t dim = reader.dim();
    reader.copy_f64(row, values);
    CanonicalRow result;
    result.finite = std::all_of(values, values + dim, [](double x) { return std::isfinite(x); });
    if (!result.finite || dim == 0) return result;
    if (metric != Metric::inner_product && reader.dtype() == DType::f64) result.exponent = scale_extreme(values, dim);
    result.raw_norm = std::sqrt(pair_f64(kernels, values, values, dim).square);
    result.norm = result.raw_norm;
    if (metric == Metric::pearson) {
        const double mean = canonical_mean(values, dim);
        for (std::size_t j = 0; j < dim; ++j) values[j] -= mean;
        result.norm = std::sqrt(pair_f64(kernels, values, values, dim).square);
    }
    return result;
}

double finish_score(Metric metric, double dot, double norm_x, double norm_q, bool as_f64) {
    double score = dot;
    if (metric != Metric::inner_product)
        score = norm_x == 0.0 || norm_q == 0.0 ? 0.0 : std::clamp(dot / (norm_x * norm_q), -1.0, 1.0);
    return as_f64 ? score : static_cast<double>(static_cast<float>(score));
}

void Scorer::operator()(const std::uint32_t* rows, std::size_t count, const double* query, double query_norm,
                        Scratch& scratch, double* scores) const {
    if (scored_ != nullptr) scored_->fetch_add(count, std::memory_order_relaxed);
    if (metric_ == Metric::pearson || !(items_.in_place_f32() || items_.in_place_f64())) {
        for (std::size_t i = 0; i < count; ++i) scores[i] = score_converted(rows[i], query, query_norm, scratch);
        return;
    }
    DotAndSquare pairs[kMostItems];
    double square_min = 0.0;
    double square_max = std::numeric_limits<double>::max();  // squares of finite float32 cannot overflow
    if (items_.in_place_f32()) {
        const float* x[kMostItems];
        for (std::size_t i = 0; i < count; ++i) x[i] = items_.in_place<float>(rows[i]);
        kernels_.pairs_f32(x, count, query, items_.dim(), pairs);
    } else {
        square_min = kPlainSquareMin;
        square_max = kPlainSquareMax;
        const double* x[kMostItems];
        for (std::size_t i = 0; i < count; ++i) x[i] = items_.in_place<double>(rows[i]);
        kernels_.pairs_f64(x, count, query, items_.dim(), pairs);
    }
    if (metric_ == Metric::cosine)
        kernels_.cosines(pairs, count, query_norm, scores);
    else
        for (std::size_t i = 0; i < count; ++i) scores[i] = pairs[i].dot;
    if (!as_f64_)
        for (std::size_t i = 0; i < count; ++i) scores[i] = static_cast<double>(static_cast<float>(scores[i]));
    for (std::size_t i = 0; i < count; ++i) {
        const bool plain = pairs[i].square >= square_min && pairs[i].square <= square_max;  // false for NaN
        if (!plain) scores[i] = score_converted(rows[i], query, query_norm, scratch);
    }
}

double Scorer::score_converted(std::size_t row_index, const double* query, double query_norm, Scratch& scratch) const {
    scratch.reserve(items_.dim());
    const CanonicalRow row = canonical_row(items_, row_index, metric_, kernels_, scratch.data());
    if (!row.finite) return kNever;
    return finish_score(metric_, pair_f64(kernels_, scratch.data(), query, items_.dim()).dot, row.norm, query_norm,
                        as_f64_);
}

void Scorer::prefetch(std::size_t row) const {
    // The first lines; the hardware follows a longer row once it is being read.
    const char* x = items_.in_place<char>(row);
    const std::size_t bytes = std::min(items_.dim() * (items_.in_place_f64() ? 8 : 4), kPrefetchBytes);
    for (std::size_t at = 0; at < bytes; at += kCacheLine) __builtin_prefetch(x + at);
}

}  // namespace aigc_fast
