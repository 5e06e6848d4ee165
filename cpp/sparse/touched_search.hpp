// One query against all rows, exactly: its lists are added up block by block, the rows that share a column with it are
// noted on the way, and each is scored. Right for any input, and quick where few rows are touched.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.hpp"
#include "select/order.hpp"
#include "sparse/inverted_index.hpp"
#include "sparse/scoring.hpp"

namespace aigc_fast {

template <class Posting>
class TouchedSearch {
  public:
    TouchedSearch(const Scoring& scoring, const InvertedIndex<Posting>& index)
        : scoring_(scoring),
          index_(index),
          sums_(index.block_rows()),
          overlaps_(index.block_rows()),
          touched_(index.block_rows() + 1) {
        std::fill_n(sums_.data(), sums_.size(), Sum{0});
        std::fill_n(overlaps_.data(), overlaps_.size(), 0u);
    }

    std::vector<Scored> operator()(std::size_t query) {
        if (scoring_.k() == 0) return {};
        scoring_.queries.read(query, row_);
        for (double& value : row_.values) value *= 1.0 / scoring_.query_unit;  // a power of two
        BestK best(scoring_.k());
        for (std::size_t block = 0; block < index_.blocks(); ++block) search_block(query, block, best);
        return best.sorted();
    }

  private:
    using Sum = typename Posting::Sum;

    void search_block(std::size_t query, std::size_t block, BestK& best) {
        std::size_t touched = 0;
        for (std::size_t c = 0; c < row_.size(); ++c) {
            if (c + 1 < row_.size()) index_.prefetch(block, row_.columns[c + 1]);
            const auto factor = static_cast<Sum>(row_.values[c]);
            const auto list = index_.list(block, row_.columns[c]);
            for (const Posting* p = list.begin; p != list.end; ++p) {
                sums_[p->row] += factor * static_cast<Sum>(p->value);
                touched_[touched] = p->row;
                touched += overlaps_[p->row]++ == 0;
            }
        }
        for (std::size_t i = 0; i < touched; ++i) {
            const std::size_t row = touched_[i];
            const std::size_t item = block * index_.block_rows() + row;
            if (overlaps_[row] >= scoring_.options.min_overlap && !(scoring_.options.exclude_self && item == query))
                scoring_.consider(static_cast<double>(sums_[row]), query, item, best);
            sums_[row] = 0;
            overlaps_[row] = 0;
        }
    }

    const Scoring& scoring_;
    const InvertedIndex<Posting>& index_;
    AlignedArray<Sum> sums_;                // of a block's rows; zero between blocks
    AlignedArray<std::uint32_t> overlaps_;  // likewise
    AlignedArray<std::uint32_t> touched_;   // rows of a block, and room for one that is not kept
    SparseRow row_;
};

}  // namespace aigc_fast
