// What this CPU can do (a mask, since no feature implies another) and how many CPUs this process may use.
#pragma once

namespace aigc_fast {

enum CpuFeature : unsigned {
    kBaseline = 0,
    kAvx2Fma = 1u << 0,
    kAvx512 = 1u << 1,  // F, BW, DQ, VL together
    kAvx512Vnni = 1u << 2,
    kAvxVnni = 1u << 3,
    kAvx512Bf16 = 1u << 5,
    kNeonDotProd = 1u << 4,  // NEON itself is part of 64-bit ARM
};

unsigned cpu_features();
int usable_cpus();

}  // namespace aigc_fast
