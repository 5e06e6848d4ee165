// A group of queries as the canonical score sees them, and the units in which scans estimate their scores.
#pragma once

#include <cstddef>
#include <vector>

#include "aigc_fast/aigc_fast.hpp"
#include "base/aligned.hpp"
#include "base/rows.hpp"
#include "score/kernels.hpp"

namespace aigc_fast {

class QueryGroup {
  public:
    // The queries at these rows.
    QueryGroup(const RowReader& queries, std::vector<std::size_t> indices, Metric metric, const ScoreKernels& kernels,
               int threads);

    std::size_t count() const { return indices_.size(); }
    std::size_t dim() const { return dim_; }
    std::size_t index(std::size_t query) const { return indices_[query]; }

    const double* row(std::size_t query) const { return rows_.data() + query * dim_; }
    double norm(std::size_t query) const { return norms_[query]; }
    double raw_norm(std::size_t query) const { return raw_norms_[query]; }  // before centring, for Pearson
    bool valid(std::size_t query) const { return valid_[query]; }           // no NaN, no infinity

    // Scans estimate scores of the unit query: score = unit * estimate. It differs from 1 for the inner product only.
    double unit(std::size_t query) const {
        return metric_ == Metric::inner_product && norms_[query] != 0.0 && scannable(query) ? norms_[query] : 1.0;
    }
    // Bounds of a score in the scans' units, rounded outward.
    float at_most(std::size_t query, double score) const;
    float at_least(std::size_t query, double score) const;

    // False where a query is so short or long that scores may leave float32's normal range: no scan can bound them.
    bool scannable(std::size_t query) const {
        return metric_ != Metric::inner_product || norms_[query] == 0.0 ||
               (norms_[query] >= 0x1p-60 && norms_[query] <= 0x1p60);
    }

  private:
    std::vector<std::size_t> indices_;
    std::size_t dim_;
    Metric metric_;
    AlignedArray<double> rows_;
    AlignedArray<double> norms_;
    AlignedArray<double> raw_norms_;
    AlignedArray<bool> valid_;
};

}  // namespace aigc_fast
