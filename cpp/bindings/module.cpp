// The extension module: each register_* function, in a file of its own, binds one part of the library.
#include <pybind11/pybind11.h>

namespace aigc_fast::bindings {
void register_runtime(pybind11::module_& module);
void register_dense(pybind11::module_& module);
void register_items(pybind11::module_& module);
void register_search(pybind11::module_& module);
void register_sparse(pybind11::module_& module);
}  // namespace aigc_fast::bindings

PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
    module.doc() = "The compiled kernels of aigc_fast; the public functions are in the package itself.";
    aigc_fast::bindings::register_runtime(module);
    aigc_fast::bindings::register_dense(module);
    aigc_fast::bindings::register_items(module);
    aigc_fast::bindings::register_search(module);
    aigc_fast::bindings::register_sparse(module);
}
