#include "base/cpu_features.hpp"

#include <sched.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <thread>

namespace aigc_fast {
namespace {

// CPUs of the cgroup's quota (v2, then v1), or 0 where there is none.
int cgroup_cpus() {
    if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2) {
        std::string quota;
        double period = 0;
        if (v2 >> quota >> period && quota != "max" && period > 0)
            return static_cast<int>(std::ceil(std::stod(quota) / period));
        return 0;
    }
    std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    std::ifstream period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    double quota = 0;
    double period = 0;
    if (quota_file >> quota && period_file >> period && quota > 0 && period > 0)
        return static_cast<int>(std::ceil(quota / period));
    return 0;
}

int affinity_cpus() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

unsigned cpu_features() {
    unsigned features = kBaseline;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) features |= kAvx2Fma;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        features |= kAvx512;
    if (__builtin_cpu_supports("avx512vnni")) features |= kAvx512Vnni;
    // Not every compiler knows these by name. The other AVX-512 features say that the system keeps its registers.
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0) {
        if ((eax >> 4 & 1u) != 0) features |= kAvxVnni;
        if ((eax >> 5 & 1u) != 0) features |= kAvx512Bf16;
    }
#elif defined(__aarch64__)
    if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) features |= kNeonDotProd;
#endif
    return features;
}

int usable_cpus() {
    const int by_affinity = std::max(1, affinity_cpus());
    const int by_quota = cgroup_cpus();
    return by_quota > 0 ? std::min(by_affinity, std::max(1, by_quota)) : by_affinity;
}

}  // namespace aigc_fast
