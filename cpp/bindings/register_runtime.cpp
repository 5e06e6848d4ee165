#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "aigc_fast/aigc_fast.hpp"
#include "search/plan.hpp"

namespace aigc_fast::bindings {

namespace py = pybind11;

void register_runtime(py::module_& module) {
    module.def("isa", [] { return std::string(isa()); }, "The instruction set in use.");
    module.def(
        "available_isas",
        [] {
            const std::vector<const char*> names = available_isas();
            return std::vector<std::string>(names.begin(), names.end());
        },
        "The instruction sets that this machine and build have, best first.");
    module.def(
        "set_isa", [](const std::string& name) { set_isa(name.c_str()); }, py::arg("name"),
        "Use another instruction set from the next call on (for tests and comparisons).");
    module.def("get_num_threads", &default_num_threads, "Threads used where a call names none.");
    module.def("set_num_threads", &set_default_num_threads, py::arg("count"),
               "Set the number of threads used where a call names none.");
    module.def(
        "override_plan",
        [](std::optional<bool> direct, int threads, std::size_t block_rows) {
            override_plan({direct, threads, block_rows});
        },
        py::arg("direct") = py::none(), py::arg("threads") = 0, py::arg("block_rows") = 0,
        "For tests: make small inputs take the ways of large ones; without arguments, let the planner choose again.");
}

}  // namespace aigc_fast::bindings
