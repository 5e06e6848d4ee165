#include "search/code_scanner.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/thread_pool.hpp"
#include "scan/bf16.hpp"
#include "scan/bf16_round.hpp"

namespace aigc_fast {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kEstimateRounding = 0x1p-20;  // relative to |s*c|, 16 roundings of float32: it joins sigma
constexpr std::size_t kSharingPanels = 4;      // fewer are over before memory could follow

}  // namespace

CodeScanner::CodeScanner(const QueryGroup& group, const RowReader& items, Metric metric, const Kernels& kernels,
                         const CodeScanKernels& code_kernels, const ItemCodes* codes, std::size_t copies, int threads)
    : group_(group),
      items_(items),
      metric_(metric),
      kernels_(kernels),
      code_kernels_(code_kernels),
      item_codes_(codes),
      code_dim_(codes != nullptr ? codes->code_dim() : group.dim()),
      row_bytes_(code_dim_ * code_bytes(code_kernels.type)),
      code_sums_(group.count() + kCodeLanes),
      scale_(group.count() + kCodeLanes, 1.0f),
      inverse_scale_(group.count() + kCodeLanes, 1.0f),
      sigma_(group.count() + kCodeLanes),
      along_mean_(group.count() + kCodeLanes),
      offset_(group.count() + kCodeLanes) {
    unsigned power = 0;
    while (power < 64 && std::size_t{1} << power < copies) ++power;
    first_unwanted_copy_ = kind_of_copy(power);
    lay_out_panels();
    parallel_for(panels_.size(), threads, [&](std::size_t panel, std::size_t) { pack(panels_[panel]); });
}

// Full panels, and the rest in panels as narrow as they can be.
void CodeScanner::lay_out_panels() {
    const std::size_t query_bytes = code_groups(row_bytes_) * kCodeGroup;
    std::size_t codes = 0;
    for (std::size_t begin = 0; begin < group_.count();) {
        const std::size_t rest = group_.count() - begin;
        const std::size_t count = rest > 8 ? std::min(rest, kCodePanel) : std::min<std::size_t>(rest, 4);
        panels_.push_back({begin, count, codes});
        codes += code_panel_width(count) * query_bytes;
        begin += count;
    }
    query_codes_ = AlignedArray<std::int8_t>(codes);
    std::fill_n(query_codes_.data(), codes, std::int8_t{0});
}

// The panel's unit queries, code_dim_ each: as they are, or their heads.
std::vector<double> CodeScanner::unit_queries(const Panel& panel, const CodeSpace& space) const {
    const std::size_t dim = group_.dim();
    const auto packed = [&](std::size_t i) {
        const std::size_t query = panel.begin + i;
        return group_.valid(query) && group_.norm(query) != 0.0 && group_.scannable(query);
    };
    const auto write_units = [&](auto* out) {
        for (std::size_t i = 0; i < panel.count; ++i)
            for (std::size_t j = 0; j < dim && packed(i); ++j)
                out[i * dim + j] = static_cast<std::decay_t<decltype(*out)>>(group_.row(panel.begin + i)[j] /
                                                                             group_.norm(panel.begin + i));
    };
    std::vector<double> units(panel.count * code_dim_);
    if (space.basis == nullptr) {
        write_units(units.data());
        return units;
    }
    std::vector<float> rows(kCodeRows * dim);
    AlignedArray<float> heads(kCodeRows * code_dim_);
    write_units(rows.data());
    space.project_heads(rows.data(), panel.count, dim, dim, *kernels_.int8, heads.data());
    std::copy_n(heads.data(), units.size(), units.data());
    return units;
}

void CodeScanner::pack(const Panel& panel) {
    const std::size_t width = code_panel_width(panel.count);
    const CodeSpace& space = item_codes_ != nullptr ? item_codes_->space : plain_space_;
    std::vector<double> units = unit_queries(panel, space);
    const float rounding = space.query_rounding(group_.dim());
    for (std::size_t i = 0; i < panel.count; ++i) {
        const std::size_t query = panel.begin + i;
        if (!group_.valid(query) || group_.norm(query) == 0.0) continue;  // codes of zero: every estimate is zero
        if (!group_.scannable(query)) {
            offset_[query] = kInfinity;
            continue;
        }
        double* coded = units.data() + i * code_dim_;
        along_mean_[query] = static_cast<float>(space.project_query(coded, group_.dim()));
        std::int8_t* out = query_codes_.data() + panel.codes + i * kCodeGroup;
        const double residual = code_kernels_.type == CodeType::int8 ? pack_int8(coded, query, out, width * kCodeGroup)
                                                                     : pack_bf16(coded, out, width * kCodeGroup);
        sigma_[query] = static_cast<float>(residual * 1.0001 + kEstimateRounding) + rounding;
        offset_[query] = along_mean_[query] + (metric_ == Metric::inner_product ? 0.0f : kScoreRounding + rounding);
    }
}

// Both write a unit query's codes, whose groups lie `step` bytes apart, and return what codes cannot say of it.
double CodeScanner::pack_int8(const double* unit, std::size_t query, std::int8_t* out, std::size_t step) {
    double largest = 0.0;
    for (std::size_t j = 0; j < code_dim_; ++j) largest = std::max(largest, std::fabs(unit[j]));
    const float scale = largest > 1e-30 ? static_cast<float>(largest) / 127.0f : 1.0f;
    const double inverse = 1.0 / static_cast<double>(scale);
    double residual = 0.0;
    std::int32_t sum = 0;
    for (std::size_t j = 0; j < code_dim_; ++j) {
        const auto code = static_cast<std::int32_t>(std::clamp(std::lrint(unit[j] * inverse), -127L, 127L));
        const double left = unit[j] - code * static_cast<double>(scale);
        residual += left * left;
        sum += code;
        out[j / kCodeGroup * step + j % kCodeGroup] = static_cast<std::int8_t>(code);
    }
    scale_[query] = scale;
    inverse_scale_[query] = 1.0f / scale;
    code_sums_[query] = sum;
    return std::sqrt(residual);
}

double CodeScanner::pack_bf16(const double* unit, std::int8_t* out, std::size_t step) const {
    double residual = 0.0;
    for (std::size_t j = 0; j < code_dim_; ++j) {
        const std::uint16_t code = bf16_of(static_cast<float>(unit[j]));
        const double left = unit[j] - static_cast<double>(float_of(code));
        residual += left * left;
        std::memcpy(out + j / 2 * step + j % 2 * sizeof code, &code, sizeof code);
    }
    return std::sqrt(residual) + bf16_sum_rounding(code_dim_);
}

CodeScanner::Worker CodeScanner::worker(std::size_t block_rows) const {
    Worker worker;
    const std::size_t blocks = block_rows / kCodeRows;
    if (item_codes_ == nullptr || item_codes_->by_row) worker.codes.reserve(blocks * code_block_bytes(row_bytes_));
    if (item_codes_ != nullptr) return worker;
    worker.encoder.emplace_back(items_, metric_, kernels_, plain_space_);
    worker.scale.reserve(blocks);
    worker.residual.reserve(blocks);
    worker.reach.reserve(blocks);
    worker.own_kinds.resize(block_rows);
    return worker;
}

std::size_t CodeScanner::tile_hits(std::size_t panel) const {
    const std::size_t width = code_panel_width(panels_[panel].count);
    return width * code_tile_blocks(width) * kCodeRows;
}

void CodeScanner::load_facts(Worker& worker, std::size_t begin, std::size_t end) const {
    const ItemCodes& codes = *item_codes_;
    const std::size_t blocks = (end - begin + kCodeRows - 1) / kCodeRows;
    worker.first_block = begin / kCodeRows;
    worker.rows = end - begin;
    worker.block = codes.blocks(worker.first_block, blocks, nullptr);
    worker.kinds = codes.kinds + begin;
    worker.next = codes.codes_of(worker.first_block + blocks);
    worker.next_bytes = end == items_.rows() ? 0 : blocks * codes.block_bytes();
    worker.unbounded.clear();
    const std::uint32_t* last = codes.unbounded + codes.unbounded_count;
    for (auto row = std::lower_bound(codes.unbounded, last, begin); row != last && *row < end; ++row)
        worker.unbounded.push_back(static_cast<std::uint32_t>(*row - begin));
}

void CodeScanner::load_codes(Worker& worker) const {
    worker.block = item_codes_->blocks(worker.first_block, worker.block.blocks, worker.codes.data());
    worker.block.prefetch_bytes = item_codes_->by_row ? 0 : kPrefetchBytes;
}

void CodeScanner::load(Worker& worker, std::size_t begin, std::size_t end) const {
    if (item_codes_ != nullptr) {
        load_facts(worker, begin, end);
        load_codes(worker);
        return;
    }
    worker.rows = end - begin;
    worker.unbounded.clear();
    const std::size_t blocks = (worker.rows + kCodeRows - 1) / kCodeRows;
    for (std::size_t b = 0; b < blocks; ++b) {
        const std::size_t first = b * kCodeRows;
        const std::size_t count = std::min(kCodeRows, worker.rows - first);
        const CodeBlock coded = worker.encoder[0].encode(code_kernels_, begin + first, count,
                                                         worker.codes.data() + b * code_block_bytes(row_bytes_),
                                                         worker.own_kinds.data() + first);
        worker.scale[b] = coded.scale;
        worker.residual[b] = coded.residual;
        worker.reach[b] = coded.reach;
        for (std::size_t i = first; i < first + count; ++i)
            if (worker.own_kinds[i] == RowKind::unbounded) worker.unbounded.push_back(static_cast<std::uint32_t>(i));
    }
    worker.kinds = worker.own_kinds.data();
    worker.block = {worker.codes.data(),
                    worker.scale.data(),
                    worker.residual.data(),
                    worker.reach.data(),
                    blocks,
                    code_groups(row_bytes_),
                    0,
                    nullptr,
                    0};
}

CodedQueries CodeScanner::queries(std::size_t panel, const float* cutoffs) const {
    const Panel& of = panels_[panel];
    return {query_codes_.data() + of.codes,   of.count,
            code_sums_.data() + of.begin,     scale_.data() + of.begin,
            inverse_scale_.data() + of.begin, sigma_.data() + of.begin,
            offset_.data() + of.begin,        cutoffs + of.begin};
}

std::size_t CodeScanner::scan(const Worker& worker, std::size_t panel, const float* cutoffs, std::size_t row, Hit* hits,
                              std::size_t capacity, std::size_t* hit_count) const {
    CodedBlocks block = worker.block;
    if (panels_.size() >= kSharingPanels && worker.next_bytes != 0) {
        // Each panel fetches its share of what most probably is read next, so that none waits for all of it.
        const std::size_t tiles = block.blocks / code_tile_blocks(kCodePanel) + 1;
        const std::size_t bytes = worker.next_bytes / panels_.size();
        block.next = worker.next + panel * bytes;
        block.next_share = (bytes / tiles + kCacheLine - 1) / kCacheLine * kCacheLine;
    }
    const std::size_t next =
        code_kernels_.scan(block, queries(panel, cutoffs), row / kCodeRows, hits, capacity, hit_count);
    return std::min(next * kCodeRows, worker.rows);
}

}  // namespace aigc_fast
