// Reads what a DLPack capsule describes (https://dmlc.github.io/dlpack/latest/, versions 0 and 1). The capsule is not
// consumed: whoever keeps it keeps the memory, and its own destructor releases it.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace aigc_fast::cuda {

struct DlpackArray {
    std::uintptr_t data = 0;
    int device = 0;
    std::string dtype;  // such as float32, bfloat16, uint8
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> strides;  // in elements
    bool read_only = false;
};

// Throws std::invalid_argument where the capsule is none of DLPack's or its memory is not a GPU's.
DlpackArray read_dlpack(const pybind11::capsule& capsule);

}  // namespace aigc_fast::cuda
