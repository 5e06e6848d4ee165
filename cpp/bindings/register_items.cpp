#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "base/rows.hpp"
#include "bindings/item_set.hpp"

namespace aigc_fast::bindings {
namespace {

void check_size(const py::array& array, std::size_t size, const char* name) {
    if (static_cast<std::size_t>(array.size()) != size)
        throw std::invalid_argument(std::string(name) + " must have " + std::to_string(size) + " elements, got " +
                                    std::to_string(array.size()));
}

}  // namespace

CodeArrays::CodeArrays(std::size_t rows, std::size_t dim, const std::string& metric, std::optional<Array<float>> mean,
                       bool rotated, Array<std::uint8_t> codes, Array<float> scale, Array<float> residual,
                       Array<float> reach, Array<std::uint8_t> kinds)
    : mean_(std::move(mean)),
      codes_(std::move(codes)),
      scale_(std::move(scale)),
      residual_(std::move(residual)),
      reach_(std::move(reach)),
      kinds_(std::move(kinds)) {
    if (dim > kMaxInt8Dim) throw std::invalid_argument("rows have too many columns for int8 codes");
    const std::size_t blocks = code_blocks(rows);
    if (mean_) check_size(*mean_, dim, "mean");
    check_size(codes_, blocks * code_block_bytes(dim), "codes");
    check_size(scale_, blocks, "scale");
    check_size(residual_, blocks, "residual");
    check_size(reach_, blocks, "reach");
    check_size(kinds_, rows, "kinds");
    std::vector<std::uint32_t> unbounded;
    for (std::size_t i = 0; i < rows; ++i)
        if (kinds_.data()[i] == static_cast<std::uint8_t>(RowKind::unbounded))
            unbounded.push_back(static_cast<std::uint32_t>(i));
    unbounded_ = Array<std::uint32_t>(static_cast<py::ssize_t>(unbounded.size()), unbounded.data());
    view_ = {as_metric(metric),
             rows,
             dim,
             {mean_ ? mean_->data() : nullptr, rotated},
             codes_.data(),
             scale_.data(),
             residual_.data(),
             reach_.data(),
             reinterpret_cast<const RowKind*>(kinds_.data()),
             unbounded_.data(),
             unbounded.size()};
}

CodeArrays CodeArrays::encode(const py::array& rows, const std::optional<Int64Array>& ids, const std::string& metric,
                              int num_threads, const std::optional<Progress>& progress) {
    const Matrix matrix = as_matrix(rows, "rows");
    if (ids) check_size(*ids, matrix.rows, "ids");
    const Metric by = as_metric(metric);
    const auto blocks = static_cast<py::ssize_t>(code_blocks(matrix.rows));
    Array<float> mean(static_cast<py::ssize_t>(matrix.cols));
    Array<std::uint8_t> codes(blocks * static_cast<py::ssize_t>(code_block_bytes(matrix.cols)));
    Array<float> scale(blocks);
    Array<float> residual(blocks);
    Array<float> reach(blocks);
    Array<std::uint8_t> kinds(static_cast<py::ssize_t>(matrix.rows));
    const std::int64_t* ids_data = data_or_null(ids);
    float* mean_data = mean.mutable_data();
    std::uint8_t* codes_data = codes.mutable_data();
    float* scale_data = scale.mutable_data();
    float* residual_data = residual.mutable_data();
    float* reach_data = reach.mutable_data();
    auto* kinds_data = reinterpret_cast<RowKind*>(kinds.mutable_data());
    const auto checkpoint = [&](std::size_t rows_done) {
        const py::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        if (progress) (*progress)(rows_done);
    };
    CodeSpace space;
    {
        const py::gil_scoped_release release;
        const RowReader reader(matrix);
        space = choose_code_space(reader, by, mean_data);
        encode_items(reader, ids_data, by, space, num_threads, codes_data, scale_data, residual_data, reach_data,
                     kinds_data, checkpoint);
    }
    std::optional<Array<float>> used_mean;
    if (space.mean != nullptr) used_mean = mean;
    return {matrix.rows, matrix.cols, metric, used_mean, space.rotated, codes, scale, residual, reach, kinds};
}

py::typing::Dict<py::str, py::array> CodeArrays::arrays() const {
    py::typing::Dict<py::str, py::array> arrays;
    if (mean_) arrays["mean"] = *mean_;
    arrays["codes"] = codes_;
    arrays["scale"] = scale_;
    arrays["residual"] = residual_;
    arrays["reach"] = reach_;
    arrays["kinds"] = kinds_;
    return arrays;
}

ItemSet::ItemSet(const py::array& rows, std::optional<Int64Array> ids, std::optional<std::shared_ptr<CodeArrays>> codes,
                 std::optional<Array<std::uint32_t>> removed_at, std::uint32_t version, std::size_t removed_count)
    : rows_(rows),
      matrix_(as_matrix(rows, "items")),
      ids_(std::move(ids)),
      codes_(codes ? *codes : nullptr),
      removed_at_(std::move(removed_at)),
      version_(version),
      removed_count_(removed_count) {
    if (ids_) check_size(*ids_, matrix_.rows, "ids");
    if (removed_at_ && static_cast<std::size_t>(removed_at_->size()) < matrix_.rows)
        throw std::invalid_argument("removed_at is shorter than items");
    if (codes_ && (codes_->view().rows != matrix_.rows || codes_->view().dim != matrix_.cols))
        throw std::invalid_argument("codes belong to other items");
}

void ItemSet::add_to(SearchOptions& options) const {
    options.ids = data_or_null(ids_);
    options.codes = codes_ ? &codes_->view() : nullptr;
    if (options.codes != nullptr && options.codes->metric != options.metric)
        throw std::invalid_argument("codes belong to another metric");
    options.filter.removed_at = data_or_null(removed_at_);
    options.filter.version = version_;
    options.filter.removed_count = removed_count_;
}

void register_items(py::module_& module) {
    module.attr("MAX_CODED_COLUMNS") = kMaxInt8Dim;
    py::class_<CodeArrays, std::shared_ptr<CodeArrays>>(module, "ItemCodes",
                                                        "int8 codes of rows, with the bounds that keep scans exact.")
        .def(py::init<std::size_t, std::size_t, const std::string&, std::optional<Array<float>>, bool,
                      Array<std::uint8_t>, Array<float>, Array<float>, Array<float>, Array<std::uint8_t>>(),
             py::arg("rows"), py::arg("dim"), py::arg("metric"), py::arg("mean"), py::arg("rotated"), py::arg("codes"),
             py::arg("scale"), py::arg("residual"), py::arg("reach"), py::arg("kinds"), "Codes from stored arrays.")
        .def_static("encode", &CodeArrays::encode, py::arg("rows"), py::arg("ids"), py::arg("metric"),
                    py::arg("num_threads"), py::arg("progress") = py::none(),
                    "Encode rows, in the space with the smallest residuals on a sample.")
        .def("arrays", &CodeArrays::arrays, "The arrays, by name; mean only where the space is centred.")
        .def_property_readonly(
            "rotated", [](const CodeArrays& codes) { return codes.view().space.rotated; },
            "Whether the code space is rotated.");
    py::class_<ItemSet>(module, "ItemSet", "Rows, and what an index knows of them.")
        .def(py::init<const py::array&>(), py::arg("rows"))
        .def(py::init<const py::array&, std::optional<Int64Array>, std::optional<std::shared_ptr<CodeArrays>>,
                      std::optional<Array<std::uint32_t>>, std::uint32_t, std::size_t>(),
             py::arg("rows"), py::arg("ids"), py::arg("codes"), py::arg("removed_at"), py::arg("version"),
             py::arg("removed_count"));
}

}  // namespace aigc_fast::bindings
