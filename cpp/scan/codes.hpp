// What the scans of codes (int8.hpp, bf16.hpp) share: blocks of 16 coded rows, panels of coded queries, thresholds.
//
// A row of a block is s*c + r with |r| <= rho and |s*c| <= reach, a unit query t*d + u with |u| <= sigma, where c and d
// are codes. So |x~.q - s*t*(c.d)| <= rho + reach * sigma, and a row can reach a cutoff only where c.d reaches a
// threshold. Sums start at its negative: what is left to do for a score is to look at its sign.
#pragma once

#include <cstddef>
#include <cstdint>

#include "scan/hit.hpp"

namespace aigc_fast {

enum class CodeType { int8, bf16 };

inline constexpr std::size_t kCodeRows = 16;   // rows of a block, which share a scale
inline constexpr std::size_t kCodeGroup = 4;   // bytes of a row that one instruction multiplies and adds
inline constexpr std::size_t kCodePanel = 12;  // queries of a full panel
inline constexpr std::size_t kCodeLanes = 16;  // per-query arrays of a panel are padded to this

inline std::size_t code_bytes(CodeType type) { return type == CodeType::int8 ? 1 : 2; }  // of a dimension
inline std::size_t code_groups(std::size_t bytes) { return (bytes + kCodeGroup - 1) / kCodeGroup; }
inline std::size_t code_block_bytes(std::size_t bytes) { return code_groups(bytes) * kCodeGroup * kCodeRows; }

// Blocks lie as [groups][16 rows][4 bytes].
struct CodedBlocks {
    const std::uint8_t* codes;
    const float* scale;     // s, a block each; 1 for bf16
    const float* residual;  // rho, a block each
    const float* reach;     // a block each
    std::size_t blocks;
    std::size_t groups;
    std::size_t prefetch_bytes;  // how far ahead to fetch for few queries; 0: not at all
    const std::uint8_t* next;    // what to fetch little by little for many queries, a share at each tile of blocks
    std::size_t next_share;
};

// One panel of at most kCodePanel queries.
struct CodedQueries {
    const std::int8_t* codes;  // [groups][width][4 bytes], width = panel_width(count)
    std::size_t count;
    const std::int32_t* code_sums;  // int8: sum of d, which the +128 multiplies
    const float* scale;             // t; 1 for bf16
    const float* inverse_scale;     // 1 / t
    const float* sigma;             // with what float32 arithmetic may add
    const float* offset;            // m.q, and what may be added to every estimate: subtracted from cutoffs
    const float* cutoff;            // a query each; all of these padded to kCodeLanes
};

// Panels are as wide as the kernels' tiles: 1, 4 or 12 queries.
inline std::size_t code_panel_width(std::size_t count) { return count == 1 ? 1 : count <= 4 ? 4 : kCodePanel; }

// The most blocks that any kernel takes at once.
inline constexpr std::size_t kMaxCodeTileBlocks = 4;
constexpr std::size_t code_tile_blocks(std::size_t panel_width) { return panel_width == kCodePanel ? 2 : 4; }

struct CodeBlock {
    float scale;
    float residual;
    float reach;
};

struct CodeScanKernels {
    CodeType type;
    // Encodes 16 float32 rows (already x~ - m, padded with zeros to whole groups; `stride` floats from row to row).
    CodeBlock (*encode)(const float* rows, std::size_t stride, std::size_t groups, std::uint8_t* codes);
    // Scans blocks from `begin`; appends hits (rows counted from the first block, approx = s*t*(c.d)) and returns the
    // block to go on with, like the float32 scan.
    std::size_t (*scan)(const CodedBlocks& block, const CodedQueries& queries, std::size_t begin, Hit* hits,
                        std::size_t capacity, std::size_t* hit_count);
};

}  // namespace aigc_fast
