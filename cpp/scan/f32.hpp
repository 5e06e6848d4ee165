// The float32 scan: approximate scores of a block of item rows, with a rigorous error bound.
//
// A query comes as the unit vector q^ (float32). For item row x the scan computes, in float32,
//     approx = (x . q^) * scale(x)       and promises       |approx - score| <= epsilon(q) * slack(x),
// scores in units where the query has norm one. (scale, slack) is (1/|x|, 1) for cosine, (1, |x|) for the inner
// product, (1/|x-mean|, |x|/|x-mean|) for Pearson; docs/architecture.md has the proof. Where float32 cannot promise
// anything (extreme norms, almost constant rows) slack is infinite; a row with NaN or an infinity has slack NaN.
// A row is a hit unless its upper bound is certainly below the query's cutoff.
#pragma once

#include <cstddef>
#include <cstdint>

#include "aigc_fast/aigc_fast.hpp"
#include "scan/hit.hpp"

namespace aigc_fast {

struct F32Block {
    const float* rows;
    std::ptrdiff_t stride;  // floats from row to row
    std::size_t count;
    std::size_t dim;
    float* scale;  // a row each, written by measure (scan_few needs no measure, and writes slack itself)
    float* slack;
};

struct F32Queries {
    const float* vectors;  // scan_panel: [dim][width], one query a column; scan_few: [count][dim]
    std::size_t count;     // scan_panel: at most 2 * kernel width; scan_few: at most kFewQueries
    const float* cutoff;   // a query each, padded to the panel's width
    const float* epsilon;
};

// Lower bounds of the scores of all rows and some queries of a panel.
struct LowerBounds {
    const float* values;  // of one query beside the next, of one row after another
    std::size_t stride;   // from row to row
    std::size_t queries;
    const float* slack;  // a row each
    std::size_t rows;
};

struct BoundedRow {
    float lower;
    std::uint32_t row;
};

// What `measure` may get wrong of a norm, relative to it: the root of a float32 sum of squares, itself at least four
// sums of every fourth term or fewer (Higham, as in docs/architecture.md), halves that sum's error; this is twice as
// much.
constexpr double norm_error(std::size_t dim) { return (static_cast<double>(dim) / 4.0 + 16.0) * 0x1p-24; }

inline constexpr std::size_t kFewQueries = 4;
inline constexpr std::size_t kScanTileRows = 12;   // most rows that one register tile of any kernel takes
inline constexpr std::size_t kMaxPanelWidth = 32;  // widest panel of any kernel

struct F32ScanKernels {
    std::size_t width;  // float lanes; a panel is this wide, or twice for more queries
    void (*measure)(const F32Block& block, Metric metric);
    // Both scan rows from `begin`, append hits and return the row to go on with: block.count, or less when `hits`
    // has no room for another tile. The caller then handles the hits, which may raise the cutoffs.
    std::size_t (*scan_panel)(const F32Block& block, const F32Queries& queries, std::size_t begin, Hit* hits,
                              std::size_t capacity, std::size_t* hit_count);
    std::size_t (*scan_few)(const F32Block& block, const F32Queries& queries, Metric metric, std::size_t begin,
                            Hit* hits, std::size_t capacity, std::size_t* hit_count);
    // Keeps what scan_panel would have compared: lower[row * panel width + query] = approx - epsilon * slack.
    void (*bound_panel)(const F32Block& block, const F32Queries& queries, float* lower);
    // Appends the rows of `bounds` that reach a query's cutoff with `spread` * slack above their lower bound.
    void (*collect)(const LowerBounds& bounds, const float* cutoffs, const float* spreads, BoundedRow* const* rows,
                    std::size_t* counts);
};

extern const F32ScanKernels f32_scan_scalar;
extern const F32ScanKernels f32_scan_avx2;
extern const F32ScanKernels f32_scan_avx512;
extern const F32ScanKernels f32_scan_neon;

}  // namespace aigc_fast
