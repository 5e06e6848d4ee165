#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "bindings/arrays.hpp"
#include "bindings/interpreter_lock.hpp"

namespace aigc_fast::bindings {
namespace {

void bind_similarity(const py::array& a, const py::array& b, const std::string& metric, int num_threads,
                     py::array& out) {
    const Matrix a_matrix = as_matrix(a, "a");
    const Matrix b_matrix = as_matrix(b, "b");
    const Metric by = as_metric(metric);
    void* scores = out.mutable_data();
    const LockReleased unlocked;
    similarity(a_matrix, b_matrix, by, num_threads, scores);
}

void bind_normalize(const py::array& x, int num_threads, py::array& out, std::optional<py::array>& norms) {
    const Matrix matrix = as_matrix(x, "x");
    void* rows = out.mutable_data();
    void* norms_data = norms ? norms->mutable_data() : nullptr;
    const LockReleased unlocked;
    normalize(matrix, num_threads, rows, norms_data);
}

}  // namespace

void register_dense(py::module_& module) {
    module.def("similarity", &bind_similarity, py::arg("a"), py::arg("b"), py::arg("metric"), py::arg("num_threads"),
               py::arg("out"), "Write all canonical scores into out.");
    module.def("normalize", &bind_normalize, py::arg("x"), py::arg("num_threads"), py::arg("out"), py::arg("norms"),
               "Write the rows divided by their norms into out, and the norms.");
}

}  // namespace aigc_fast::bindings
