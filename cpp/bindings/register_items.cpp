#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/aligned.hpp"
#include "base/rows.hpp"
#include "bindings/interpreter_lock.hpp"
#include "bindings/item_set.hpp"
#include "scan/int8.hpp"
#include "search/cascade_scanner.hpp"

namespace aigc_fast::bindings {
namespace {

void check_size(const py::array& array, std::size_t size, const char* name) {
    if (static_cast<std::size_t>(array.size()) != size)
        throw std::invalid_argument(std::string(name) + " must have " + std::to_string(size) + " elements, got " +
                                    std::to_string(array.size()));
}

std::size_t columns_of(const Array<float>& basis, std::size_t dim) {
    if (basis.ndim() != 2 || static_cast<std::size_t>(basis.shape(0)) != dim || basis.shape(1) == 0 ||
        static_cast<std::size_t>(basis.shape(1)) % kBasisColumns != 0)
        throw std::invalid_argument("basis must have a row for each of the " + std::to_string(dim) +
                                    " dimensions and a multiple of " + std::to_string(kBasisColumns) + " columns");
    return static_cast<std::size_t>(basis.shape(1));
}

// Codes are read a cache line at a time, and NumPy's large arrays begin 16 bytes after the start of one.
Array<std::uint8_t> aligned_bytes(py::ssize_t count) {
    const Array<std::uint8_t> memory(count + static_cast<py::ssize_t>(kCacheLine));
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    const std::size_t skipped = (kCacheLine - address % kCacheLine) % kCacheLine;
    return Array<std::uint8_t>(count, memory.data() + skipped, memory);
}

}  // namespace

CodeArrays::CodeArrays(std::size_t rows, std::size_t dim, const std::string& metric, std::optional<Array<float>> mean,
                       bool rotated, Array<std::uint8_t> codes, Array<float> scale, Array<float> residual,
                       Array<float> reach, Array<std::uint8_t> kinds, std::optional<Array<float>> basis, bool by_row)
    : mean_(std::move(mean)),
      basis_(std::move(basis)),
      codes_(std::move(codes)),
      scale_(std::move(scale)),
      residual_(std::move(residual)),
      reach_(std::move(reach)),
      kinds_(std::move(kinds)) {
    if (dim > kMaxInt8Dim) throw std::invalid_argument("rows have too many columns for int8 codes");
    const std::size_t blocks = code_blocks(rows);
    CodeSpace space;
    space.rotated = rotated;
    if (basis_) {
        space.basis = basis_->data();
        space.columns = columns_of(*basis_, dim);
    }
    const std::size_t code_dim = space.code_dim(dim);
    if (mean_) {
        check_size(*mean_, code_dim, "mean");
        space.mean = mean_->data();
    }
    view_.metric = as_metric(metric);
    view_.rows = rows;
    view_.dim = dim;
    view_.space = space;
    view_.by_row = by_row;
    check_size(codes_, blocks * view_.block_bytes(), "codes");
    check_size(scale_, blocks, "scale");
    check_size(residual_, blocks, "residual");
    check_size(reach_, blocks, "reach");
    check_size(kinds_, rows, "kinds");
    std::vector<std::uint32_t> unbounded;
    RowKind last_copy = RowKind::coded;
    for (std::size_t i = 0; i < rows; ++i) {
        const auto kind = static_cast<RowKind>(kinds_.data()[i]);
        if (kind == RowKind::unbounded) unbounded.push_back(static_cast<std::uint32_t>(i));
        if (kind >= RowKind::copy) last_copy = std::max(last_copy, kind);
    }
    unbounded_ = Array<std::uint32_t>(static_cast<py::ssize_t>(unbounded.size()), unbounded.data());
    view_.codes = codes_.data();
    view_.scale = scale_.data();
    view_.residual = residual_.data();
    view_.reach = reach_.data();
    view_.kinds = reinterpret_cast<const RowKind*>(kinds_.data());
    view_.unbounded = unbounded_.data();
    view_.unbounded_count = unbounded.size();
    view_.most_copies = copies_before(last_copy);
}

CodeArrays CodeArrays::encode(const py::array& rows, const std::optional<Int64Array>& ids, const std::string& metric,
                              int num_threads, const std::optional<Progress>& progress,
                              std::optional<Array<float>> basis) {
    const Matrix matrix = as_matrix(rows, "rows");
    if (ids) check_size(*ids, matrix.rows, "ids");
    const Metric by = as_metric(metric);
    CodeSpace space;
    if (basis) {
        space.basis = basis->data();
        space.columns = columns_of(*basis, matrix.cols);
    }
    const std::size_t code_dim = space.code_dim(matrix.cols);
    const auto blocks = static_cast<py::ssize_t>(code_blocks(matrix.rows));
    Array<float> mean(static_cast<py::ssize_t>(code_dim));
    Array<std::uint8_t> codes = aligned_bytes(blocks * static_cast<py::ssize_t>(code_block_bytes(code_dim)));
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
        check_signals();
        if (!progress) return;
        const LockTaken lock;
        (*progress)(rows_done);
    };
    {
        const LockReleased unlocked;
        const RowReader reader(matrix);
        space = choose_code_space(reader, by, space, mean_data);
        encode_items(reader, ids_data, by, space, num_threads, codes_data, scale_data, residual_data, reach_data,
                     kinds_data, checkpoint);
    }
    std::optional<Array<float>> used_mean;
    if (space.mean != nullptr) used_mean = mean;
    return {matrix.rows, matrix.cols, metric, used_mean, space.rotated, codes,
            scale,       residual,    reach,  kinds,     basis,         false};
}

std::shared_ptr<CodeArrays> CodeArrays::with_head(std::shared_ptr<CodeArrays> head, float survivors,
                                                  int num_threads) const {
    const ItemCodes& codes = head->view();
    if (codes.space.basis == nullptr || codes.rows != view_.rows || codes.dim != view_.dim ||
        codes.metric != view_.metric)
        throw std::invalid_argument("head must be coded with a basis, from the same rows and for the same metric");
    auto result = std::make_shared<CodeArrays>(*this);
    if (!view_.by_row) {
        result->view_.by_row = true;
        const std::size_t bytes = code_blocks(view_.rows) * result->view_.block_bytes();
        result->codes_ = aligned_bytes(static_cast<py::ssize_t>(bytes));
        std::uint8_t* out = result->codes_.mutable_data();
        result->view_.codes = out;
        const LockReleased unlocked;
        lay_out_rows(view_, num_threads, out);
    }
    result->head_ = std::move(head);
    result->head_view_ = std::make_shared<const Head>(Head{codes, survivors});
    result->view_.head = result->head_view_.get();
    return result;
}

double CodeArrays::surviving_share(const py::array& queries, const py::array& rows,
                                   const Array<double>& cutoffs) const {
    const Matrix query_matrix = as_matrix(queries, "queries");
    const Matrix matrix = as_matrix(rows, "rows");
    if (matrix.rows != view_.rows || matrix.cols != view_.dim || query_matrix.cols != view_.dim)
        throw std::invalid_argument("queries and rows must be of the shape that was coded");
    check_size(cutoffs, query_matrix.rows, "cutoffs");
    const double* scores = cutoffs.data();
    const LockReleased unlocked;
    return aigc_fast::surviving_share(query_matrix, matrix, view_, scores);
}

py::typing::Dict<py::str, py::array> CodeArrays::arrays() const {
    py::typing::Dict<py::str, py::array> arrays;
    if (mean_) arrays["mean"] = *mean_;
    arrays[view_.by_row ? "row_codes" : "codes"] = codes_;
    arrays["scale"] = scale_;
    arrays["residual"] = residual_;
    arrays["reach"] = reach_;
    arrays["kinds"] = kinds_;
    if (basis_) arrays["basis"] = *basis_;
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

// Rows as scans see them: unit rows for cosine, centred for Pearson, raw for the inner product; zeros where no code
// could describe them.
Array<float> unit_rows(const py::array& rows, const std::string& metric) {
    const Matrix matrix = as_matrix(rows, "rows");
    const Metric by = as_metric(metric);
    Array<float> out({static_cast<py::ssize_t>(matrix.rows), static_cast<py::ssize_t>(matrix.cols)});
    float* out_data = out.mutable_data();
    const LockReleased unlocked;
    copy_coded_rows(RowReader(matrix), by, out_data);
    return out;
}

void register_items(py::module_& module) {
    module.attr("MAX_CODED_COLUMNS") = kMaxInt8Dim;
    module.attr("BASIS_COLUMNS") = kBasisColumns;
    module.attr("ROW_ALIGNMENT") = kRowAlignment;
    module.def("unit_rows", &unit_rows, py::arg("rows"), py::arg("metric"),
               "Rows as scans see them: float32, unit rows for cosine, centred ones for Pearson.");
    py::class_<CodeArrays, std::shared_ptr<CodeArrays>>(module, "ItemCodes",
                                                        "int8 codes of rows, with the bounds that keep scans exact.")
        .def(py::init<std::size_t, std::size_t, const std::string&, std::optional<Array<float>>, bool,
                      Array<std::uint8_t>, Array<float>, Array<float>, Array<float>, Array<std::uint8_t>,
                      std::optional<Array<float>>, bool>(),
             py::arg("rows"), py::arg("dim"), py::arg("metric"), py::arg("mean"), py::arg("rotated"), py::arg("codes"),
             py::arg("scale"), py::arg("residual"), py::arg("reach"), py::arg("kinds"), py::arg("basis") = py::none(),
             py::arg("by_row") = false, "Codes from stored arrays; by_row: as they lie where there are heads.")
        .def_static("encode", &CodeArrays::encode, py::arg("rows"), py::arg("ids"), py::arg("metric"),
                    py::arg("num_threads"), py::arg("progress") = py::none(), py::arg("basis") = py::none(),
                    "Encode rows, or their heads along a basis, in the space with the smallest residuals on a sample.")
        .def("with_head", &CodeArrays::with_head, py::arg("head"), py::arg("survivors"), py::arg("num_threads") = 0,
             "The same codes, laid out row after row, with a head that scans look at first.")
        .def_property_readonly("head", &CodeArrays::head, "The codes of the heads, or None.")
        .def_property_readonly(
            "survivors",
            [](const CodeArrays& codes) { return codes.view().head ? codes.view().head->survivors : 1.0f; },
            "The share of rows that heads could not rule out when the index was built.")
        .def("surviving_share", &CodeArrays::surviving_share, py::arg("queries"), py::arg("rows"), py::arg("cutoffs"),
             "Of heads of these rows: the share of pairs that they cannot rule out, with a score to reach each query.")
        .def(
            "arrays", &CodeArrays::arrays,
            "The arrays, by name; mean only where the space is centred, basis only of heads, row_codes in the place of "
            "codes where there are heads.")
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
