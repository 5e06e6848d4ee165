// Lower bounds of all scores of a group of queries, kept: where many of few items are results, selecting them from all
// at once costs less than following cutoffs while scanning, and whoever asks for them gets the items in their order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/aligned.hpp"
#include "scan/f32.hpp"
#include "search/f32_scanner.hpp"
#include "search/query_group.hpp"
#include "select/filter.hpp"

namespace aigc_fast {

class DenseBounds {
  public:
    // Scans all rows.
    DenseBounds(const QueryGroup& group, const F32Scanner& scanner, const ResultFilter& filter, std::size_t rows,
                std::size_t block_rows, int threads);

    // The rows that can be among the `wanted` best results of a query and reach its threshold, in ascending order, and
    // room for their scores.
    struct Candidates {
        std::vector<std::uint32_t> rows;
        std::unique_ptr<double[]> scores;
    };
    // Of every query.
    std::vector<Candidates> candidates(std::size_t wanted, int threads) const;

  private:
    // A thread's own memory.
    struct Scratch {
        AlignedArray<BoundedRow> rows;
        std::vector<std::uint32_t> histograms;  // one a query
    };

    // Of queries [begin, end) of one panel.
    void select(std::size_t begin, std::size_t end, std::size_t wanted, Scratch& scratch, Candidates* out) const;
    LowerBounds bounds(std::size_t begin, std::size_t end) const;

    const QueryGroup& group_;
    const F32Scanner& scanner_;
    const ResultFilter& filter_;
    std::size_t rows_;
    AlignedArray<float> values_;  // a panel after the other, in it a row after the other
    AlignedArray<float> slack_;
    std::vector<std::uint32_t> unbounded_;  // rows about whose scores float32 says nothing, ascending
};

}  // namespace aigc_fast
