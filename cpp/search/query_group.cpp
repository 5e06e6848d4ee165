#include "search/query_group.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/thread_pool.hpp"
#include "score/scorer.hpp"

namespace aigc_fast {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The scan's relative error for a query: a float32 dot product of `dim` terms has error gamma_dim |x||q|
// (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1); at most 16 further roundings
// happen to the inputs, the scale, the bound and the canonical score. The last term is Pearson's: the float64 mean
// of a query that is almost constant leaves a small sum behind, which meets the mean of the item.
float scan_epsilon(std::size_t dim, Metric metric, double norm, double raw_norm) {
    constexpr double unit_roundoff = 0x1p-24;
    if (norm == 0.0) return 0.0f;  // every score is exactly zero, and so is every estimate
    const double roundings = static_cast<double>(dim + 16) * unit_roundoff;
    if (roundings > 0.5) return kInfinity;
    double epsilon = roundings / (1.0 - roundings);
    if (metric == Metric::pearson) epsilon += static_cast<double>(dim + 16) * 0x1p-50 * (raw_norm / norm);
    // Scores of such queries may leave float32's normal range, where relative bounds end.
    if (metric == Metric::inner_product && !(norm >= 0x1p-60 && norm <= 0x1p60)) return kInfinity;
    return static_cast<float>(epsilon * 1.0001);
}

}  // namespace

QueryGroup::QueryGroup(const RowReader& queries, std::size_t begin, std::size_t count, Metric metric,
                       const Kernels& kernels, bool for_scan, int threads)
    : begin_(begin),
      count_(count),
      dim_(queries.dim()),
      lanes_(kernels.f32->width),
      panel_width_(count <= kFewQueries ? count : 2 * lanes_),
      rows_(count * dim_),
      norms_(count),
      raw_norms_(count),
      valid_(count) {
    parallel_for(count, threads, [&](std::size_t i, std::size_t) {
        const CanonicalRow row = canonical_row(queries, begin + i, metric, *kernels.score, rows_.data() + i * dim_);
        norms_[i] = row.norm;
        raw_norms_[i] = row.raw_norm;
        valid_[i] = row.finite;
    });
    if (for_scan) prepare_scan(metric, threads);
}

void QueryGroup::prepare_scan(Metric metric, int threads) {
    units_ = AlignedArray<double>(count_);
    vectors_ = AlignedArray<float>(padded_count() * dim_);
    epsilons_ = AlignedArray<float>(padded_count());
    parallel_for(panels(), threads, [&](std::size_t p, std::size_t) {
        const std::size_t first = panel_begin(p);
        const std::size_t in_panel = std::min(panel_width_, count_ - first);
        // Transposed panels (a query a column), as wide as the kernel will read them; rows for few queries.
        const std::size_t width = in_panel <= lanes_ ? lanes_ : panel_width_;
        const std::size_t query_step = few() ? dim_ : 1;
        const std::size_t element_step = few() ? 1 : width;
        float* vectors = vectors_.data() + first * dim_;
        std::fill(vectors, vectors + (few() ? count_ : width) * dim_, 0.0f);
        std::fill(epsilons_.data() + first, epsilons_.data() + first + panel_width_, 0.0f);
        for (std::size_t i = 0; i < in_panel; ++i) {
            const std::size_t query = first + i;
            units_[query] = 1.0;
            if (!valid_[query] || norms_[query] == 0.0) continue;
            if (metric == Metric::inner_product) units_[query] = norms_[query];
            epsilons_[query] = scan_epsilon(dim_, metric, norms_[query], raw_norms_[query]);
            if (epsilons_[query] == kInfinity) continue;  // every item will be a candidate; the vector stays zero
            for (std::size_t j = 0; j < dim_; ++j)
                vectors[i * query_step + j * element_step] = static_cast<float>(row(query)[j] / norms_[query]);
        }
    });
}

float QueryGroup::at_most(std::size_t query, double score) const {
    return std::nextafter(static_cast<float>(score / units_[query]), kInfinity);
}

float QueryGroup::at_least(std::size_t query, double score) const {
    return std::nextafter(static_cast<float>(score / units_[query]), -kInfinity);
}

F32Queries QueryGroup::panel(std::size_t p, const float* cutoffs) const {
    const std::size_t first = panel_begin(p);
    return {vectors_.data() + first * dim_, std::min(panel_width_, count_ - first), cutoffs + first,
            epsilons_.data() + first};
}

}  // namespace aigc_fast
