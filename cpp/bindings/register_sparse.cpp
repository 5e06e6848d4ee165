#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "aigc_fast/sparse.hpp"
#include "bindings/arrays.hpp"
#include "bindings/interpreter_lock.hpp"

namespace aigc_fast::bindings {
namespace {

// The arrays of a SciPy matrix; holds on to them.
class SparseRows {
  public:
    SparseRows(const py::array& indptr, const py::array& columns, const py::array& values, std::size_t cols)
        : indptr_(indptr), columns_(columns), values_(values) {
        const bool narrow = py::isinstance<py::array_t<std::int32_t>>(columns);
        const bool single = py::isinstance<py::array_t<float>>(values);
        if (!(narrow || py::isinstance<py::array_t<std::int64_t>>(columns)) ||
            columns.itemsize() != indptr.itemsize() || !(single || py::isinstance<py::array_t<double>>(values)))
            throw std::invalid_argument("a sparse matrix has dtypes that the kernels do not take");
        if (indptr.size() == 0 || columns.size() != values.size())
            throw std::invalid_argument("a sparse matrix has arrays of lengths that do not belong together");
        view_.values = values.data();
        view_.dtype = single ? DType::f32 : DType::f64;
        view_.columns = columns.data();
        view_.indptr = indptr.data();
        view_.wide = !narrow;
        view_.rows = static_cast<std::size_t>(indptr.size()) - 1;
        view_.cols = cols;
    }

    const CsrMatrix& view() const { return view_; }

  private:
    py::array indptr_;
    py::array columns_;
    py::array values_;
    CsrMatrix view_;
};

py::typing::Tuple<Int64Array, Int64Array, Float64Array> bind_sparse_topk(
    const SparseRows& queries, const SparseRows& items, std::size_t k, const std::optional<Float64Array>& thresholds,
    const std::string& metric, double shrink, std::size_t min_overlap, bool exclude_self, int num_threads) {
    SparseOptions options;
    options.metric = as_metric(metric);
    options.k = k;
    options.thresholds = data_or_null(thresholds);
    options.shrink = shrink;
    options.min_overlap = min_overlap;
    options.exclude_self = exclude_self;
    options.num_threads = num_threads;
    options.checkpoint = check_signals;
    ThresholdHits hits;
    {
        const LockReleased unlocked;
        hits = sparse_topk(queries.view(), items.view(), options);
    }
    return py::make_tuple(adopt(std::move(hits.indptr)), adopt(std::move(hits.ids)), adopt(std::move(hits.scores)));
}

}  // namespace

void register_sparse(py::module_& module) {
    py::class_<SparseRows>(module, "SparseRows", "The arrays of a CSR matrix.")
        .def(py::init<const py::array&, const py::array&, const py::array&, std::size_t>(), py::arg("indptr"),
             py::arg("columns"), py::arg("values"), py::arg("cols"));
    module.def("sparse_topk", &bind_sparse_topk, py::arg("queries"), py::arg("items"), py::arg("k"),
               py::arg("thresholds"), py::arg("metric"), py::arg("shrink"), py::arg("min_overlap"),
               py::arg("exclude_self"), py::arg("num_threads"),
               "The best k items of each query among those that share columns with it: (indptr, ids, float64 scores).");
    module.def(
        "override_sparse_plan",
        [](int way, bool no_integers, std::size_t block_rows) {
            override_sparse_plan({static_cast<SparseWay>(way), no_integers, block_rows});
        },
        py::arg("way") = 0, py::arg("no_integers") = false, py::arg("block_rows") = 0,
        "For tests: make small inputs take the ways of large ones (1: queries one by one, 2: panels, 3: panels that "
        "score a pair once for both); without "
        "arguments, let "
        "the planner choose again.");
}

}  // namespace aigc_fast::bindings
