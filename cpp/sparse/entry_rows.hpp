// Rows as panels read them: one entry after the other, values in units and in the type that they are multiplied in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "base/aligned.hpp"
#include "base/thread_pool.hpp"
#include "sparse/canonical_rows.hpp"
#include "sparse/kernels.hpp"

namespace aigc_fast {

template <class Value>
class EntryRows {
  public:
    // The row at position p is order[p].
    EntryRows(const CanonicalRows& rows, double unit, std::vector<std::uint32_t> order, int threads)
        : order_(std::move(order)),
          positions_(order_.size()),
          offsets_(rows.rows() + 1),
          columns_(rows.entries_before(rows.rows())),
          values_(rows.entries_before(rows.rows())) {
        constexpr std::size_t kRowsPerTask = 256;
        const double inverse = 1.0 / unit;  // a power of two
        for (std::size_t p = 0; p < order_.size(); ++p) {
            positions_[order_[p]] = static_cast<std::uint32_t>(p);
            offsets_[p + 1] = offsets_[p] + rows.size(order_[p]);
        }
        parallel_for((rows.rows() + kRowsPerTask - 1) / kRowsPerTask, threads, [&](std::size_t task, std::size_t) {
            SparseRow row;
            const std::size_t end = std::min((task + 1) * kRowsPerTask, rows.rows());
            for (std::size_t p = task * kRowsPerTask; p < end; ++p) {
                rows.read(order_[p], row);
                std::copy(row.columns.begin(), row.columns.end(), columns_.data() + offsets_[p]);
                std::transform(row.values.begin(), row.values.end(), values_.data() + offsets_[p],
                               [inverse](double value) { return static_cast<Value>(value * inverse); });
            }
        });
        rank_columns(rows.cols(), threads);
    }

    std::size_t count() const { return order_.size(); }
    std::uint32_t id(std::size_t position) const { return order_[position]; }
    std::uint32_t position(std::size_t id) const { return positions_[id]; }
    std::size_t entries_from(std::size_t position) const { return columns_.size() - offsets_[position]; }
    std::uint32_t rank(std::size_t column) const { return ranks_[column]; }
    // The number of rows that have the column.
    std::uint32_t rows_with(std::size_t column) const { return counts_[column]; }

    // Columns by rank: 0 is the one that most rows have.
    PanelRows<Value> part(std::size_t begin, std::size_t count) const {
        return {offsets_.data() + begin, columns_.data(), values_.data(), count};
    }

  private:
    // So that what is read most often lies together.
    void rank_columns(std::size_t cols, int threads) {
        constexpr std::size_t kEntriesPerTask = std::size_t{1} << 16;
        counts_.resize(cols);
        for (std::size_t e = 0; e < columns_.size(); ++e) ++counts_[columns_[e]];
        std::vector<std::uint32_t> order(cols);
        std::iota(order.begin(), order.end(), 0u);
        std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
            return counts_[a] > counts_[b] || (counts_[a] == counts_[b] && a < b);
        });
        ranks_.resize(cols);
        for (std::size_t rank = 0; rank < cols; ++rank) ranks_[order[rank]] = static_cast<std::uint32_t>(rank);
        parallel_for((columns_.size() + kEntriesPerTask - 1) / kEntriesPerTask, threads,
                     [&](std::size_t task, std::size_t) {
                         const std::size_t end = std::min((task + 1) * kEntriesPerTask, columns_.size());
                         for (std::size_t e = task * kEntriesPerTask; e < end; ++e) columns_[e] = ranks_[columns_[e]];
                     });
    }

    std::vector<std::uint32_t> order_;  // by position
    std::vector<std::uint32_t> positions_;
    std::vector<std::size_t> offsets_;  // by position
    AlignedArray<std::uint32_t> columns_;
    AlignedArray<Value> values_;
    std::vector<std::uint32_t> counts_;  // by column
    std::vector<std::uint32_t> ranks_;   // by column
};

}  // namespace aigc_fast
