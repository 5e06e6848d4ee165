#include "search/query_group.hpp"

#include <cmath>
#include <limits>
#include <utility>

#include "base/thread_pool.hpp"
#include "score/scorer.hpp"

namespace aigc_fast {

QueryGroup::QueryGroup(const RowReader& queries, std::vector<std::size_t> indices, Metric metric,
                       const ScoreKernels& kernels, int threads)
    : indices_(std::move(indices)),
      dim_(queries.dim()),
      metric_(metric),
      rows_(count() * dim_),
      norms_(count()),
      raw_norms_(count()),
      valid_(count()) {
    parallel_for(count(), threads, [&](std::size_t i, std::size_t) {
        const CanonicalRow row = canonical_row(queries, index(i), metric, kernels, rows_.data() + i * dim_);
        norms_[i] = row.norm;
        raw_norms_[i] = row.raw_norm;
        valid_[i] = row.finite;
    });
}

float QueryGroup::at_most(std::size_t query, double score) const {
    return std::nextafter(static_cast<float>(score / unit(query)), std::numeric_limits<float>::infinity());
}

float QueryGroup::at_least(std::size_t query, double score) const {
    return std::nextafter(static_cast<float>(score / unit(query)), -std::numeric_limits<float>::infinity());
}

}  // namespace aigc_fast
