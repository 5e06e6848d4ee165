#include "base/simd_avx512.hpp"
#include "score/kernels_impl.hpp"

namespace aigc_fast {
const ScoreKernels score_avx512 = kScoreKernels;
}
