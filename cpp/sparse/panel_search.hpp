// Queries in panels against all rows, exactly: rows are read one after the other, and an entry is added to the sums of
// all queries of the panel at once. Vector code then looks for the sums that can reach their query's cutoff.
//
// Panels see positive scores only: a query that ends with fewer than k of them while others could count is not
// answered.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "base/aligned.hpp"
#include "select/order.hpp"
#include "sparse/entry_rows.hpp"
#include "sparse/kernels.hpp"
#include "sparse/scoring.hpp"

namespace aigc_fast {

// Estimates are float32. Rows and queries whose norms, in units, lie in this range are no matter for them: a sum with
// an estimate of kLeastEstimate is then at least 2^-92, and nothing over- or underflows on the way.
inline constexpr double kLargestLength = 0x1p32;
inline constexpr double kLargestPull = 0x1p60;
inline constexpr double kLeastEstimate = 0x1p-60;

inline bool float32_serves(double length) { return length >= 1.0 / kLargestLength && length <= kLargestLength; }

// Whether a panel takes the query at all.
inline bool panel_takes(const Scoring& scoring, std::size_t query) {
    const double length = scoring.queries.norm(query) / scoring.query_unit;
    return scoring.k() > 0 && scoring.options.min_overlap <= 1 && float32_serves(length) &&
           scoring.options.shrink / (scoring.query_unit * scoring.item_unit) / length < kLargestPull;
}

// As many products as int16 holds together for certain; 0 where a query's values are too large for an IntegerPanel.
inline std::size_t longest_stretch(const Scoring& scoring) {
    const double query = scoring.queries.largest_magnitude() / scoring.query_unit;
    const double item = scoring.items.largest_magnitude() / scoring.item_unit;
    return query > 127.0 ? 0 : static_cast<std::size_t>(32767.0 / std::max(query * item, 1.0));
}

template <class Panel, class Value>
class PanelSearch {
  public:
    static constexpr std::size_t kLanes = Panel::kLanes;

    PanelSearch(const Scoring& scoring, const EntryRows<Value>& rows, const PanelKernels<Panel, Value>& kernels)
        : scoring_(scoring),
          rows_(rows),
          kernels_(kernels),
          stretch_(longest_stretch(scoring)),
          slots_(scoring.items.cols(), 0),
          sums_(kBlockRows * kLanes),
          scale_(kBlockRows),
          hits_(kSegment * kLanes) {}

    // Calls give(query, results) for each query that is answered. All must be such that panel_takes them.
    template <class Give>
    void operator()(const std::uint32_t* queries, std::size_t count, Give give) {
        begin(queries, count);
        for (std::size_t row = 0; row < scoring_.items.rows(); row += kBlockRows)
            search_block(row, std::min(kBlockRows, scoring_.items.rows() - row));
        for (Lane& lane : lanes_) {
            std::vector<Scored> results = lane.best.sorted();
            if (nothing_missed(lane, results)) give(lane.query, results);
        }
    }

  private:
    using Factor = typename Panel::Factor;
    using Sum = typename Panel::Sum;

    // The estimates of a scan are right to about 2^-21; scores within this share of a cutoff are looked at.
    static constexpr double kMargin = 0x1p-18;
    static constexpr std::size_t kBlockRows = 1024;  // their sums stay in the second cache
    static constexpr std::size_t kSegment = 64;      // rows whose hits are noted at a time
    static constexpr std::size_t kMostPeaks = 1024;

    struct Lane {
        std::uint32_t query;
        double length;     // the norm in units: an estimate is the score times this
        double threshold;  // of scores
        double cutoff;     // a score that k rows reach, or the threshold
        BestK best;
    };

    void begin(const std::uint32_t* queries, std::size_t count) {
        std::fill(slots_.begin(), slots_.end(), 0u);
        for (std::size_t i = 0; i < count; ++i) {
            scoring_.queries.read(queries[i], row_);
            for (const std::uint32_t column : row_.columns) slots_[rows_.rank(column)] = 1;
        }
        std::uint32_t slots = 1;  // 0 is for columns that no query has
        for (std::uint32_t& slot : slots_)
            if (slot != 0) slot = slots++;
        factors_.assign(slots * kLanes, Factor{0});
        lanes_.clear();
        std::fill_n(pull_, kLanes, 0.0f);
        const double inverse = 1.0 / scoring_.query_unit;  // a power of two
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t query = queries[i];
            const double length = scoring_.queries.norm(query) / scoring_.query_unit;
            const double threshold = scoring_.threshold(query);
            lanes_.push_back({query, length, threshold, threshold, BestK(scoring_.k())});
            pull_[i] =
                static_cast<float>(scoring_.options.shrink / (scoring_.query_unit * scoring_.item_unit) / length);
            scoring_.queries.read(query, row_);
            for (std::size_t e = 0; e < row_.size(); ++e)
                factors_[slots_[rows_.rank(row_.columns[e])] * kLanes + i] =
                    static_cast<Factor>(row_.values[e] * inverse);
        }
    }

    void search_block(std::size_t begin, std::size_t rows) {
        read_scale(begin, rows);
        kernels_.add_rows(rows_.part(begin, rows), slots_.data(), factors_.data(), stretch_, sums_.data());
        if (scoring_.options.exclude_self)
            for (std::size_t i = 0; i < lanes_.size(); ++i)
                if (lanes_[i].query >= begin && lanes_[i].query < begin + rows)
                    sums_[(lanes_[i].query - begin) * kLanes + i] = 0;
        // Cutoffs rise with the logarithm of the rows seen.
        const std::size_t block = begin / kBlockRows;
        if ((block & (block - 1)) == 0) raise_cutoffs(rows);
        float least[kLanes];
        float pulled[kLanes];
        std::fill_n(least, kLanes, std::numeric_limits<float>::infinity());  // lanes without a query
        std::fill_n(pulled, kLanes, 0.0f);
        for (std::size_t i = 0; i < lanes_.size(); ++i) {
            // Not below what estimates can be relied on for, or every row would be a hit; scores are at most 1.
            const double cutoff = std::min(lanes_[i].cutoff * (1.0 - kMargin), 2.0) * lanes_[i].length;
            const double bound = std::max(cutoff, kLeastEstimate / 2);
            least[i] = static_cast<float>(bound);
            pulled[i] = static_cast<float>(bound * static_cast<double>(pull_[i]));
        }
        for (std::size_t at = 0; at < rows; at += kSegment) {
            const Sum* sums = sums_.data() + at * kLanes;
            const std::size_t hits = kernels_.find_hits(sums, scale_.data() + at, std::min(kSegment, rows - at), least,
                                                        pulled, hits_.data());
            for (std::size_t h = 0; h < hits; ++h) {
                const Sum sum = sums[hits_[h]];
                if (!(sum > 0)) continue;
                Lane& lane = lanes_[hits_[h] % kLanes];
                scoring_.consider(static_cast<double>(sum), lane.query, begin + at + hits_[h] / kLanes, lane.best);
            }
        }
    }

    // 1 / norm in units, for estimates: 0 for rows of zeros, and infinite where float32 does not serve, so that the row
    // is always a hit.
    void read_scale(std::size_t begin, std::size_t rows) {
        for (std::size_t row = 0; row < rows; ++row) {
            const double length = scoring_.items.norm(begin + row) / scoring_.item_unit;
            scale_[row] = length == 0.0            ? 0.0f
                          : float32_serves(length) ? static_cast<float>(1.0 / length)
                                                   : std::numeric_limits<float>::infinity();
        }
    }

    // Once k rows are found, the last of them is the cutoff. Before, the rows are dealt to groups, and the k-th largest
    // of the groups' best scores is one: k rows reach it. With 2.5 k groups about 1.3 k rows do.
    void raise_cutoffs(std::size_t rows) {
        const std::size_t k = scoring_.k();
        bool all_found = true;
        for (Lane& lane : lanes_) {
            const double found = lane.best.cutoff();
            all_found &= found > -std::numeric_limits<double>::infinity();
            lane.cutoff = std::max(lane.cutoff, found);
        }
        const std::size_t count = 5 * k / 2 + 1;
        if (all_found || count > kMostPeaks || count > rows) return;
        peaks_.assign(count * kLanes, 0.0f);
        kernels_.raise_peaks(sums_.data(), scale_.data(), rows, pull_, peaks_.data(), count);
        for (std::size_t i = 0; i < lanes_.size(); ++i) {
            float peaks[kMostPeaks];
            for (std::size_t p = 0; p < count; ++p) peaks[p] = peaks_[p * kLanes + i];
            float* kth = peaks + k - 1;
            std::nth_element(peaks, kth, peaks + count, std::greater<float>());
            const auto estimate = static_cast<double>(*kth);
            if (estimate > kLeastEstimate && std::isfinite(estimate))
                lanes_[i].cutoff = std::max(lanes_[i].cutoff, estimate / lanes_[i].length * (1.0 - kMargin));
        }
    }

    // True if no row that the panel could not see belongs to the results.
    bool nothing_missed(const Lane& lane, const std::vector<Scored>& results) const {
        if (lane.threshold * lane.length > kLeastEstimate) return true;
        if (results.size() == scoring_.k() && results.back().score * lane.length > kLeastEstimate) return true;
        const double least_query = scoring_.queries.smallest_value();
        const double least_item = scoring_.items.smallest_value();
        if (!(least_query > 0.0 && least_item > 0.0)) return false;
        const double largest = scoring_.queries.norm(lane.query) * scoring_.items.largest_norm();
        return least_query * least_item / (largest + scoring_.options.shrink) * lane.length > kLeastEstimate;
    }

    const Scoring& scoring_;
    const EntryRows<Value>& rows_;
    const PanelKernels<Panel, Value>& kernels_;
    const std::size_t stretch_;
    std::vector<std::uint32_t> slots_;  // by rank of the column
    std::vector<Factor> factors_;       // [slot][lane]
    std::vector<Lane> lanes_;
    float pull_[kLanes];
    AlignedArray<Sum> sums_;  // [row of a block][lane]
    AlignedArray<float> scale_;
    AlignedArray<std::uint32_t> hits_;
    std::vector<float> peaks_;  // [group][lane]
    SparseRow row_;
};

}  // namespace aigc_fast
