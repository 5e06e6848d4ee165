// NEON with the dot product extension of ARMv8.2: one instruction multiplies 16 pairs of bytes and adds them to 4 sums.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace {

struct QueryCodes {
    int8x8_t first_s8x4;  // the instruction broadcasts them itself
    static QueryCodes broadcast(const std::int8_t* codes) {
        std::uint32_t four;
        __builtin_memcpy(&four, codes, sizeof four);
        return {vcreate_s8(four)};
    }
    int32x4_t add_products(int32x4_t sums, int8x16_t codes) const { return vdotq_lane_s32(sums, codes, first_s8x4, 0); }
};

}  // namespace

#include "scan/int8_neon.hpp"

namespace aigc_fast {
const Int8ScanKernels int8_scan_neon_dotprod = kInt8ScanKernels;
}
