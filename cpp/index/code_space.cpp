#include "index/code_space.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "scan/f32.hpp"
#include "scan/rotate.hpp"

namespace aigc_fast {
namespace {

// Rows of unit length go through at most four float32 roundings before they are coded, a rotation through 2 log d.
constexpr float kRowRounding = 0x1p-22f;
constexpr float kRotationRounding = 0x1p-18f;

// The error of a row's coordinates along all directions, relative to its length: kernels add up sums of
// kProjectChunk products (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1).
double head_rounding(std::size_t dim, std::size_t columns) {
    const double roundings = static_cast<double>(kProjectChunk + dim / kProjectChunk + 4) * 0x1p-24;
    return roundings * std::sqrt(static_cast<double>(columns)) * 1.01;
}

double squared_length(const float* x, std::size_t count) {
    constexpr std::size_t kLanes = 8;
    double lanes[kLanes] = {};
    std::size_t j = 0;
    for (; j + kLanes <= count; j += kLanes)
        for (std::size_t l = 0; l < kLanes; ++l)
            lanes[l] += static_cast<double>(x[j + l]) * static_cast<double>(x[j + l]);
    for (; j < count; ++j) lanes[0] += static_cast<double>(x[j]) * static_cast<double>(x[j]);
    return std::accumulate(lanes, lanes + kLanes, 0.0);
}

}  // namespace

void CodeSpace::project_heads(const float* rows, std::size_t count, std::size_t stride, std::size_t dim,
                              const Int8ScanKernels& kernels, float* out) const {
    kernels.project(rows, count, stride, dim, basis, columns, out);
    const double rounding = head_rounding(dim, columns);
    for (std::size_t i = 0; i < count; ++i) {
        const double all = squared_length(rows + i * stride, dim);
        const double head = squared_length(out + i * columns, columns);
        // Never below the true length: |B x|^2 may be smaller by 2 * rounding * |x|^2 than computed.
        const double left = std::max(all - head, 0.0) + 3.0 * rounding * all;
        out[i * columns + columns - 1] = static_cast<float>(std::sqrt(left));
    }
}

void CodeSpace::project_item(float* x, std::size_t dim, const Int8ScanKernels& kernels) const {
    const std::size_t coded = code_dim(dim);
    if (mean != nullptr)
        for (std::size_t j = 0; j < coded; ++j) x[j] -= mean[j];
    if (rotated) kernels.rotate(x, coded);
}

double CodeSpace::project_query(double* q, std::size_t dim) const {
    const std::size_t coded = code_dim(dim);
    double along_mean = 0.0;
    if (mean != nullptr)
        for (std::size_t j = 0; j < coded; ++j) along_mean += static_cast<double>(mean[j]) * q[j];
    if (rotated) rotate(q, coded);
    return along_mean;
}

float CodeSpace::item_rounding(std::size_t dim) const {
    return (rotated ? kRotationRounding : kRowRounding) + static_cast<float>(norm_error(dim)) + query_rounding(dim);
}

float CodeSpace::query_rounding(std::size_t dim) const {
    return basis == nullptr ? 0.0f : static_cast<float>(2.0 * head_rounding(dim, columns));
}

}  // namespace aigc_fast
