#include "base/simd_neon.hpp"
#include "score/kernels_impl.hpp"

namespace aigc_fast {
const ScoreKernels score_neon = kScoreKernels;
}
