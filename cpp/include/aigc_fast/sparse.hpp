// Exact cosine and Pearson neighbours of sparse rows: the public C++ API.
//
// The canonical sparse score (docs/architecture.md): the dot product is a float64 sum over the common columns in
// ascending order, and so are the squared norms; score = dot / (|x| |q| + shrink), clipped to [-1, 1], 0 where the
// denominator is 0, rounded once to float32 unless a side is float64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>

#include "aigc_fast/aigc_fast.hpp"

namespace aigc_fast {

// Rows in compressed form, the caller's: columns ascend strictly within a row, values are finite, and those of float64
// are 0 or have a magnitude from 2^-400 to 2^400.
struct CsrMatrix {
    const void* values = nullptr;
    DType dtype = DType::f32;  // f32 or f64
    const void* columns = nullptr;
    const void* indptr = nullptr;
    bool wide = false;  // columns and indptr are int64, else int32
    std::size_t rows = 0;
    std::size_t cols = 0;
};

struct SparseOptions {
    Metric metric = Metric::cosine;  // or pearson: rows minus the mean of their stored values
    std::size_t k = std::numeric_limits<std::size_t>::max();
    const double* thresholds = nullptr;  // one a query, inclusive; null: none
    double shrink = 0.0;
    std::size_t min_overlap = 1;       // common columns that a pair must have; at least 1
    bool exclude_self = false;         // no row of `items` for the query of the same number
    int num_threads = 0;               // 0: the library's default
    std::function<void()> checkpoint;  // called now and then by the calling thread; may throw
};

// The k best rows of `items` for each row of `queries`, in the library's order, among those that share columns with it.
// Throws std::invalid_argument for 2^32 rows or columns or more.
ThresholdHits sparse_topk(const CsrMatrix& queries, const CsrMatrix& items, const SparseOptions& options);

// For tests: makes small inputs take the ways of large ones; the default lets the planner choose.
enum class SparseWay { planned, one_by_one, panels, mutual };
struct SparsePlanOverride {
    SparseWay way = SparseWay::planned;
    bool no_integers = false;    // float64 sums, whatever the values are
    std::size_t block_rows = 0;  // 0: the planner's
};
void override_sparse_plan(const SparsePlanOverride& overrides);

}  // namespace aigc_fast
