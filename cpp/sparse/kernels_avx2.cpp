#include <cstddef>

namespace {
constexpr std::size_t kRegisterBytes = 32;
}

#include "sparse/kernels_impl.hpp"

namespace aigc_fast {
const SparseKernels sparse_avx2 = kSparseKernels;
}
