// A group of queries made ready for searching: canonical rows for the scores, unit vectors for the scans, and what
// ties the two together (units and error bounds).
#pragma once

#include <cstddef>

#include "aigc_fast/aigc_fast.hpp"
#include "base/aligned.hpp"
#include "base/rows.hpp"
#include "dispatch/kernels.hpp"

namespace aigc_fast {

class QueryGroup {
  public:
    // Queries [begin, begin + count). `for_scan` also prepares what a scan needs.
    QueryGroup(const RowReader& queries, std::size_t begin, std::size_t count, Metric metric, const Kernels& kernels,
               bool for_scan, int threads);

    std::size_t begin() const { return begin_; }
    std::size_t count() const { return count_; }
    std::size_t index(std::size_t query) const { return begin_ + query; }

    const double* row(std::size_t query) const { return rows_.data() + query * dim_; }
    double norm(std::size_t query) const { return norms_[query]; }
    bool valid(std::size_t query) const { return valid_[query]; }  // no NaN, no infinity

    // score = unit * (what scans estimate): 1, or the query's norm for the inner product.
    double unit(std::size_t query) const { return units_[query]; }
    // Bounds of a score in the scans' units, rounded outward.
    float at_most(std::size_t query, double score) const;
    float at_least(std::size_t query, double score) const;

    bool few() const { return count_ <= kFewQueries; }
    std::size_t panels() const { return (count_ + panel_width_ - 1) / panel_width_; }
    std::size_t padded_count() const { return panels() * panel_width_; }
    // The queries of one panel, with cutoffs read from `cutoffs` (padded_count() of them).
    F32Queries panel(std::size_t panel, const float* cutoffs) const;

    std::size_t panel_begin(std::size_t panel) const { return panel * panel_width_; }
    float epsilon(std::size_t query) const { return epsilons_[query]; }

  private:
    void prepare_scan(Metric metric, int threads);

    std::size_t begin_;
    std::size_t count_;
    std::size_t dim_;
    std::size_t lanes_;
    std::size_t panel_width_;
    AlignedArray<double> rows_;
    AlignedArray<double> norms_;
    AlignedArray<double> raw_norms_;
    AlignedArray<bool> valid_;
    AlignedArray<double> units_;
    AlignedArray<float> vectors_;
    AlignedArray<float> epsilons_;
};

}  // namespace aigc_fast
