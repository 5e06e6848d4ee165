#include "sparse/kernels_impl.hpp"

namespace aigc_fast {
const SparseKernels sparse_scalar = kSparseKernels;
}
