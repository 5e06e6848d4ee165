// NEON without the dot product extension: products of bytes, two of which add up to no more than 16 bits hold.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace {

struct QueryCodes {
    int8x16_t value_s8x16;
    static QueryCodes broadcast(const std::int8_t* codes) {
        std::int32_t four;
        __builtin_memcpy(&four, codes, sizeof four);
        return {vreinterpretq_s8_s32(vdupq_n_s32(four))};
    }
    int32x4_t add_products(int32x4_t sums, int8x16_t codes) const {
        const int16x8_t low_i16x8 = vmull_s8(vget_low_s8(codes), vget_low_s8(value_s8x16));
        const int16x8_t high_i16x8 = vmull_high_s8(codes, value_s8x16);
        return vpadalq_s16(sums, vpaddq_s16(low_i16x8, high_i16x8));
    }
};

}  // namespace

#include "scan/int8_neon.hpp"

namespace aigc_fast {
const Int8ScanKernels int8_scan_neon = kInt8ScanKernels;
}
