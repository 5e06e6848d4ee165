#include <cstddef>

#include "base/simd_neon.hpp"

namespace {
constexpr std::size_t kTileRows = 6;  // 24 of 32 registers hold sums
}

#include "scan/f32_impl.hpp"

namespace aigc_fast {
const F32ScanKernels f32_scan_neon = kF32ScanKernels;
}
