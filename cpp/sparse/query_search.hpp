// A group of queries against all rows of an inverted index, exactly: block by block, so that a block's lists and dense
// columns come from memory once for all queries of the group.
//
// The sums of a query and a block of rows are gathered column by column; then one of two ways finds the results among
// them:
// - touched: the rows that share a column with the query were noted, and each is scored. Right for any input.
// - scan: vector code looks for the sums that can reach a cutoff. It sees positive scores only; where a query ends with
//   fewer than k of them and others could count, it is searched again the first way.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/aligned.hpp"
#include "select/order.hpp"
#include "sparse/canonical_rows.hpp"
#include "sparse/dense_columns.hpp"
#include "sparse/inverted_index.hpp"
#include "sparse/kernels.hpp"

namespace aigc_fast {

// What all queries share.
template <class Posting>
struct SparseSearch {
    const CanonicalRows& queries;
    const CanonicalRows& items;
    const SparseOptions& options;
    const SparseKernels& kernels;
    const InvertedIndex<Posting>& index;
    const DenseColumns* dense;  // integers only; may be null
    double query_unit;          // sums are in units of query_unit * item_unit
    double item_unit;
    double scan_share;                 // a block is scanned if this share of its rows or more is added to
    std::vector<float> inverse_norms;  // see scale_of
    std::vector<std::uint32_t> column_counts;

    SparseSearch(const CanonicalRows& queries_, const CanonicalRows& items_, const SparseOptions& options_,
                 const SparseKernels& kernels_, const InvertedIndex<Posting>& index_, const DenseColumns* dense_,
                 double query_unit_, double item_unit_, double scan_share_)
        : queries(queries_),
          items(items_),
          options(options_),
          kernels(kernels_),
          index(index_),
          dense(dense_),
          query_unit(query_unit_),
          item_unit(item_unit_),
          scan_share(scan_share_),
          inverse_norms(items_.rows()),
          column_counts(items_.cols()) {
        for (std::size_t row = 0; row < items.rows(); ++row) inverse_norms[row] = scale_of(1.0, items.norm(row));
        for (std::size_t column = 0; column < items.cols(); ++column)
            for (std::size_t block = 0; block < index.blocks(); ++block)
                column_counts[column] += static_cast<std::uint32_t>(index.list(block, column).size());
    }

    // 1 / denominator in float32, for estimates: 0 for rows of zeros, and infinite where float32 could under- or
    // overflow, so that the row is always a hit.
    static float scale_of(double unit, double denominator) {
        if (denominator == 0.0) return 0.0f;
        const double scale = unit / denominator;
        return scale > 0x1p-100 && scale < 0x1p100 ? static_cast<float>(scale) : std::numeric_limits<float>::infinity();
    }

    double score(double dot, double query_norm, double item_norm) const {
        const double denominator = query_norm * item_norm + options.shrink;
        const double score = denominator == 0.0 ? 0.0 : std::clamp(dot / denominator, -1.0, 1.0);
        return queries.is_f64() || items.is_f64() ? score : static_cast<double>(static_cast<float>(score));
    }
};

// The scratch memory of one thread, and its way through a group of queries.
template <class Posting>
class QuerySearch {
  public:
    explicit QuerySearch(const SparseSearch<Posting>& search)
        : search_(search),
          k_(std::min(search.options.k, search.items.rows())),
          sums_(search.index.block_rows()),
          overlaps_(search.index.block_rows()),
          touched_(search.index.block_rows() + 1),
          scale_(search.index.block_rows()) {
        std::fill_n(sums_.data(), sums_.size(), Sum{0});
        std::fill_n(overlaps_.data(), overlaps_.size(), 0u);
    }

    // Calls give(results) for each of the queries first to last, in order.
    template <class Give>
    void operator()(std::size_t first, std::size_t last, Give give) {
        while (group_.size() < last - first) group_.emplace_back();
        for (std::size_t i = 0; first + i < last; ++i) begin(group_[i], first + i);
        for (std::size_t block = 0; block < search_.index.blocks(); ++block)
            for (std::size_t i = 0; first + i < last; ++i) search_block(group_[i], block);
        for (std::size_t i = 0; first + i < last; ++i) give(finish(group_[i]));
    }

  private:
    using Sum = typename Posting::Sum;
    using Factor = std::conditional_t<std::is_same_v<Posting, IntegerPosting>, std::int32_t, double>;

    // The estimates of a scan are right to about 2^-21; scores within this share of a cutoff are looked at.
    static constexpr double kMargin = 0x1p-18;
    // Estimates below this may have lost bits or underflowed to zero.
    static constexpr double kLeastEstimate = 0x1p-100;
    static constexpr std::size_t kSegment = 2048;  // rows whose sums are still in the first cache when hits are scored
    static constexpr std::size_t kMostPeaks = 1024;

    struct Term {
        std::uint32_t column;
        Factor factor;
    };

    struct Query {
        std::size_t id = 0;
        double norm = 0.0;
        double threshold = 0.0;
        double cutoff = 0.0;         // a score that k rows reach, or the threshold
        double estimate_unit = 0.0;  // an estimate is sum * scale: the score times this
        bool scans = false;
        std::vector<Term> terms;           // of the columns that are added as lists
        std::vector<std::uint32_t> slots;  // the dense ones
        std::vector<std::int32_t> factors;
        BestK best{0};
    };

    void begin(Query& query, std::size_t id) {
        query.id = id;
        query.norm = search_.queries.norm(id);
        query.threshold = search_.options.thresholds == nullptr ? -std::numeric_limits<double>::infinity()
                                                                : search_.options.thresholds[id];
        query.cutoff = query.threshold;
        query.best = BestK(k_);
        query.estimate_unit =
            search_.options.shrink == 0.0 ? query.norm / (search_.query_unit * search_.item_unit) : 1.0;
        search_.queries.read(id, row_);
        query.scans = worth_scanning(query);
        split_terms(query, query.scans ? search_.dense : nullptr);
    }

    void split_terms(Query& query, const DenseColumns* dense) {
        query.terms.clear();
        query.slots.clear();
        query.factors.clear();
        if (k_ == 0) return;
        const double inverse = 1.0 / search_.query_unit;
        for (std::size_t i = 0; i < row_.size(); ++i) {
            const std::uint32_t column = row_.columns[i];
            if (search_.column_counts[column] == 0) continue;
            const auto factor = static_cast<Factor>(row_.values[i] * inverse);
            if constexpr (std::is_same_v<Posting, IntegerPosting>) {
                if (dense != nullptr && dense->slot(column) != DenseColumns::kNone) {
                    query.slots.push_back(dense->slot(column));
                    query.factors.push_back(factor);
                    continue;
                }
            }
            query.terms.push_back({column, factor});
        }
    }

    bool worth_scanning(const Query& query) const {
        if (search_.options.min_overlap > 1 || !(query.estimate_unit > kLeastEstimate) ||
            !(query.estimate_unit < 1.0 / kLeastEstimate))
            return false;
        std::size_t additions = 0;
        for (const std::uint32_t column : row_.columns) additions += search_.column_counts[column];
        return static_cast<double>(additions) >= search_.scan_share * static_cast<double>(search_.index.rows());
    }

    void search_block(Query& query, std::size_t block) {
        if (query.terms.empty() && query.slots.empty()) return;
        if (query.scans)
            scan_block(query, block);
        else
            touch_block(query, block);
    }

    std::vector<Scored> finish(Query& query) {
        if (k_ == 0) return {};
        std::vector<Scored> results = query.best.sorted();
        if (!query.scans || nothing_missed(query, results)) return results;
        search_.queries.read(query.id, row_);
        split_terms(query, nullptr);
        query.best = BestK(k_);
        for (std::size_t block = 0; block < search_.index.blocks(); ++block) touch_block(query, block);
        return query.best.sorted();
    }

    // True if no row that the scan could not see belongs to the results.
    bool nothing_missed(const Query& query, const std::vector<Scored>& results) const {
        if (query.threshold * query.estimate_unit > kLeastEstimate) return true;
        if (results.size() == k_ && results.back().score * query.estimate_unit > kLeastEstimate) return true;
        const double least_dot = search_.queries.smallest_value() * search_.items.smallest_value();
        if (!(search_.queries.smallest_value() > 0.0 && search_.items.smallest_value() > 0.0)) return false;
        return least_dot / (query.norm * search_.items.largest_norm() + search_.options.shrink) * query.estimate_unit >
               kLeastEstimate;
    }

    void add_list(typename InvertedIndex<Posting>::List list, Factor factor) {
        for (const Posting* p = list.begin; p != list.end; ++p) sums_[p->row] += static_cast<Sum>(factor * p->value);
    }

    // Lists are short and lie anywhere in memory: the next one is on its way while one is added.
    void prefetch(const Query& query, std::size_t block, std::size_t term) const {
        constexpr std::ptrdiff_t kMostBytes = 2048;
        if (term >= query.terms.size()) return;
        const auto list = search_.index.list(block, query.terms[term].column);
        const auto* begin = reinterpret_cast<const char*>(list.begin);
        const std::ptrdiff_t bytes = std::min(reinterpret_cast<const char*>(list.end) - begin, kMostBytes);
        for (std::ptrdiff_t at = 0; at < bytes; at += static_cast<std::ptrdiff_t>(kCacheLine))
            __builtin_prefetch(begin + at);
    }

    void scan_block(Query& query, std::size_t block) {
        const std::size_t begin = block * search_.index.block_rows();
        const std::size_t rows = std::min(search_.index.block_rows(), search_.index.rows() - begin);
        for (std::size_t t = 0; t < query.terms.size(); ++t) {
            prefetch(query, block, t + 1);
            add_list(search_.index.list(block, query.terms[t].column), query.terms[t].factor);
        }
        if constexpr (std::is_same_v<Posting, IntegerPosting>)
            if (!query.slots.empty())
                for (std::size_t tile = 0; tile * kColumnTile < rows; ++tile)
                    search_.kernels.add_columns(search_.dense->tile(block, tile), query.slots.data(),
                                                query.factors.data(), query.slots.size(),
                                                sums_.data() + tile * kColumnTile);
        if (search_.options.exclude_self && query.id >= begin && query.id < begin + rows) sums_[query.id - begin] = 0;
        const float* scale = block_scale(query, begin, rows);
        raise_cutoff(query, scale, rows);
        // Not below the smallest estimate of a positive score, or every row would be a hit.
        const auto least = static_cast<float>(std::max(query.cutoff * (1.0 - kMargin) * query.estimate_unit, 0x1p-126));
        for (std::size_t at = 0; at < rows; at += kSegment) {
            const std::size_t segment = std::min(kSegment, rows - at);
            const std::size_t hits = find_hits(sums_.data() + at, scale + at, segment, least);
            for (std::size_t i = 0; i < hits; ++i) {
                const std::size_t row = at + touched_[i];
                if (sums_[row] > 0) consider(query, begin + row, sums_[row]);
            }
        }
        std::fill_n(sums_.data(), (rows + kColumnTile - 1) / kColumnTile * kColumnTile, Sum{0});
    }

    const float* block_scale(const Query& query, std::size_t begin, std::size_t rows) {
        if (search_.options.shrink == 0.0) return search_.inverse_norms.data() + begin;
        const double unit = search_.query_unit * search_.item_unit;
        for (std::size_t row = 0; row < rows; ++row)
            scale_[row] =
                search_.items.norm(begin + row) == 0.0
                    ? 0.0f
                    : search_.scale_of(unit, query.norm * search_.items.norm(begin + row) + search_.options.shrink);
        return scale_.data();
    }

    // Once k rows are found, the last of them is the cutoff. Before, the rows are dealt to groups, and the k-th largest
    // of the groups' best scores is one: k rows reach it. With 2.5 k groups about 1.3 k rows do.
    void raise_cutoff(Query& query, const float* scale, std::size_t rows) {
        const double found = query.best.cutoff();
        if (found > -std::numeric_limits<double>::infinity()) {
            query.cutoff = std::max(query.cutoff, found);
            return;
        }
        const std::size_t count = (5 * k_ / 2 + kPeakStep) / kPeakStep * kPeakStep;
        if (count > kMostPeaks || count > rows) return;
        float peaks[kMostPeaks];
        std::fill_n(peaks, count, 0.0f);
        if constexpr (std::is_same_v<Sum, double>)
            search_.kernels.peaks_f64(sums_.data(), scale, rows, peaks, count);
        else
            search_.kernels.peaks_i32(sums_.data(), scale, rows, peaks, count);
        std::nth_element(peaks, peaks + k_ - 1, peaks + count, std::greater<float>());
        const double estimate = static_cast<double>(peaks[k_ - 1]);
        if (estimate > kLeastEstimate && std::isfinite(estimate))
            query.cutoff = std::max(query.cutoff, estimate / query.estimate_unit * (1.0 - kMargin));
    }

    std::size_t find_hits(const Sum* sums, const float* scale, std::size_t rows, float least) {
        if constexpr (std::is_same_v<Sum, double>)
            return search_.kernels.hits_f64(sums, scale, rows, least, touched_.data());
        else
            return search_.kernels.hits_i32(sums, scale, rows, least, touched_.data());
    }

    void consider(Query& query, std::size_t row, Sum sum) const {
        const double dot = static_cast<double>(sum) * (search_.query_unit * search_.item_unit);
        const double score = search_.score(dot, query.norm, search_.items.norm(row));
        if (score >= query.threshold)
            query.best.add({score, static_cast<std::int64_t>(row), static_cast<std::uint32_t>(row)});
    }

    void touch_block(Query& query, std::size_t block) {
        const std::size_t begin = block * search_.index.block_rows();
        std::size_t touched = 0;
        for (std::size_t t = 0; t < query.terms.size(); ++t) {
            prefetch(query, block, t + 1);
            const auto list = search_.index.list(block, query.terms[t].column);
            add_list(list, query.terms[t].factor);
            for (const Posting* p = list.begin; p != list.end; ++p) {
                touched_[touched] = p->row;
                touched += overlaps_[p->row]++ == 0;
            }
        }
        for (std::size_t i = 0; i < touched; ++i) {
            const std::size_t row = touched_[i];
            const bool wanted = overlaps_[row] >= search_.options.min_overlap &&
                                !(search_.options.exclude_self && begin + row == query.id);
            if (wanted) consider(query, begin + row, sums_[row]);
            sums_[row] = 0;
            overlaps_[row] = 0;
        }
    }

    const SparseSearch<Posting>& search_;
    const std::size_t k_;
    AlignedArray<Sum> sums_;                // of a query and a block's rows; zero between them
    AlignedArray<std::uint32_t> overlaps_;  // likewise
    AlignedArray<std::uint32_t> touched_;   // rows of a block, and room for one that is not kept
    AlignedArray<float> scale_;
    SparseRow row_;
    std::vector<Query> group_;
};

}  // namespace aigc_fast
