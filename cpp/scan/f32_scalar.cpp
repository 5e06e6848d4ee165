#include <cstddef>

#include "base/simd_scalar.hpp"

namespace {
constexpr std::size_t kTileRows = 4;  // any number does for the reference
}

#include "scan/f32_impl.hpp"

namespace aigc_fast {
const F32ScanKernels f32_scan_scalar = kF32ScanKernels;
}
