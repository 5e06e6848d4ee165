// The extension module _cuda: what aigc_fast.gpu calls. It is built everywhere and touches the driver on first use.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bindings/interpreter_lock.hpp"
#include "device.hpp"
#include "dlpack.hpp"
#include "driver.hpp"
#include "search.hpp"

namespace py = pybind11;

namespace aigc_fast::cuda {
namespace {

using bindings::LockReleased;
using ReleaseGil = py::call_guard<LockReleased>;  // the driver may block, and a fake one calls Python
using Lists = std::pair<Address, Address>;        // indptr, ids
using Page = std::pair<Address, Address>;         // scores, ids

template <class T>
T* pointer(Address address) {
    return reinterpret_cast<T*>(address);
}

Metric as_metric(const std::string& name) {
    if (name == "cosine") return kCosine;
    if (name == "inner_product") return kInnerProduct;
    if (name == "pearson") return kPearson;
    throw std::invalid_argument("metric must be 'cosine', 'inner_product' or 'pearson', got '" + name + "'");
}

Task as_task(const std::string& name) {
    if (name == "topk") return Task::topk;
    if (name == "threshold") return Task::threshold;
    if (name == "similarity") return Task::similarity;
    throw std::invalid_argument("unknown task " + name);
}

Request as_request(DeviceMatrix queries, std::vector<Segment> segments, const std::string& metric,
                   const std::string& task, std::size_t k, std::optional<Lists> exclude, std::optional<Lists> allow,
                   Address thresholds, std::optional<Page> after) {
    if (segments.empty()) throw std::invalid_argument("there must be at least one segment");
    Request request;
    request.queries = std::move(queries);
    request.segments = std::move(segments);
    request.metric = as_metric(metric);
    request.task = as_task(task);
    request.k = k;
    if (exclude) request.filter.exclude = {pointer<long long>(exclude->first), pointer<long long>(exclude->second)};
    if (allow) request.filter.allow = {pointer<long long>(allow->first), pointer<long long>(allow->second)};
    request.filter.thresholds = pointer<double>(thresholds);
    if (after) {
        request.filter.after_scores = pointer<double>(after->first);
        request.filter.after_ids = pointer<long long>(after->second);
    }
    return request;
}

// The package's own class, found when it is needed: aigc_fast.errors is plain Python.
void raise_unavailable(const std::string& message) {
    const py::object type = py::module_::import("aigc_fast.errors").attr("CudaUnavailable");
    PyErr_SetString(type.ptr(), message.c_str());
}

void translate(std::exception_ptr thrown) {
    try {
        if (thrown) std::rethrow_exception(thrown);
    } catch (const Unavailable& error) {
        raise_unavailable(error.what());
    } catch (const OutOfMemory& error) {
        PyErr_SetString(PyExc_MemoryError, error.what());
    }
}

}  // namespace
}  // namespace aigc_fast::cuda

PYBIND11_MODULE(_cuda, module, py::mod_gil_not_used()) {
    using namespace aigc_fast::cuda;
    module.doc() = "The host side of the CUDA kernels; the public functions are in the package itself.";
    py::register_local_exception_translator(&translate);
    py::register_local_exception<NoImage>(module, "NoImageError", PyExc_RuntimeError);

    module.def("device_count", &device_count, ReleaseGil(), "Number of GPUs; raises CudaUnavailable.");
    module.def("driver_version", &driver_version, ReleaseGil(), "The CUDA version that the driver supports, as 13000.");
    module.def("device_name", &device_name, ReleaseGil(), py::arg("device"), "What the driver calls a GPU.");
    module.def("device_of", &device_of, ReleaseGil(), py::arg("pointer"), "The GPU whose memory a pointer is of.");
    module.def("compute_capability", &compute_capability, ReleaseGil(), py::arg("device"), "Major * 10 + minor.");
    module.def("kernels_loaded", &kernels_loaded, ReleaseGil(), py::arg("device"), "Whether kernels can be launched.");
    module.def(
        "load_kernels",
        [](int device, const py::bytes& image) {
            const char* data = PyBytes_AS_STRING(image.ptr());
            const LockReleased released;
            load_kernels(device, data);
        },
        py::arg("device"), py::arg("image"), "Load a fatbin or cubin; raises NoImageError where nothing in it fits.");
    module.def("replace_driver", &replace_driver, py::arg("functions"),
               "For tests: addresses of functions by their symbols stand in for the driver's; {} brings it back.");
    module.def(
        "override_plan",
        [](std::optional<bool> coded, unsigned spare, unsigned growth, unsigned hits, unsigned panel, unsigned tiles) {
            override_plan({coded ? int{*coded} : -1, spare, growth, hits, panel, tiles});
        },
        py::arg("coded") = py::none(), py::arg("spare") = 0, py::arg("growth") = 0, py::arg("hits") = 0,
        py::arg("panel") = 0, py::arg("tiles") = 0,
        "For tests: make small inputs take the ways of large ones; without arguments, let the planner choose again.");

    // Memory of our own; other arrays' memory comes from their frameworks.
    py::class_<Buffer>(module, "DeviceMemory", py::release_gil_before_calling_cpp_dtor(), "Device memory.")
        .def(py::init<int, std::optional<std::uintptr_t>, std::size_t>(), ReleaseGil(), py::arg("device"),
             py::arg("stream"), py::arg("nbytes"))
        .def_property_readonly("pointer", &Buffer::address)
        .def_property_readonly("nbytes", &Buffer::bytes);
    module.def("synchronize", &synchronize, ReleaseGil(), py::arg("device"), py::arg("stream"), "Wait for a stream.");
    module.def(
        "upload",
        [](int device, std::uintptr_t stream, Address to, const py::array& array) {
            if ((array.flags() & py::array::c_style) == 0) throw std::invalid_argument("the array must be contiguous");
            const void* data = array.data();
            const std::size_t bytes = static_cast<std::size_t>(array.nbytes());
            const LockReleased released;
            copy_to_device_and_wait(device, stream, to, data, bytes);
        },
        py::arg("device"), py::arg("stream"), py::arg("to"), py::arg("array"), "Copy a host array, and wait.");
    module.def(
        "download",
        [](int device, std::uintptr_t stream, Address source, py::array array) {
            if ((array.flags() & py::array::c_style) == 0) throw std::invalid_argument("the array must be contiguous");
            void* data = array.mutable_data();
            const std::size_t bytes = static_cast<std::size_t>(array.nbytes());
            const LockReleased released;
            copy_to_host_and_wait(device, stream, data, source, bytes);
        },
        py::arg("device"), py::arg("stream"), py::arg("source"), py::arg("array"), "Copy to a host array, and wait.");
    module.def("wait_for", &wait_for, ReleaseGil(), py::arg("device"), py::arg("stream"), py::arg("other"),
               "What comes on the stream from now on waits for what is on the other one now.");

    py::class_<DlpackArray>(module, "DlpackArray", "What a DLPack capsule describes.")
        .def_readonly("pointer", &DlpackArray::data)
        .def_readonly("device", &DlpackArray::device)
        .def_readonly("dtype", &DlpackArray::dtype)
        .def_readonly("shape", &DlpackArray::shape)
        .def_readonly("strides", &DlpackArray::strides)
        .def_readonly("read_only", &DlpackArray::read_only);
    module.def("read_dlpack", &read_dlpack, py::arg("capsule"), "Read a capsule of GPU memory without consuming it.");

    py::class_<DeviceMatrix>(module, "Matrix", "Rows in device memory; strides in elements.")
        .def(py::init([](Address data, std::string element, std::size_t rows, std::size_t dim, long long row_stride,
                         long long column_stride) {
                 return DeviceMatrix{data, std::move(element), row_stride, column_stride, rows, dim};
             }),
             py::arg("pointer"), py::arg("element"), py::arg("rows"), py::arg("dim"), py::arg("row_stride"),
             py::arg("column_stride"))
        .def_readonly("pointer", &DeviceMatrix::data)
        .def_readonly("row_stride", &DeviceMatrix::row_stride)
        .def_readonly("column_stride", &DeviceMatrix::column_stride)
        .def_readonly("rows", &DeviceMatrix::rows)
        .def_readonly("dim", &DeviceMatrix::dim)
        .def_readonly("element", &DeviceMatrix::element);
    py::class_<Segment>(module, "Segment", "Items of a search, or some; addresses of device memory, 0 for none.")
        .def(py::init([](DeviceMatrix rows, Address names, Address allowed, Address description) {
                 const Description stored =
                     description == 0 ? Description{} : description_at(description, rows.rows, rows.dim);
                 return Segment{std::move(rows), pointer<long long>(names), pointer<unsigned char>(allowed), stored};
             }),
             py::arg("rows"), py::arg("names") = 0, py::arg("allowed") = 0, py::arg("description") = 0);
    module.def("description_bytes", &description_bytes, py::arg("rows"), py::arg("dim"),
               "Memory that describe() fills.");
    module.def(
        "describe",
        [](int device, std::uintptr_t stream, const DeviceMatrix& rows, const std::string& metric, Address to) {
            describe(Stream(device, stream), rows, as_metric(metric), description_at(to, rows.rows, rows.dim));
        },
        ReleaseGil(), py::arg("device"), py::arg("stream"), py::arg("rows"), py::arg("metric"), py::arg("to"),
        "Enqueue what scans need to know of items that will be searched again: int8 codes, or their measures.");
    py::class_<Request>(module, "Request", "What a search is asked; addresses of device memory, 0 for none.")
        .def(py::init(&as_request), py::arg("queries"), py::arg("segments"), py::arg("metric"), py::arg("task"),
             py::arg("k") = 0, py::arg("exclude") = py::none(), py::arg("allow") = py::none(),
             py::arg("thresholds") = 0, py::arg("after") = py::none());
    py::class_<Plan>(module, "Plan", "How a request is cut to fit its workspace.")
        .def(py::init(&plan), py::arg("request"), py::arg("max_memory"))
        .def_readonly("coded", &Plan::coded, "By int8 codes, else by float32 rows.")
        .def_readonly("group", &Plan::group, "Queries searched at a time.")
        .def_readonly("workspace", &Plan::workspace, "Bytes.");

    module.def(
        "topk",
        [](int device, std::uintptr_t stream, const Request& request, const Plan& plan, Address workspace,
           Address scores, Address ids, Address counts, std::size_t width) {
            topk(Stream(device, stream), request, plan, workspace,
                 {pointer<void>(scores), pointer<long long>(ids), pointer<long long>(counts),
                  static_cast<unsigned>(width)});
        },
        ReleaseGil(), py::arg("device"), py::arg("stream"), py::arg("request"), py::arg("plan"), py::arg("workspace"),
        py::arg("scores"), py::arg("ids"), py::arg("counts"), py::arg("width"),
        "Enqueue a search for the best k (at most width) items of each query.");
    module.def(
        "count_hits",
        [](int device, std::uintptr_t stream, const Request& request, const Plan& plan, Address workspace,
           Address counts, Address indptr) {
            count_hits(Stream(device, stream), request, plan, workspace, pointer<unsigned>(counts),
                       pointer<long long>(indptr));
        },
        ReleaseGil(), py::arg("device"), py::arg("stream"), py::arg("request"), py::arg("plan"), py::arg("workspace"),
        py::arg("counts"), py::arg("indptr"), "Enqueue the first pass of a threshold search.");
    module.def(
        "fill_hits",
        [](int device, std::uintptr_t stream, const Request& request, const Plan& plan, Address workspace,
           Address counts, Address indptr, Address scores, Address ids) {
            fill_hits(Stream(device, stream), request, plan, workspace, pointer<unsigned>(counts),
                      pointer<long long>(indptr), pointer<void>(scores), pointer<long long>(ids));
        },
        ReleaseGil(), py::arg("device"), py::arg("stream"), py::arg("request"), py::arg("plan"), py::arg("workspace"),
        py::arg("counts"), py::arg("indptr"), py::arg("scores"), py::arg("ids"),
        "Enqueue the second pass of a threshold search, in the workspace of the first.");
    module.def(
        "similarity",
        [](int device, std::uintptr_t stream, const Request& request, const Plan& plan, Address workspace,
           Address scores) { similarity(Stream(device, stream), request, plan, workspace, scores); },
        ReleaseGil(), py::arg("device"), py::arg("stream"), py::arg("request"), py::arg("plan"), py::arg("workspace"),
        py::arg("scores"), "Enqueue the scores of all pairs.");
    module.def(
        "normalize",
        [](int device, std::uintptr_t stream, const DeviceMatrix& rows, Address out, Address norms) {
            normalize(Stream(device, stream), rows, out, norms);
        },
        ReleaseGil(), py::arg("device"), py::arg("stream"), py::arg("rows"), py::arg("out"), py::arg("norms") = 0,
        "Enqueue the division of rows by their norms.");
}
