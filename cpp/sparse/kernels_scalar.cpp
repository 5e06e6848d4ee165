#include <cstddef>

namespace {
constexpr std::size_t kRegisterBytes = 16;
}

#include "sparse/kernels_impl.hpp"

namespace aigc_fast {
const SparseKernels sparse_scalar = kSparseKernels;
}
