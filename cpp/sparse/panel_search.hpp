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
#include "sparse/mutual_results.hpp"
#include "sparse/scoring.hpp"

namespace aigc_fast {

// Estimates are float32. Rows and queries whose norms, in units, lie in this range are no matter for them: a sum with
// an estimate of kLeastEstimate is then at least 2^-92, and nothing over- or underflows on the way.
inline constexpr double kLargestLength = 0x1p32;
inline constexpr double kLargestPull = 0x1p60;
inline constexpr double kLeastEstimate = 0x1p-60;
inline constexpr double kLeastMutualScore = 0x1p-28;  // rows are not offered less

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

// True if no row that panels could not see belongs to the query's results, of which they found these.
inline bool nothing_missed(const Scoring& scoring, std::size_t query, const std::vector<Scored>& results, bool mutual) {
    const double norm = scoring.queries.norm(query);
    const double least = std::max(kLeastEstimate / norm * scoring.query_unit, mutual ? kLeastMutualScore : 0.0);
    if (scoring.threshold(query) > least) return true;
    if (results.size() == scoring.k() && results.back().score > least) return true;
    const double least_query = scoring.queries.smallest_value();
    const double least_item = scoring.items.smallest_value();
    if (!(least_query > 0.0 && least_item > 0.0)) return false;
    return least_query * least_item / (norm * scoring.items.largest_norm() + scoring.options.shrink) > least;
}

template <class Panel, class Value>
class PanelSearch {
  public:
    static constexpr std::size_t kLanes = Panel::kLanes;

    // mutual: null unless the queries are the rows, and then for those at its number of first positions.
    PanelSearch(const Scoring& scoring, const EntryRows<Value>& rows, const PanelKernels<Panel, Value>& kernels,
                MutualResults* mutual)
        : scoring_(scoring),
          rows_(rows),
          kernels_(kernels),
          mutual_(mutual),
          stretch_(longest_stretch(scoring)),
          slots_(scoring.items.cols(), 0),
          sums_(kBlockRows * kLanes),
          scale_(kBlockRows),
          row_least_(kBlockRows),
          hits_(kSegment * kLanes) {
        std::fill_n(row_least_.data(), kBlockRows, std::numeric_limits<float>::infinity());
    }

    // Searches for queries that panel_takes, and calls give(query, results) for each. If mutual, they are the rows from
    // position `first` on, and nothing is given: results are offered.
    template <class Give>
    void operator()(const std::uint32_t* queries, std::size_t count, std::size_t first, Give give) {
        first_ = first;
        begin(queries, count);
        for (std::size_t row = first; row < rows_.count(); row += kBlockRows)
            search_block(row, std::min(kBlockRows, rows_.count() - row));
        for (std::size_t i = 0; i < lanes_.size(); ++i) {
            const std::vector<Scored> results = lanes_[i].best.sorted();
            if (mutual_ == nullptr)
                give(lanes_[i].query, results);
            else
                for (const Scored& result : results) mutual_->offer(first + i, result);
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
        for (std::size_t lane = 0; lane < kLanes; ++lane) {  // those without a query have no hits
            bounds_.least[lane] = std::numeric_limits<float>::infinity();
            bounds_.length[lane] = 1.0f;
            bounds_.pull[lane] = 0.0f;
        }
        const double inverse = 1.0 / scoring_.query_unit;  // a power of two
        const double shrink = scoring_.options.shrink / (scoring_.query_unit * scoring_.item_unit);
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t query = queries[i];
            const double length = scoring_.queries.norm(query) * inverse;
            const double threshold = scoring_.threshold(query);
            lanes_.push_back({query, length, threshold, threshold, BestK(scoring_.k())});
            bounds_.length[i] = static_cast<float>(length);
            bounds_.pull[i] = static_cast<float>(shrink / length);
            scoring_.queries.read(query, row_);
            for (std::size_t e = 0; e < row_.size(); ++e)
                factors_[slots_[rows_.rank(row_.columns[e])] * kLanes + i] =
                    static_cast<Factor>(row_.values[e] * inverse);
        }
    }

    void search_block(std::size_t begin, std::size_t rows) {
        read_rows(begin, rows);
        kernels_.add_rows(rows_.part(begin, rows), slots_.data(), factors_.data(), stretch_, sums_.data());
        if (scoring_.options.exclude_self)
            for (std::size_t i = 0; i < lanes_.size(); ++i) {
                const std::size_t self = rows_.position(lanes_[i].query);
                if (self >= begin && self < begin + rows) sums_[(self - begin) * kLanes + i] = 0;
            }
        // Cutoffs rise with the logarithm of the rows seen.
        const std::size_t block = (begin - first_) / kBlockRows;
        if ((block & (block - 1)) == 0) raise_cutoffs(rows);
        for (std::size_t i = 0; i < lanes_.size(); ++i) {
            // Not below what estimates can be relied on for, or every row would be a hit; scores are at most 1.
            const double cutoff = std::min(lanes_[i].cutoff * (1.0 - kMargin), 2.0) * lanes_[i].length;
            bounds_.least[i] = static_cast<float>(std::max(cutoff, kLeastEstimate / 2));
        }
        for (std::size_t at = 0; at < rows; at += kSegment) {
            const Sum* sums = sums_.data() + at * kLanes;
            const std::size_t hits = kernels_.find_hits(sums, scale_.data() + at, row_least_.data() + at,
                                                        std::min(kSegment, rows - at), bounds_, hits_.data());
            for (std::size_t h = 0; h < hits; ++h) {
                const Sum sum = sums[hits_[h]];
                if (sum > 0) consider(lanes_[hits_[h] % kLanes], begin + at + hits_[h] / kLanes, sum);
            }
        }
    }

    // Scales are 1 / norm in units, for estimates: 0 for rows of zeros, and infinite where float32 does not serve, so
    // that the row is always a hit.
    void read_rows(std::size_t begin, std::size_t rows) {
        for (std::size_t i = 0; i < rows; ++i) {
            const double length = scoring_.items.norm(rows_.id(begin + i)) / scoring_.item_unit;
            scale_[i] = length == 0.0            ? 0.0f
                        : float32_serves(length) ? static_cast<float>(1.0 / length)
                                                 : std::numeric_limits<float>::infinity();
            if (mutual_ == nullptr) continue;
            const double least = is_offered(begin + i) ? std::min(least_offer(begin + i) * (1.0 - kMargin), 2.0)
                                                       : std::numeric_limits<double>::infinity();
            row_least_[i] = static_cast<float>(std::max(least, kLeastMutualScore * (1.0 - kMargin)));
        }
    }

    // The rows of the panel itself are lanes: they see each other as such.
    bool is_offered(std::size_t position) const {
        return position >= first_ + lanes_.size() && position < mutual_->count();
    }

    double least_offer(std::size_t position) const {
        return std::max(mutual_->cutoff(position), scoring_.threshold(rows_.id(position)));
    }

    // Once k rows are found, the last of them is the cutoff. Before, the rows are dealt to groups, and the k-th largest
    // of the groups' best scores is one: k rows reach it. With 2.5 k groups about 1.3 k rows do.
    void raise_cutoffs(std::size_t rows) {
        const std::size_t k = scoring_.k();
        bool all_found = true;
        for (std::size_t i = 0; i < lanes_.size(); ++i) {
            double found = lanes_[i].best.cutoff();
            if (mutual_ != nullptr) found = std::max(found, mutual_->cutoff(first_ + i));
            all_found &= found > -std::numeric_limits<double>::infinity();
            lanes_[i].cutoff = std::max(lanes_[i].cutoff, found);
        }
        const std::size_t count = 5 * k / 2 + 1;
        if (all_found || count > kMostPeaks || count > rows) return;
        peaks_.assign(count * kLanes, 0.0f);
        kernels_.raise_peaks(sums_.data(), scale_.data(), rows, bounds_.pull, peaks_.data(), count);
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

    void consider(Lane& lane, std::size_t position, Sum sum) {
        const std::uint32_t item = rows_.id(position);
        const double score = scoring_.score(static_cast<double>(sum), lane.query, item);
        if (score >= lane.threshold) lane.best.add({score, item, item});
        if (mutual_ != nullptr && is_offered(position) && score >= least_offer(position))
            mutual_->offer(position, {score, lane.query, lane.query});
    }

    const Scoring& scoring_;
    const EntryRows<Value>& rows_;
    const PanelKernels<Panel, Value>& kernels_;
    MutualResults* const mutual_;
    const std::size_t stretch_;
    std::size_t first_ = 0;             // position of the first row looked at
    std::vector<std::uint32_t> slots_;  // by rank of the column
    std::vector<Factor> factors_;       // [slot][lane]
    std::vector<Lane> lanes_;
    LaneBounds<kLanes> bounds_;
    AlignedArray<Sum> sums_;  // [row of a block][lane]
    AlignedArray<float> scale_;
    AlignedArray<float> row_least_;  // infinite where rows are offered nothing
    AlignedArray<std::uint32_t> hits_;
    std::vector<float> peaks_;  // [group][lane]
    SparseRow row_;
};

}  // namespace aigc_fast
