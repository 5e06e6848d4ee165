#include "bindings/arrays.hpp"

#include <stdexcept>
#include <string>

namespace aigc_fast::bindings {

Matrix as_matrix(const py::array& array, const char* name) {
    if (array.ndim() != 2) throw std::invalid_argument(std::string(name) + " must have two dimensions");
    Matrix matrix;
    matrix.data = array.data();
    matrix.rows = static_cast<std::size_t>(array.shape(0));
    matrix.cols = static_cast<std::size_t>(array.shape(1));
    matrix.row_stride = array.strides(0);
    matrix.col_stride = array.strides(1);
    const py::dtype dtype = array.dtype();
    const char kind = dtype.kind();
    const auto size = dtype.itemsize();
    if (kind == 'f' && size == 4)
        matrix.dtype = DType::f32;
    else if (kind == 'f' && size == 8)
        matrix.dtype = DType::f64;
    else if (kind == 'f' && size == 2)
        matrix.dtype = DType::f16;
    else if (kind == 'u' && size == 2)
        matrix.dtype = DType::bf16;
    else if (kind == 'i' && size == 1)
        matrix.dtype = DType::i8;
    else
        throw std::invalid_argument(std::string(name) + " has a dtype that the kernels do not take");
    return matrix;
}

Metric as_metric(const std::string& name) {
    if (name == "cosine") return Metric::cosine;
    if (name == "inner_product") return Metric::inner_product;
    if (name == "pearson") return Metric::pearson;
    throw std::invalid_argument("metric must be 'cosine', 'inner_product' or 'pearson', got '" + name + "'");
}

}  // namespace aigc_fast::bindings
