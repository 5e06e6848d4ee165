#include <cstddef>

#include "base/simd_avx2.hpp"

namespace {
constexpr std::size_t kTileRows = 6;  // 12 of 16 registers hold sums
}

#include "scan/f32_impl.hpp"

namespace aigc_fast {
const F32ScanKernels f32_scan_avx2 = kF32ScanKernels;
}
