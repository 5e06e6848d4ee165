// The canonical score of one item row and one query row: the only number that this library returns.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "aigc_fast/aigc_fast.hpp"
#include "base/aligned.hpp"
#include "base/rows.hpp"
#include "score/kernels.hpp"
#include "select/order.hpp"

namespace aigc_fast {

// A row as the canonical score sees it: float64, centred for Pearson, and for float64 inputs with extreme
// magnitudes scaled by a power of two (which changes no cosine).
struct CanonicalRow {
    double norm = 0.0;
    double raw_norm = 0.0;  // before centring; equal to norm for other metrics
    int exponent = 0;       // the row was divided by 2^exponent
    bool finite = false;    // no NaN, no infinity
};

CanonicalRow canonical_row(const RowReader& reader, std::size_t row, Metric metric, const ScoreKernels& kernels,
                           double* values);

// dot / (norm_x * norm_q) clipped to [-1, 1], 0 where a norm is 0; the dot alone for the inner product.
double finish_score(Metric metric, double dot, double norm_x, double norm_q, bool as_f64);

class Scorer {
  public:
    // `ids` may be null: rows are then their own ids.
    // `scored`, where given, counts the scores.
    Scorer(const RowReader& items, const std::int64_t* ids, Metric metric, bool as_f64, const ScoreKernels& kernels,
           std::atomic<std::uint64_t>* scored)
        : items_(items), ids_(ids), metric_(metric), as_f64_(as_f64), kernels_(kernels), scored_(scored) {}

    using Scratch = AlignedArray<double>;          // one per thread; grows to a row
    static constexpr std::size_t kMostItems = 16;  // in one call

    // NaN for an item that may never be returned (NaN or infinity in its row, or a sum that overflows float64).
    void operator()(const std::uint32_t* rows, std::size_t count, const double* query, double query_norm,
                    Scratch& scratch, double* scores) const;

    std::int64_t id(std::uint32_t row) const { return ids_ == nullptr ? row : ids_[row]; }
    const std::int64_t* ids() const { return ids_; }

    void prefetch(std::size_t row) const;

  private:
    double score_converted(std::size_t row, const double* query, double query_norm, Scratch& scratch) const;

    const RowReader& items_;
    const std::int64_t* ids_;
    Metric metric_;
    bool as_f64_;
    const ScoreKernels& kernels_;
    std::atomic<std::uint64_t>* scored_;
};

// Collects the items of one query and scores them several at a time, while the rows of the next are on their way from
// memory.
class ScoreQueue {
  public:
    ScoreQueue(const Scorer& scorer, const double* query, double query_norm, Scorer::Scratch& scratch)
        : scorer_(scorer), query_(query), query_norm_(query_norm), scratch_(scratch) {}

    template <class Sink>  // called with each Scored
    void push(std::uint32_t row, Sink&& sink) {
        // Rows in order are fetched by the hardware.
        if (count_ == 0 || row != rows_[count_ - 1] + 1) scorer_.prefetch(row);
        rows_[count_++] = row;
        if (count_ < 2 * Scorer::kMostItems) return;
        score_first(Scorer::kMostItems, sink);
        std::copy_n(rows_ + Scorer::kMostItems, Scorer::kMostItems, rows_);
        count_ = Scorer::kMostItems;
    }

    template <class Sink>
    void flush(Sink&& sink) {
        const std::size_t first = std::min(count_, Scorer::kMostItems);
        score_first(first, sink);
        std::copy_n(rows_ + first, count_ - first, rows_);
        score_first(count_ - first, sink);
        count_ = 0;
    }

  private:
    template <class Sink>
    void score_first(std::size_t count, Sink&& sink) {
        double scores[Scorer::kMostItems];
        scorer_(rows_, count, query_, query_norm_, scratch_, scores);
        for (std::size_t i = 0; i < count; ++i) sink(Scored{scores[i], scorer_.id(rows_[i]), rows_[i]});
    }

    const Scorer& scorer_;
    const double* query_;
    double query_norm_;
    Scorer::Scratch& scratch_;
    std::uint32_t rows_[2 * Scorer::kMostItems];
    std::size_t count_ = 0;
};

}  // namespace aigc_fast
