// Reads the rows of a caller's matrix, whatever its type and strides, as float32 or float64.
#pragma once

#include <cstddef>

#include "aigc_fast/aigc_fast.hpp"

namespace aigc_fast {

class RowReader {
  public:
    explicit RowReader(const Matrix& matrix);

    std::size_t rows() const { return matrix_.rows; }
    std::size_t dim() const { return matrix_.cols; }
    DType dtype() const { return matrix_.dtype; }

    // Where rows lie in memory as contiguous aligned elements of T (float or double), kernels read them in place.
    template <class T>
    const T* in_place(std::size_t row) const {
        return reinterpret_cast<const T*>(at(row));
    }
    bool in_place_f32() const { return contiguous_ && matrix_.dtype == DType::f32; }
    bool in_place_f64() const { return contiguous_ && matrix_.dtype == DType::f64; }
    std::ptrdiff_t row_stride_bytes() const { return matrix_.row_stride; }

    void copy_f64(std::size_t row, double* out) const;  // always exact

    // Exact for all types but float64, whose elements are rounded. A float64 row that float32 cannot hold is filled
    // with a value that every scan takes for an extreme row, which the canonical score then decides.
    void copy_f32(std::size_t row, float* out) const;

  private:
    const char* at(std::size_t row) const {
        return static_cast<const char*>(matrix_.data) + static_cast<std::ptrdiff_t>(row) * matrix_.row_stride;
    }

    Matrix matrix_;
    bool contiguous_;
};

}  // namespace aigc_fast
