// The kernels of one instruction set, and the choice among them: the best that this CPU has, unless AIGC_FAST_ISA
// or set_isa names another.
#pragma once

#include "scan/bf16.hpp"
#include "scan/f32.hpp"
#include "scan/int8.hpp"
#include "score/kernels.hpp"
#include "sparse/kernels.hpp"

namespace aigc_fast {

// Nanoseconds of one core, for the planner; measured once on a server core, and only their proportions matter. NEON's
// are AVX2's and AVX-VNNI's at half the width, not measured.
struct KernelCosts {
    double f32_multiply_add;         // in a full tile of the float32 scan
    double int8_multiply_add;        // in a full tile of the int8 scan
    double encode_element;           // of a row coded on the fly
    double bf16_multiply_add = 0.0;  // where there are such kernels, as for int8
    double round_element = 0.0;
};

struct Kernels {
    const char* isa;
    unsigned requires_features;
    const ScoreKernels* score;
    const F32ScanKernels* f32;
    const Int8ScanKernels* int8;
    const CodeScanKernels* bf16;  // null where it would not be faster than float32
    const SparseKernels* sparse;
    KernelCosts costs;
};

// A search takes the table once and keeps it, so that a switch never mixes two within a call.
const Kernels& active_kernels();

}  // namespace aigc_fast
