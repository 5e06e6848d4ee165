// The int8 scan: integer dot products of codes, compared with an integer threshold for each query and block of rows.
//
// Rows come as x~ (unit rows for cosine, centred unit rows for Pearson, raw rows for the inner product), less a common
// mean m. A block of 16 rows shares a scale s: x~ - m = s*c + r with int8 codes c and |r| <= rho. A unit query is
// q = t*d + u with int8 codes d and |u| <= sigma. The integer dot product c.d is exact, and
//     | x~.q - (m.q + s*t*(c.d)) |  =  | r.q + (s*c).u |  <=  rho + reach * sigma          (Cauchy-Schwarz)
// with reach >= |s*c|. So a row can reach the cutoff only if c.d >= (cutoff - m.q - rho - reach * sigma) / (s*t): one
// integer for each query and block. Codes are stored as c + 128 (unsigned).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "scan/codes.hpp"

namespace aigc_fast {

inline constexpr std::size_t kMaxInt8Dim = 32768;  // the integer sums stay below 2^31

// Codes row after row, for the dot products of single pairs: [rows][stride] bytes, whatever they are beyond the groups.
inline constexpr std::size_t kRowAlignment = 64;  // divides the stride
struct Int8Rows {
    const std::uint8_t* codes;
    std::size_t stride;
};

// Heads (index/code_space.hpp): the columns of a basis are a multiple of kBasisColumns, and sums of so many products
// are added up apart, which keeps float32's error at their number and not at that of all dimensions.
inline constexpr std::size_t kBasisColumns = 32;
inline constexpr std::size_t kProjectChunk = 64;

// Stands in the place of a row's bound.
inline constexpr float kTakenRow = -std::numeric_limits<float>::infinity();

struct Int8ScanKernels : CodeScanKernels {
    void (*rotate)(float* row, std::size_t dim);  // scan/rotate.hpp
    // Keeps those of the hits whose row may reach the cutoff by its own codes, with their estimates, and returns their
    // number. `query_codes` has a row for each query of the panel, as long as those of `rows`, with zeros at the end.
    std::size_t (*refine)(const Int8Rows& rows, const CodedBlocks& block, const CodedQueries& queries,
                          const std::int8_t* query_codes, Hit* hits, std::size_t count);
    // For a panel of one query: what no row's score exceeds by these codes, in the units of cutoffs; whole blocks.
    void (*bound)(const CodedBlocks& block, const CodedQueries& query, float* bounds);
    // Of [begin, end), whole blocks: the rows whose bound is not below the cutoff and that are not kTakenRow. Returns
    // where it stopped; `rows` has room for `capacity` of them.
    std::size_t (*reaching)(const float* bounds, std::size_t begin, std::size_t end, float cutoff, std::size_t capacity,
                            std::uint32_t* rows, std::size_t* count);
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
