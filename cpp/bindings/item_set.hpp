// Items as a search takes them: rows, and what an index knows of them. Holds on to the arrays that it points into.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/typing.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "aigc_fast/aigc_fast.hpp"
#include "bindings/arrays.hpp"
#include "index/item_codes.hpp"

namespace aigc_fast::bindings {

template <class T>
using Array = py::array_t<T, py::array::c_style>;

// Called with the number of rows done.
using Progress = py::typing::Callable<void(std::size_t)>;

// The arrays of ItemCodes, so that Python can save, map and copy them.
class CodeArrays {
  public:
    CodeArrays(std::size_t rows, std::size_t dim, const std::string& metric, std::optional<Array<float>> mean,
               bool rotated, Array<std::uint8_t> codes, Array<float> scale, Array<float> residual, Array<float> reach,
               Array<std::uint8_t> kinds, std::optional<Array<float>> basis, bool by_row);

    static CodeArrays encode(const py::array& rows, const std::optional<Int64Array>& ids, const std::string& metric,
                             int num_threads, const std::optional<Progress>& progress,
                             std::optional<Array<float>> basis);

    // The same codes, by row, with a head: `head` has a basis.
    std::shared_ptr<CodeArrays> with_head(std::shared_ptr<CodeArrays> head, float survivors, int num_threads) const;

    // Of heads: the share of pairs that they cannot rule out, with a score to reach for each query.
    double surviving_share(const py::array& queries, const py::array& rows, const Array<double>& cutoffs) const;

    const ItemCodes& view() const { return view_; }
    const std::shared_ptr<CodeArrays>& head() const { return head_; }
    py::typing::Dict<py::str, py::array> arrays() const;

  private:
    std::optional<Array<float>> mean_;
    std::optional<Array<float>> basis_;
    Array<std::uint8_t> codes_;
    Array<float> scale_;
    Array<float> residual_;
    Array<float> reach_;
    Array<std::uint8_t> kinds_;
    Array<std::uint32_t> unbounded_;
    std::shared_ptr<CodeArrays> head_;
    std::shared_ptr<const Head> head_view_;
    ItemCodes view_;
};

class ItemSet {
  public:
    explicit ItemSet(const py::array& rows) : rows_(rows), matrix_(as_matrix(rows, "items")) {}

    ItemSet(const py::array& rows, std::optional<Int64Array> ids, std::optional<std::shared_ptr<CodeArrays>> codes,
            std::optional<Array<std::uint32_t>> removed_at, std::uint32_t version, std::size_t removed_count);

    const Matrix& matrix() const { return matrix_; }
    void add_to(SearchOptions& options) const;

  private:
    py::array rows_;
    Matrix matrix_;
    std::optional<Int64Array> ids_;
    std::shared_ptr<CodeArrays> codes_;
    std::optional<Array<std::uint32_t>> removed_at_;
    std::uint32_t version_ = 0;
    std::size_t removed_count_ = 0;
};

}  // namespace aigc_fast::bindings
