// The cascade as the driver uses it: heads are scanned first, and only what they let through is looked at by all
// dimensions. Its hits are those of the int8 scan, and their bounds too. Where a head lets too much through (while
// cutoffs are low, or for queries that resemble nothing), the int8 scan takes over for a while. For a single query all
// heads are looked at beforehand, so that cutoffs are not low for long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.hpp"
#include "search/code_scanner.hpp"

namespace aigc_fast {

class CascadeScanner {
  public:
    // `codes` has a head. `copies` is as for CodeScanner; `report` may be null.
    CascadeScanner(const QueryGroup& group, const RowReader& items, Metric metric, const Kernels& kernels,
                   const ItemCodes& codes, std::size_t copies, int threads, SearchReport* report);

    std::size_t panels() const { return full_.panels(); }
    std::size_t panel_begin(std::size_t panel) const { return full_.panel_begin(panel); }

    struct Worker : CodeScanner::Worker {
        CodeScanner::Worker head;
        Int8Rows code_rows{};
        bool by_head = false;
        std::vector<std::uint8_t> pause;     // how many blocks each panel goes on without heads
        std::vector<std::uint8_t> failures;  // of heads in a row, a panel each
    };
    Worker worker(std::size_t block_rows) const;

    // For a single query: keeps the bounds of all heads, and returns the hits among the `wanted` most promising rows;
    // scans pass over these rows then. They are rows of all items, with which it loads the worker.
    std::vector<Hit> survey(Worker& worker, std::size_t wanted, const float* cutoffs, int threads);

    std::size_t tile_hits(std::size_t panel) const;
    void load(Worker& worker, std::size_t begin, std::size_t end) const;
    std::size_t scan(Worker& worker, std::size_t panel, const float* cutoffs, std::size_t row, Hit* hits,
                     std::size_t capacity, std::size_t* hit_count) const;
    bool bounds(const Worker& worker, std::size_t query, const Hit& hit, Bounds* bounds) const {
        return full_.bounds(worker, query, hit, bounds);
    }

  private:
    bool surveyed() const { return bounds_.size() != 0; }
    std::size_t scan_heads(const Worker& worker, std::size_t panel, const float* cutoffs, std::size_t row, Hit* hits,
                           std::size_t capacity, std::size_t* hit_count) const;
    void count_pairs(std::size_t pairs, std::size_t hits) const;

    CodeScanner full_;
    CodeScanner head_;
    const ItemCodes& codes_;
    const Kernels& kernels_;
    std::size_t row_bytes_;
    AlignedArray<std::int8_t> query_rows_;  // [queries][row_bytes_]
    AlignedArray<float> bounds_;            // of a survey: a row each
    SearchReport* report_;
};

// The share of (query, item) pairs that heads cannot rule out: `cutoffs` has a score for each query.
double surviving_share(const Matrix& queries, const Matrix& items, const ItemCodes& heads, const double* cutoffs);

}  // namespace aigc_fast
