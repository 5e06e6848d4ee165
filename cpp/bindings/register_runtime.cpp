#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "aigc_fast/aigc_fast.hpp"
#include "search/plan.hpp"

namespace aigc_fast::bindings {

namespace py = pybind11;

namespace {

Way as_way(const std::string& name) {
    if (name == "direct") return Way::direct;
    if (name == "f32") return Way::f32;
    if (name == "dense") return Way::dense;
    if (name == "bf16") return Way::bf16;
    if (name == "int8") return Way::int8;
    if (name == "cascade") return Way::cascade;
    throw std::invalid_argument("way must be 'direct', 'f32', 'dense', 'bf16', 'int8' or 'cascade', got '" + name +
                                "'");
}

}  // namespace

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
        [](const std::optional<std::string>& way, int threads, std::size_t block_rows, std::size_t first_stride) {
            PlanOverride overrides;
            if (way) overrides.way = as_way(*way);
            overrides.threads = threads;
            overrides.block_rows = block_rows;
            overrides.first_stride = first_stride;
            override_plan(overrides);
        },
        py::arg("way") = py::none(), py::arg("threads") = 0, py::arg("block_rows") = 0, py::arg("first_stride") = 0,
        "For tests: make small inputs take the ways of large ones ('direct', 'f32', 'dense', 'bf16', 'int8', "
        "'cascade'); without arguments, let the planner choose again.");
}

}  // namespace aigc_fast::bindings
