#include "base/simd_avx2.hpp"
#include "score/kernels_impl.hpp"

namespace aigc_fast {
const ScoreKernels score_avx2 = kScoreKernels;
}
