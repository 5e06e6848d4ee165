// NumPy arrays as the library's views. The Python layer has checked shapes, ranges and meaning; here only what
// would make memory access wrong is checked again.
#pragma once

#include <pybind11/numpy.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "aigc_fast/aigc_fast.hpp"

namespace aigc_fast::bindings {

namespace py = pybind11;

using Int64Array = py::array_t<std::int64_t, py::array::c_style>;
using Float64Array = py::array_t<double, py::array::c_style>;

// float16, float32, float64 and int8 arrays; uint16 arrays hold the bits of bfloat16, which NumPy lacks.
Matrix as_matrix(const py::array& array, const char* name);

Metric as_metric(const std::string& name);

// The pointer of an optional array, nullptr for None.
template <class Array>
const typename Array::value_type* data_or_null(const std::optional<Array>& array) {
    return array ? array->data() : nullptr;
}

// The vector's memory as an array, without a copy.
template <class T, class Allocator>
py::array_t<T, py::array::c_style> adopt(std::vector<T, Allocator>&& values) {
    using Vector = std::vector<T, Allocator>;
    auto owner = std::make_unique<Vector>(std::move(values));
    const py::capsule free(owner.get(), [](void* vector) { delete static_cast<Vector*>(vector); });
    const Vector& kept = *owner.release();  // the capsule's from here on
    return py::array_t<T, py::array::c_style>(static_cast<py::ssize_t>(kept.size()), kept.data(), free);
}

}  // namespace aigc_fast::bindings
