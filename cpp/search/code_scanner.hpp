// The scans of codes as the driver uses them: over an index's int8 codes, or over rows coded on the fly (int8, bf16),
// block by block, where the batch is large enough to pay for that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.hpp"
#include "base/rows.hpp"
#include "dispatch/kernels.hpp"
#include "index/item_codes.hpp"
#include "search/bounds.hpp"
#include "search/query_group.hpp"

namespace aigc_fast {

inline constexpr std::size_t kPrefetchBytes = 4096;  // ahead of a single query

class CodeScanner {
  public:
    // `codes` of int8 kernels may be null: rows are then coded on the fly. Of identical rows, no more than the first
    // `copies` are wanted.
    CodeScanner(const QueryGroup& group, const RowReader& items, Metric metric, const Kernels& kernels,
                const CodeScanKernels& code_kernels, const ItemCodes* codes, std::size_t copies, int threads);

    std::size_t panels() const { return panels_.size(); }
    std::size_t panel_begin(std::size_t panel) const { return panels_[panel].begin; }

    struct Worker {
        CodedBlocks block{};
        std::size_t first_block = 0;
        std::size_t rows = 0;
        const std::uint8_t* next = nullptr;  // what most probably is read after this block
        std::size_t next_bytes = 0;
        const RowKind* kinds = nullptr;
        std::vector<std::uint32_t> unbounded;  // rows of the block that every query must consider
        std::vector<RowEncoder> encoder;       // none or one
        AlignedArray<std::uint8_t> codes;
        AlignedArray<float> scale;
        AlignedArray<float> residual;
        AlignedArray<float> reach;
        std::vector<RowKind> own_kinds;
    };
    Worker worker(std::size_t block_rows) const;  // block_rows: a multiple of kCodeRows

    std::size_t tile_hits(std::size_t panel) const;
    void load(Worker& worker, std::size_t begin, std::size_t end) const;
    // An index's rows in two steps, for those who may do without the second: what is known of them, and their codes
    // as `scan` takes them.
    void load_facts(Worker& worker, std::size_t begin, std::size_t end) const;
    void load_codes(Worker& worker) const;
    std::size_t scan(const Worker& worker, std::size_t panel, const float* cutoffs, std::size_t row, Hit* hits,
                     std::size_t capacity, std::size_t* hit_count) const;
    CodedQueries queries(std::size_t panel, const float* cutoffs) const;
    // False for a row that is never returned, or an unwanted copy. Inline: nothing is computed where nobody asks for
    // bounds.
    bool bounds(const Worker& worker, std::size_t query, const Hit& hit, Bounds* bounds) const {
        if (hit.row >= worker.rows) return false;
        const RowKind kind = worker.kinds[hit.row];
        if (kind != RowKind::coded && (kind < RowKind::copy || kind >= first_unwanted_copy_)) return false;
        const std::size_t block = hit.row / kCodeRows;
        const float score_rounding = metric_ == Metric::inner_product ? 0.0f : kScoreRounding;
        const float allowance =
            (worker.block.residual[block] + worker.block.reach[block] * sigma_[query]) * 1.00001f + score_rounding;
        const float estimate = hit.approx + along_mean_[query];
        *bounds = offset_[query] == kUnbounded.upper ? kUnbounded : Bounds{estimate - allowance, estimate + allowance};
        return true;
    }

  private:
    // The roundings of m.q and of the canonical score, which are at most 1 for cosine and Pearson.
    static constexpr float kScoreRounding = 0x1p-21f;

    struct Panel {
        std::size_t begin;
        std::size_t count;
        std::size_t codes;  // where its codes start
    };
    void lay_out_panels();
    std::vector<double> unit_queries(const Panel& panel, const CodeSpace& space) const;
    void pack(const Panel& panel);
    double pack_int8(const double* unit, std::size_t query, std::int8_t* out, std::size_t step);
    double pack_bf16(const double* unit, std::int8_t* out, std::size_t step) const;

    const QueryGroup& group_;
    const RowReader& items_;
    Metric metric_;
    const Kernels& kernels_;
    const CodeScanKernels& code_kernels_;
    const ItemCodes* item_codes_;
    std::size_t code_dim_;
    std::size_t row_bytes_;
    CodeSpace plain_space_;
    RowKind first_unwanted_copy_ = RowKind::copy;
    std::vector<Panel> panels_;
    AlignedArray<std::int8_t> query_codes_;
    std::vector<std::int32_t> code_sums_;
    std::vector<float> scale_;
    std::vector<float> inverse_scale_;
    std::vector<float> sigma_;
    std::vector<float> along_mean_;
    std::vector<float> offset_;  // along_mean_ and what may be added to every estimate
};

}  // namespace aigc_fast
