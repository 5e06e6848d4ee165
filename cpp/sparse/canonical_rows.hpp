// Sparse rows as the canonical score sees them: float64, for Pearson minus the mean of the stored values; their norms,
// and what their values have in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "aigc_fast/sparse.hpp"

namespace aigc_fast {

struct SparseRow {
    std::vector<std::uint32_t> columns;
    std::vector<double> values;
    std::size_t size() const { return columns.size(); }
};

class CanonicalRows {
  public:
    CanonicalRows(const CsrMatrix& matrix, Metric metric, int threads);

    std::size_t rows() const { return matrix_.rows; }
    std::size_t cols() const { return matrix_.cols; }
    std::size_t entries_before(std::size_t row) const;
    std::size_t size(std::size_t row) const { return entries_before(row + 1) - entries_before(row); }
    bool is_f64() const { return matrix_.dtype == DType::f64; }
    bool centred() const { return !means_.empty(); }

    void read(std::size_t row, SparseRow& out) const;
    double norm(std::size_t row) const { return norms_[row]; }

    double largest_norm() const { return largest_norm_; }
    // Of the values: not of their magnitudes.
    double smallest_value() const { return smallest_value_; }
    double largest_magnitude() const { return largest_magnitude_; }
    // Every value is a multiple of 2^unit_exponent().
    int unit_exponent() const { return unit_exponent_; }

  private:
    template <class Value, class Index>
    void read_as(std::size_t row, SparseRow& out) const;
    void read_stored(std::size_t row, SparseRow& out) const;

    CsrMatrix matrix_;
    std::vector<double> means_;  // empty unless centred
    std::vector<double> norms_;
    double largest_norm_ = 0.0;
    double smallest_value_ = 0.0;
    double largest_magnitude_ = 0.0;
    int unit_exponent_ = 0;
};

}  // namespace aigc_fast
