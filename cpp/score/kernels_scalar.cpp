#include "base/simd_scalar.hpp"
#include "score/kernels_impl.hpp"

namespace aigc_fast {
const ScoreKernels score_scalar = kScoreKernels;
}
