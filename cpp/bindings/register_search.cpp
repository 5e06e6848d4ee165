#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <optional>
#include <string>
#include <utility>

#include "bindings/arrays.hpp"
#include "bindings/interpreter_lock.hpp"
#include "bindings/item_set.hpp"

namespace aigc_fast::bindings {
namespace {

using IdListArrays = std::pair<Int64Array, Int64Array>;  // indptr, ids
using PageArrays = std::pair<Float64Array, Int64Array>;  // scores, ids

SearchOptions as_options(const std::string& metric, const std::optional<IdListArrays>& exclude,
                         const std::optional<IdListArrays>& allow, const std::optional<Int64Array>& allow_ids,
                         const std::optional<PageArrays>& after, int num_threads) {
    SearchOptions options;
    options.metric = as_metric(metric);
    options.num_threads = num_threads;
    options.checkpoint = SignalWatch();  // Ctrl-C
    if (exclude) options.filter.exclude = {exclude->first.data(), exclude->second.data()};
    if (allow) options.filter.allow = {allow->first.data(), allow->second.data()};
    if (allow_ids) {
        options.filter.allow_ids = allow_ids->data();
        options.filter.allow_count = static_cast<std::size_t>(allow_ids->size());
    }
    if (after) {
        options.filter.after_score = after->first.data();
        options.filter.after_id = after->second.data();
    }
    return options;
}

void bind_topk(const py::array& queries, const ItemSet& items, std::size_t k,
               const std::optional<Float64Array>& thresholds, const std::string& metric,
               const std::optional<IdListArrays>& exclude, const std::optional<IdListArrays>& allow,
               const std::optional<Int64Array>& allow_ids, const std::optional<PageArrays>& after, int num_threads,
               py::array& scores, Int64Array& ids, Int64Array& counts, std::optional<SearchReport*> report) {
    const Matrix query_matrix = as_matrix(queries, "queries");
    SearchOptions options = as_options(metric, exclude, allow, allow_ids, after, num_threads);
    items.add_to(options);
    options.report = report.value_or(nullptr);
    const double* bounds = data_or_null(thresholds);
    void* scores_data = scores.mutable_data();
    std::int64_t* ids_data = ids.mutable_data();
    std::int64_t* counts_data = counts.mutable_data();
    const LockReleased unlocked;
    topk(query_matrix, items.matrix(), k, bounds, options, scores_data, ids_data, counts_data);
}

py::typing::Tuple<Int64Array, Int64Array, Float64Array> bind_threshold(
    const py::array& queries, const ItemSet& items, const Float64Array& thresholds, const std::string& metric,
    const std::optional<IdListArrays>& exclude, const std::optional<IdListArrays>& allow,
    const std::optional<Int64Array>& allow_ids, const std::optional<PageArrays>& after, int num_threads) {
    const Matrix query_matrix = as_matrix(queries, "queries");
    SearchOptions options = as_options(metric, exclude, allow, allow_ids, after, num_threads);
    items.add_to(options);
    const double* bounds = thresholds.data();
    ThresholdHits hits;
    {
        const LockReleased unlocked;
        hits = threshold(query_matrix, items.matrix(), bounds, options);
    }
    return py::make_tuple(adopt(std::move(hits.indptr)), adopt(std::move(hits.ids)), adopt(std::move(hits.scores)));
}

}  // namespace

void register_search(py::module_& module) {
    py::class_<SearchReport>(module, "SearchReport", "What a search chose and did.")
        .def(py::init<>())
        .def_property_readonly("way", [](const SearchReport& r) { return std::string(r.way); })
        .def_property_readonly("isa", [](const SearchReport& r) { return std::string(r.isa); })
        .def_readonly("threads", &SearchReport::threads)
        .def_readonly("block_rows", &SearchReport::block_rows)
        .def_readonly("direct_cost", &SearchReport::direct_cost)
        .def_readonly("f32_cost", &SearchReport::f32_cost)
        .def_readonly("dense_cost", &SearchReport::dense_cost)
        .def_readonly("bf16_cost", &SearchReport::bf16_cost)
        .def_readonly("int8_cost", &SearchReport::int8_cost)
        .def_readonly("cascade_cost", &SearchReport::cascade_cost)
        .def_property_readonly("hits", [](const SearchReport& r) { return r.hits.load(); })
        .def_property_readonly("head_pairs", [](const SearchReport& r) { return r.head_pairs.load(); })
        .def_property_readonly("head_hits", [](const SearchReport& r) { return r.head_hits.load(); })
        .def_property_readonly("scored", [](const SearchReport& r) { return r.scored.load(); })
        .def_readonly("scan_seconds", &SearchReport::scan_seconds)
        .def_readonly("score_seconds", &SearchReport::score_seconds);
    module.def("topk", &bind_topk, py::arg("queries"), py::arg("items"), py::arg("k"), py::arg("thresholds"),
               py::arg("metric"), py::arg("exclude"), py::arg("allow"), py::arg("allow_ids"), py::arg("after"),
               py::arg("num_threads"), py::arg("scores").noconvert(), py::arg("ids").noconvert(),
               py::arg("counts").noconvert(), py::arg("report") = py::none(),
               "Write the best k items of each query into scores, ids and counts.");
    module.def("threshold", &bind_threshold, py::arg("queries"), py::arg("items"), py::arg("thresholds"),
               py::arg("metric"), py::arg("exclude"), py::arg("allow"), py::arg("allow_ids"), py::arg("after"),
               py::arg("num_threads"), "All items that reach their query's threshold: (indptr, ids, float64 scores).");
}

}  // namespace aigc_fast::bindings
