// The int8 scan's kernels, written once over the types of the file that includes this: those of code_scan_impl.hpp, and
// the vector type F32.
#pragma once

#include "scan/int8.hpp"
#include "scan/project.hpp"
#include "scan/refine.hpp"
#include "scan/rotate.hpp"

namespace {

using Sum = std::int32_t;

inline float product_limit(const aigc_fast::CodedBlocks& block, std::size_t) {
    return 16140.0f * static_cast<float>(block.groups * aigc_fast::kCodeGroup) + 4.0f;
}
constexpr float kThresholdUnits = 2.0f;

}  // namespace

#include "scan/code_scan_impl.hpp"
#include "scan/head_bounds.hpp"

namespace {

constexpr std::size_t kEncodeChunk = 64;

// The largest magnitude, found among integers: the bits of positive floats are ordered like them, and integer maxima
// vectorize without leave to reorder floating-point operations.
float largest_magnitude(const float* rows, std::size_t stride, std::size_t dim) {
    std::int32_t largest_bits = 0;
    for (std::size_t i = 0; i < kCodeRows; ++i)
        for (std::size_t j = 0; j < dim; ++j) {
            std::int32_t bits;
            __builtin_memcpy(&bits, rows + i * stride + j, sizeof bits);
            bits &= 0x7fffffff;
            largest_bits = bits > largest_bits ? bits : largest_bits;
        }
    float largest;
    __builtin_memcpy(&largest, &largest_bits, sizeof largest);
    return largest;
}

CodeBlock encode(const float* rows, std::size_t stride, std::size_t groups, std::uint8_t* codes) {
    const std::size_t dim = groups * kCodeGroup;
    const float largest = largest_magnitude(rows, stride, dim);
    const float scale = largest > 1e-30f ? largest / 127.0f : 1.0f;  // so that its inverse is finite
    const float inverse = 1.0f / scale;
    F32 left_squares_f32[kCodeRows];
    F32 code_squares_f32[kCodeRows];
    float left_squares[kCodeRows] = {};
    float code_squares[kCodeRows] = {};
    for (std::size_t i = 0; i < kCodeRows; ++i) left_squares_f32[i] = code_squares_f32[i] = F32::zero();
    for (std::size_t j = 0; j < dim; j += kEncodeChunk) {
        const std::size_t count = dim - j < kEncodeChunk ? dim - j : kEncodeChunk;
        alignas(64) std::uint8_t chunk[kCodeRows][kEncodeChunk];
        for (std::size_t i = 0; i < kCodeRows; ++i) {
            const float* x = rows + i * stride + j;
            alignas(64) float rounded[kEncodeChunk];
            for (std::size_t l = 0; l < count; ++l) rounded[l] = __builtin_rintf(x[l] * inverse);
            for (std::size_t l = 0; l < count; ++l)
                chunk[i][l] = static_cast<std::uint8_t>(static_cast<std::int32_t>(rounded[l]) + 128);
            std::size_t l = 0;
            for (; l + F32::width <= count; l += F32::width) {
                const F32 code_f32 = F32::mul(F32::load(rounded + l), F32::broadcast(scale));
                const F32 left_f32 = F32::sub(F32::load(x + l), code_f32);
                left_squares_f32[i] = F32::fma(left_f32, left_f32, left_squares_f32[i]);
                code_squares_f32[i] = F32::fma(code_f32, code_f32, code_squares_f32[i]);
            }
            for (; l < count; ++l) {
                const float code = rounded[l] * scale;
                left_squares[i] += (x[l] - code) * (x[l] - code);
                code_squares[i] += code * code;
            }
        }
        // Rows of groups become groups of rows.
        for (std::size_t g = 0; g < count / kCodeGroup; ++g)
            for (std::size_t i = 0; i < kCodeRows; ++i)
                __builtin_memcpy(codes + (j / kCodeGroup + g) * kGroupBytes + i * kCodeGroup, chunk[i] + g * kCodeGroup,
                                 kCodeGroup);
    }
    // What float32 may have lost: 2u of each |s*c| in the product and the difference, squares below its range, and the
    // roundings of the sum.
    const float lost = (0x1p-22f * largest + 0x1p-74f) * __builtin_sqrtf(static_cast<float>(dim));
    const float grown = 1.0f + static_cast<float>(dim + 16) * 0x1p-23f;
    CodeBlock block = {scale, 0.0f, 0.0f};
    for (std::size_t i = 0; i < kCodeRows; ++i) {
        const float residual = __builtin_sqrtf(left_squares[i] + left_squares_f32[i].sum()) * grown + lost;
        const float reach = __builtin_sqrtf(code_squares[i] + code_squares_f32[i].sum()) * grown + lost;
        block.residual = residual > block.residual ? residual : block.residual;
        block.reach = reach > block.reach ? reach : block.reach;
    }
    return block;
}

constexpr aigc_fast::Int8ScanKernels kInt8ScanKernels = {
    {aigc_fast::CodeType::int8, encode, scan}, rotate<float>, refine, bound, reaching, project};

}  // namespace
