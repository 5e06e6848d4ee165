// NumPy arrays as the library's views. The Python layer has checked shapes, ranges and meaning; here only what
// would make memory access wrong is checked again.
#pragma once

#include <pybind11/numpy.h>

#include <cstdint>
#include <optional>

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

}  // namespace aigc_fast::bindings
