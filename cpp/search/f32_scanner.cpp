#include "search/f32_scanner.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/thread_pool.hpp"

namespace aigc_fast {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The scan's relative error for a query: a float32 dot product of `dim` terms has error gamma_dim |x||q|
// (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1); at most 16 further roundings
// happen to the inputs, the scale, the bound and the canonical score. The item's norm has an error of its own. The last
// term is Pearson's: the float64 mean of a query that is almost constant leaves a small sum behind, which meets the
// mean of the item.
float scan_epsilon(const QueryGroup& group, std::size_t query, Metric metric) {
    constexpr double unit_roundoff = 0x1p-24;
    if (!group.valid(query) || group.norm(query) == 0.0) return 0.0f;  // estimates of zero scores are exact
    const double roundings = static_cast<double>(group.dim() + 16) * unit_roundoff;
    if (roundings > 0.1 || !group.scannable(query)) return kInfinity;
    double epsilon = roundings / (1.0 - roundings) + norm_error(group.dim());
    if (metric == Metric::pearson)
        epsilon += static_cast<double>(group.dim() + 16) * 0x1p-50 * (group.raw_norm(query) / group.norm(query));
    return static_cast<float>(epsilon * 1.0001);
}

}  // namespace

F32Scanner::F32Scanner(const QueryGroup& group, const RowReader& items, Metric metric, const F32ScanKernels& kernels,
                       int threads)
    : group_(group),
      items_(items),
      metric_(metric),
      kernels_(kernels),
      panel_width_(few() ? group.count() : 2 * kernels.width),
      vectors_(panels() * panel_width_ * group.dim()),
      epsilons_(panels() * panel_width_) {
    parallel_for(panels(), threads, [&](std::size_t panel, std::size_t) { pack(panel, metric); });
}

void F32Scanner::pack(std::size_t panel, Metric metric) {
    const std::size_t dim = group_.dim();
    const std::size_t first = panel_begin(panel);
    const std::size_t count = std::min(panel_width_, group_.count() - first);
    // Transposed panels (a query a column), as wide as the kernel will read them; rows for few queries.
    const std::size_t width = panel_width(panel);
    const std::size_t query_step = few() ? dim : 1;
    const std::size_t element_step = few() ? 1 : width;
    float* vectors = vectors_.data() + first * dim;
    std::fill_n(vectors, width * dim, 0.0f);
    std::fill_n(epsilons_.data() + first, panel_width_, 0.0f);
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t query = first + i;
        epsilons_[query] = scan_epsilon(group_, query, metric);
        // Where nothing can be bounded every item is a candidate, and the vector stays zero.
        if (!group_.valid(query) || group_.norm(query) == 0.0 || epsilons_[query] == kInfinity) continue;
        for (std::size_t j = 0; j < dim; ++j)
            vectors[i * query_step + j * element_step] = static_cast<float>(group_.row(query)[j] / group_.norm(query));
    }
}

F32Scanner::Worker F32Scanner::worker(std::size_t block_rows) const {
    Worker worker;
    worker.scale.reserve(block_rows);
    worker.slack.reserve(block_rows);
    if (!items_.in_place_f32()) worker.converted.reserve(block_rows * items_.dim());
    return worker;
}

std::size_t F32Scanner::tile_hits(std::size_t) const { return few() ? kFewQueries : kScanTileRows * panel_width_; }

void F32Scanner::load(Worker& worker, std::size_t begin, std::size_t end) const {
    const std::size_t dim = items_.dim();
    F32Block& block = worker.block;
    block.count = end - begin;
    block.dim = dim;
    block.scale = worker.scale.data();
    block.slack = worker.slack.data();
    block.stride = static_cast<std::ptrdiff_t>(dim);
    if (items_.in_place_f32()) {
        block.rows = items_.in_place<float>(begin);
        block.stride = items_.row_stride_bytes() / static_cast<std::ptrdiff_t>(sizeof(float));
    } else {
        for (std::size_t i = 0; i < block.count; ++i) items_.copy_f32(begin + i, worker.converted.data() + i * dim);
        block.rows = worker.converted.data();
    }
    if (!few()) kernels_.measure(block, metric_);
}

std::size_t F32Scanner::scan(const Worker& worker, std::size_t panel, const float* cutoffs, std::size_t row, Hit* hits,
                             std::size_t capacity, std::size_t* hit_count) const {
    const F32Queries panel_queries = queries(panel, cutoffs + panel_begin(panel));
    return few() ? kernels_.scan_few(worker.block, panel_queries, metric_, row, hits, capacity, hit_count)
                 : kernels_.scan_panel(worker.block, panel_queries, row, hits, capacity, hit_count);
}

F32Queries F32Scanner::queries(std::size_t panel, const float* cutoffs) const {
    const std::size_t first = panel_begin(panel);
    return {vectors_.data() + first * group_.dim(), std::min(panel_width_, group_.count() - first), cutoffs,
            epsilons_.data() + first};
}

}  // namespace aigc_fast
