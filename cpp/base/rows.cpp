#include "base/rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace aigc_fast {
namespace {

std::size_t size_of(DType dtype) {
    switch (dtype) {
        case DType::f64:
            return 8;
        case DType::f32:
            return 4;
        case DType::f16:
        case DType::bf16:
            return 2;
        case DType::i8:
            return 1;
    }
    return 0;
}

float from_bits(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

struct Half {
    std::uint16_t bits;
    explicit operator float() const {
        const std::uint32_t sign = (bits & 0x8000u) << 16;
        const std::uint32_t magnitude = bits & 0x7fffu;
        if (magnitude >= 0x7c00u) return from_bits(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
        // Shifting the exponent into place scales by 2^-112, subnormal halves included.
        return from_bits(sign | (magnitude << 13)) * 0x1p112f;
    }
};

struct BFloat16 {
    std::uint16_t bits;
    explicit operator float() const { return from_bits(static_cast<std::uint32_t>(bits) << 16); }
};

template <class T, class Out>
void copy_strided(const char* from, std::size_t count, std::ptrdiff_t stride, Out* out) {
    for (std::size_t j = 0; j < count; ++j) {
        T element;  // memcpy: the caller's elements may be unaligned
        std::memcpy(&element, from + static_cast<std::ptrdiff_t>(j) * stride, sizeof element);
        if constexpr (sizeof(T) == 2)
            out[j] = static_cast<Out>(static_cast<float>(element));
        else
            out[j] = static_cast<Out>(element);
    }
}

template <class T, class Out>
void copy(const char* from, std::size_t count, std::ptrdiff_t stride, Out* out) {
    if (stride == sizeof(T)) return copy_strided<T>(from, count, sizeof(T), out);  // a constant: vectorizable
    copy_strided<T>(from, count, stride, out);
}

template <class Out>
void copy_row(const Matrix& matrix, const char* from, Out* out) {
    switch (matrix.dtype) {
        case DType::f32:
            return copy<float>(from, matrix.cols, matrix.col_stride, out);
        case DType::f64:
            return copy<double>(from, matrix.cols, matrix.col_stride, out);
        case DType::f16:
            return copy<Half>(from, matrix.cols, matrix.col_stride, out);
        case DType::bf16:
            return copy<BFloat16>(from, matrix.cols, matrix.col_stride, out);
        case DType::i8:
            return copy<std::int8_t>(from, matrix.cols, matrix.col_stride, out);
    }
}

}  // namespace

RowReader::RowReader(const Matrix& matrix) : matrix_(matrix) {
    const auto size = static_cast<std::ptrdiff_t>(size_of(matrix.dtype));
    const bool aligned = reinterpret_cast<std::uintptr_t>(matrix.data) % static_cast<std::uintptr_t>(size) == 0 &&
                         matrix.row_stride % size == 0;
    contiguous_ = aligned && (matrix.cols <= 1 || matrix.col_stride == size);
}

void RowReader::copy_f64(std::size_t row, double* out) const { copy_row(matrix_, at(row), out); }

void RowReader::copy_f32(std::size_t row, float* out) const {
    if (matrix_.dtype != DType::f64) return copy_row(matrix_, at(row), out);
    double largest = 0.0;
    const char* from = at(row);
    for (std::size_t j = 0; j < matrix_.cols; ++j, from += matrix_.col_stride) {
        double element;
        std::memcpy(&element, from, sizeof element);
        if (std::isfinite(element)) largest = std::max(largest, std::fabs(element));
        out[j] = static_cast<float>(std::clamp(element, -0x1p100, 0x1p100));
        if (std::isinf(element)) out[j] = std::numeric_limits<float>::infinity();
    }
    if (largest > 0x1p60 || (largest > 0.0 && largest < 0x1p-60))
        for (std::size_t j = 0; j < matrix_.cols; ++j)
            if (std::isfinite(out[j])) out[j] = 0x1p100f;
}

}  // namespace aigc_fast
