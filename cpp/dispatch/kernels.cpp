#include "dispatch/kernels.hpp"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "base/cpu_features.hpp"

namespace aigc_fast {
namespace {

// Best first. A new instruction set is one line here and one file a kernel.
constexpr Kernels kAll[] = {
#if defined(__x86_64__)
#if defined(AIGC_FAST_AVX512_BF16)
    {"avx512_bf16",
     kAvx512 | kAvx512Vnni | kAvx512Bf16,
     &score_avx512,
     &f32_scan_avx512,
     &int8_scan_avx512_vnni,
     &bf16_scan_avx512,
     &sparse_avx512,
     {.008, .0023, .3, .004, .34}},
#endif
    {"avx512_vnni",
     kAvx512 | kAvx512Vnni,
     &score_avx512,
     &f32_scan_avx512,
     &int8_scan_avx512_vnni,
     nullptr,
     &sparse_avx512,
     {.008, .0023, .3}},
    {"avx512", kAvx512, &score_avx512, &f32_scan_avx512, &int8_scan_avx512, nullptr, &sparse_avx512, {.008, .0085, .3}},
#if defined(AIGC_FAST_AVX_VNNI)
    {"avx_vnni",
     kAvx2Fma | kAvxVnni,
     &score_avx2,
     &f32_scan_avx2,
     &int8_scan_avx_vnni,
     nullptr,
     &sparse_avx2,
     {.015, .0047, .4}},
#endif
    {"avx2", kAvx2Fma, &score_avx2, &f32_scan_avx2, &int8_scan_avx2, nullptr, &sparse_avx2, {.015, .015, .4}},
#elif defined(__aarch64__)
    {"neon_dotprod",
     kNeonDotProd,
     &score_neon,
     &f32_scan_neon,
     &int8_scan_neon_dotprod,
     nullptr,
     &sparse_neon,
     {.03, .01, .8}},
    {"neon", kBaseline, &score_neon, &f32_scan_neon, &int8_scan_neon, nullptr, &sparse_neon, {.03, .03, .8}},
#endif
    {"scalar",
     kBaseline,
     &score_scalar,
     &f32_scan_scalar,
     &int8_scan_scalar,
     &bf16_scan_scalar,
     &sparse_scalar,
     {.3, .5, 3., .6, 6.}},
};

bool supported(const Kernels& kernels) {
    return (cpu_features() & kernels.requires_features) == kernels.requires_features;
}

const Kernels& find(const char* name, const char* asked_by) {
    std::string names;
    for (const Kernels& candidate : kAll) {
        if (!supported(candidate)) continue;
        if (std::strcmp(candidate.isa, name) == 0) return candidate;
        names += names.empty() ? candidate.isa : std::string(", ") + candidate.isa;
    }
    throw std::invalid_argument(std::string(asked_by) + "='" + name +
                                "' is not an instruction set that this machine and build have; they have: " + names);
}

const Kernels& choose() {
    if (const char* forced = std::getenv("AIGC_FAST_ISA"); forced != nullptr && *forced != '\0')
        return find(forced, "AIGC_FAST_ISA");
    for (const Kernels& candidate : kAll)
        if (supported(candidate)) return candidate;
    throw std::logic_error("the scalar kernels need nothing");
}

std::atomic<const Kernels*> active{nullptr};

}  // namespace

const Kernels& active_kernels() {
    const Kernels* current = active.load(std::memory_order_acquire);
    if (current == nullptr) {
        current = &choose();
        active.store(current, std::memory_order_release);
    }
    return *current;
}

const char* isa() { return active_kernels().isa; }

std::vector<const char*> available_isas() {
    std::vector<const char*> names;
    for (const Kernels& candidate : kAll)
        if (supported(candidate)) names.push_back(candidate.isa);
    return names;
}

void set_isa(const char* name) { active.store(&find(name, "isa"), std::memory_order_release); }

}  // namespace aigc_fast
