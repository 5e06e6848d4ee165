#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "aigc_fast/aigc_fast.hpp"
#include "base/cpu_features.hpp"

namespace aigc_fast {
namespace {

constexpr int kMostThreads = 4096;  // a call has scratch memory for each

int initial_num_threads() {
    const char* text = std::getenv("AIGC_FAST_NUM_THREADS");
    if (text == nullptr || *text == '\0') return usable_cpus();
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*end != '\0' || value < 1 || value > kMostThreads)
        throw std::invalid_argument(std::string("AIGC_FAST_NUM_THREADS='") + text +
                                    "' is not a number of threads from 1 to " + std::to_string(kMostThreads));
    return static_cast<int>(value);
}

std::atomic<int> threads{0};  // 0: not asked for yet

}  // namespace

int default_num_threads() {
    int current = threads.load();
    if (current == 0) threads.store(current = initial_num_threads());
    return current;
}

void set_default_num_threads(int count) {
    if (count < 1) throw std::invalid_argument("num_threads must be at least 1, got " + std::to_string(count));
    if (count > kMostThreads)
        throw std::invalid_argument("num_threads must be at most " + std::to_string(kMostThreads) + ", got " +
                                    std::to_string(count));
    threads.store(count);
}

}  // namespace aigc_fast
