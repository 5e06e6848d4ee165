#include <cstddef>

#include "base/simd_avx512.hpp"

namespace {
constexpr std::size_t kTileRows = 12;  // 24 of 32 registers hold sums
}

#include "scan/f32_impl.hpp"

namespace aigc_fast {
const F32ScanKernels f32_scan_avx512 = kF32ScanKernels;
}
