// The float32 scan as the driver uses it: queries packed once, blocks of rows measured and scanned.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.hpp"
#include "base/rows.hpp"
#include "scan/f32.hpp"
#include "search/bounds.hpp"
#include "search/query_group.hpp"

namespace aigc_fast {

class F32Scanner {
  public:
    F32Scanner(const QueryGroup& group, const RowReader& items, Metric metric, const F32ScanKernels& kernels,
               int threads);

    std::size_t panels() const { return (group_.count() + panel_width_ - 1) / panel_width_; }
    std::size_t panel_begin(std::size_t panel) const { return panel * panel_width_; }
    std::size_t panel_of(std::size_t query) const { return query / panel_width_; }
    // Queries that the kernel computes for a panel, some of them none.
    std::size_t panel_width(std::size_t panel) const {
        const std::size_t count = group_.count() - panel_begin(panel);
        return few() ? count : count <= kernels_.width ? kernels_.width : panel_width_;
    }
    float epsilon(std::size_t query) const { return epsilons_[query]; }

    // A thread's own memory: one block of rows.
    struct Worker {
        F32Block block{};
        AlignedArray<float> scale;
        AlignedArray<float> slack;
        AlignedArray<float> converted;
        std::vector<std::uint32_t> unbounded;  // stays empty: this scan reports such rows as hits
    };
    Worker worker(std::size_t block_rows) const;

    // The most hits that one step of the scan can report.
    std::size_t tile_hits(std::size_t panel) const;

    void load(Worker& worker, std::size_t begin, std::size_t end) const;

    // Appends hits and returns the row of the block to go on with.
    std::size_t scan(const Worker& worker, std::size_t panel, const float* cutoffs, std::size_t row, Hit* hits,
                     std::size_t capacity, std::size_t* hit_count) const;

    // Lower bounds of the scores of the block's rows and the panel's queries: see F32ScanKernels::bound_panel.
    void bound(const Worker& worker, std::size_t panel, float* lower) const {
        kernels_.bound_panel(worker.block, queries(panel, nullptr), lower);
    }
    void collect(const LowerBounds& bounds, const float* cutoffs, const float* spreads, BoundedRow* const* rows,
                 std::size_t* counts) const {
        kernels_.collect(bounds, cutoffs, spreads, rows, counts);
    }

    // False for a row that is never returned. Inline: nothing is computed where nobody asks for bounds.
    bool bounds(const Worker& worker, std::size_t query, const Hit& hit, Bounds* bounds) const {
        const float slack = worker.block.slack[hit.row];
        if (std::isnan(slack)) return false;
        const float allowance = epsilons_[query] * slack;
        const bool bounded = allowance < kUnbounded.upper;  // false for NaN: an infinite epsilon on a zero row
        *bounds = bounded ? Bounds{hit.approx - allowance, hit.approx + allowance} : kUnbounded;
        return true;
    }

  private:
    bool few() const { return group_.count() <= kFewQueries; }
    void pack(std::size_t panel, Metric metric);
    F32Queries queries(std::size_t panel, const float* cutoffs) const;

    const QueryGroup& group_;
    const RowReader& items_;
    Metric metric_;
    const F32ScanKernels& kernels_;
    std::size_t panel_width_;
    AlignedArray<float> vectors_;
    AlignedArray<float> epsilons_;
};

}  // namespace aigc_fast
