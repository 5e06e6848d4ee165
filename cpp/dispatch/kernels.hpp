// The kernels of one instruction set, and the choice among them: the best that this CPU has, unless AIGC_FAST_ISA
// or set_isa names another.
#pragma once

#include "scan/f32.hpp"
#include "score/kernels.hpp"

namespace aigc_fast {

struct Kernels {
    const char* isa;
    unsigned requires_features;
    const ScoreKernels* score;
    const F32ScanKernels* f32;
};

// A search takes the table once and keeps it, so that a switch never mixes two within a call.
const Kernels& active_kernels();

}  // namespace aigc_fast
