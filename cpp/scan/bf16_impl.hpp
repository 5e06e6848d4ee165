// The bf16 scan's kernels, written once over the types of the file that includes this: those of code_scan_impl.hpp, the
// vector type F32, and
//   kEncodeChunk    dimensions that encode_chunk takes at a time
//   encode_chunk    writes the codes of that many dimensions (or fewer, an even number) of 16 rows; adds the squares of
//                   what rounding leaves, and of codes, to a vector a row
#pragma once

#include "scan/bf16.hpp"

namespace {

using Sum = float;

constexpr Sum kCodeOffset = 0.0f;
inline float product_limit(const aigc_fast::CodedBlocks& block, std::size_t index) {
    return 2.0f * block.reach[index] + 0x1p-100f;
}
constexpr float kThresholdUnits = 0x1p-100f;  // what subnormal numbers may lose

}  // namespace

#include "scan/code_scan_impl.hpp"

namespace {

CodeBlock encode(const float* rows, std::size_t stride, std::size_t groups, std::uint8_t* codes) {
    const std::size_t dim = groups * 2;
    F32 left_squares[kCodeRows];
    F32 code_squares[kCodeRows];
    for (std::size_t i = 0; i < kCodeRows; ++i) left_squares[i] = code_squares[i] = F32::zero();
    for (std::size_t j = 0; j < dim; j += kEncodeChunk)
        encode_chunk(rows + j, stride, dim - j < kEncodeChunk ? dim - j : kEncodeChunk, codes + j / 2 * kGroupBytes,
                     left_squares, code_squares);
    // What float32 may have lost: squares below its range, and the roundings of the sums. x - c is exact.
    const float lost = 0x1p-74f * __builtin_sqrtf(static_cast<float>(dim));
    const float grown = 1.0f + static_cast<float>(dim + 16) * 0x1p-23f;
    CodeBlock block = {1.0f, 0.0f, 0.0f};
    for (std::size_t i = 0; i < kCodeRows; ++i) {
        const float residual = __builtin_sqrtf(left_squares[i].sum()) * grown + lost;
        const float reach = __builtin_sqrtf(code_squares[i].sum()) * grown + lost;
        block.residual = residual > block.residual ? residual : block.residual;
        block.reach = reach > block.reach ? reach : block.reach;
    }
    return block;
}

constexpr aigc_fast::CodeScanKernels kBf16ScanKernels = {aigc_fast::CodeType::bf16, encode, scan};

}  // namespace
