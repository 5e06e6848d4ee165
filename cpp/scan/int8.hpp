// The int8 scan: integer dot products of codes, compared with an integer threshold for each query and block of rows.
//
// Rows come as x~ (unit rows for cosine, centred unit rows for Pearson, raw rows for the inner product), less a common
// mean m. A block of 16 rows shares a scale s: x~ - m = s*c + r with int8 codes c and |r| <= rho. A unit query is
// q = t*d + u with int8 codes d and |u| <= sigma. The integer dot product c.d is exact, and
//     | x~.q - (m.q + s*t*(c.d)) |  =  | r.q + (s*c).u |  <=  rho + reach * sigma          (Cauchy-Schwarz)
// with reach >= |s*c|. So a row can reach the cutoff only if c.d >= (cutoff - m.q - rho - reach * sigma) / (s*t): one
// integer for each query and block, at whose negative the accumulators start; what is left to do for a score is to look
// at its sign.
#pragma once

#include <cstddef>
#include <cstdint>

#include "scan/hit.hpp"

namespace aigc_fast {

inline constexpr std::size_t kCodeRows = 16;       // rows of a block, which share a scale
inline constexpr std::size_t kCodeGroup = 4;       // dimensions that one instruction multiplies and adds
inline constexpr std::size_t kMaxInt8Dim = 32768;  // the integer sums stay below 2^31
inline constexpr std::size_t kInt8Panel = 12;      // queries of a full panel
inline constexpr std::size_t kInt8Lanes = 16;      // per-query arrays of a panel are padded to this

inline std::size_t code_groups(std::size_t dim) { return (dim + kCodeGroup - 1) / kCodeGroup; }
inline std::size_t code_block_bytes(std::size_t dim) { return code_groups(dim) * kCodeGroup * kCodeRows; }

// Codes are stored as c + 128 (unsigned), in blocks [groups][16 rows][4 dimensions].
struct Int8Block {
    const std::uint8_t* codes;
    const float* scale;     // s, a block each
    const float* residual;  // rho, a block each
    const float* reach;     // a block each
    std::size_t blocks;
    std::size_t groups;
    std::size_t prefetch_bytes;  // how far ahead to fetch for few queries; 0: not at all
    const std::uint8_t* next;    // what to fetch little by little for many queries, a share at each tile of blocks
    std::size_t next_share;
};

// One panel of at most kInt8Panel queries.
struct Int8Queries {
    const std::int8_t* codes;  // [groups][width][4], width = panel_width(count)
    std::size_t count;
    const std::int32_t* code_sums;  // sum of d, which the +128 multiplies
    const float* scale;             // t
    const float* inverse_scale;     // 1 / t
    const float* sigma;             // with what float32 arithmetic may add
    const float* offset;            // m.q, and what may be added to every estimate: subtracted from cutoffs
    const float* cutoff;            // a query each; all of these padded to kInt8Lanes
};

// Panels are as wide as the kernels' tiles: 1, 4 or 12 queries.
inline std::size_t int8_panel_width(std::size_t count) { return count == 1 ? 1 : count <= 4 ? 4 : kInt8Panel; }

// The most blocks that any kernel takes at once.
inline constexpr std::size_t kMaxInt8TileBlocks = 4;
constexpr std::size_t int8_tile_blocks(std::size_t panel_width) { return panel_width == kInt8Panel ? 2 : 4; }

struct CodeBlock {
    float scale;
    float residual;
    float reach;
};

// Codes row after row, for the dot products of single pairs: [rows][stride] bytes, whatever they are beyond the groups.
inline constexpr std::size_t kRowAlignment = 64;
inline std::size_t code_row_bytes(std::size_t dim) { return (dim + kRowAlignment - 1) / kRowAlignment * kRowAlignment; }
struct Int8Rows {
    const std::uint8_t* codes;
    std::size_t stride;
};

// Heads (index/code_space.hpp): the columns of a basis are a multiple of kBasisColumns, and sums of so many products
// are added up apart, which keeps float32's error at their number and not at that of all dimensions.
inline constexpr std::size_t kBasisColumns = 32;
inline constexpr std::size_t kProjectChunk = 64;

struct Int8ScanKernels {
    // Encodes 16 float32 rows (already x~ - m, padded with zeros to whole groups; `stride` floats from row to row).
    CodeBlock (*encode)(const float* rows, std::size_t stride, std::size_t groups, std::uint8_t* codes);
    // Scans blocks from `begin`; appends hits (rows counted from the first block, approx = s*t*(c.d)) and returns the
    // block to go on with, like the float32 scan.
    std::size_t (*scan)(const Int8Block& block, const Int8Queries& queries, std::size_t begin, Hit* hits,
                        std::size_t capacity, std::size_t* hit_count);
    void (*rotate)(float* row, std::size_t dim);  // scan/rotate.hpp
    // Keeps those of the hits whose row may reach the cutoff by its own codes, with their estimates, and returns their
    // number. `query_codes` has a row for each query of the panel, as long as those of `rows`, with zeros at the end.
    std::size_t (*refine)(const Int8Rows& rows, const Int8Block& block, const Int8Queries& queries,
                          const std::int8_t* query_codes, Hit* hits, std::size_t count);
    // The first of 16 rows, `stride` floats apart, `count` or some more, times basis [dim][columns], into
    // out[16][columns].
    void (*project)(const float* rows, std::size_t count, std::size_t stride, std::size_t dim, const float* basis,
                    std::size_t columns, float* out);
};

extern const Int8ScanKernels int8_scan_scalar;
extern const Int8ScanKernels int8_scan_avx2;
extern const Int8ScanKernels int8_scan_avx_vnni;
extern const Int8ScanKernels int8_scan_avx512;
extern const Int8ScanKernels int8_scan_avx512_vnni;
extern const Int8ScanKernels int8_scan_neon;
extern const Int8ScanKernels int8_scan_neon_dotprod;

}  // namespace aigc_fast
