#include "driver.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>

namespace aigc_fast::cuda {
namespace {

const char* const kForked =
    "CUDA cannot be used in a process that was forked after CUDA had been used; start it by spawn: "
    "multiprocessing.get_context('spawn')";

struct State {
    std::mutex mutex;
    std::unordered_map<std::string, std::uintptr_t> fake;
    std::unique_ptr<const Driver> table;
    pid_t process = 0;
    std::atomic<unsigned> generation{0};
};

State& state() {
    static State instance;
    return instance;
}

std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void* symbol_of(void* library, const char* symbol, const State& now) {
    if (now.fake.empty()) return dlsym(library, symbol);
    const auto found = now.fake.find(symbol);
    return found == now.fake.end() ? nullptr : reinterpret_cast<void*>(found->second);
}

std::string words_of(const Driver& table, Status status) {
    const char* name = nullptr;
    const char* text = nullptr;
    table.error_name(status, &name);
    table.error_string(status, &text);
    return std::string(name != nullptr ? name : "error " + std::to_string(status)) +
           (text != nullptr ? std::string(" (") + text + ")" : "");
}

std::unique_ptr<const Driver> open_driver(const State& now) {
    void* library = nullptr;
    if (now.fake.empty()) {
        library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr)
            throw Unavailable(std::string("no CUDA driver: ") + dlerror() +
                              "; install NVIDIA's driver (in a container: start it with GPUs)");
    }
    auto table = std::make_unique<Driver>();
    const char* missing = nullptr;
#define AIGC_FAST_LOAD(member, symbol, parameters)                                               \
    table->member = reinterpret_cast<decltype(table->member)>(symbol_of(library, #symbol, now)); \
    if (table->member == nullptr && missing == nullptr) missing = #symbol;
    AIGC_FAST_DRIVER_FUNCTIONS(AIGC_FAST_LOAD)
#undef AIGC_FAST_LOAD
    int version = 0;
    if (table->driver_version != nullptr) table->driver_version(&version);
    if (missing != nullptr || version < kOldestDriver)
        throw Unavailable("the CUDA driver is too old: it supports CUDA " + version_text(version) + ", and " +
                          version_text(kOldestDriver) + " is needed" +
                          (missing != nullptr ? std::string(" (it lacks ") + missing + ")" : "") +
                          "; update NVIDIA's driver");
    const Status status = table->init(0);
    if (status == kNoDevice)
        throw Unavailable("the CUDA driver finds no device; look at nvidia-smi and CUDA_VISIBLE_DEVICES");
    if (status == kNotInitialized) throw Unavailable(kForked);
    if (status != kSuccess)
        throw Unavailable("the CUDA driver does not start: " + words_of(*table, status) + "; nvidia-smi may tell more");
    int count = 0;
    if (table->device_count(&count) != kSuccess || count == 0)
        throw Unavailable("the CUDA driver finds no device; look at nvidia-smi and CUDA_VISIBLE_DEVICES");
    return table;
}

}  // namespace

const Driver& driver() {
    State& now = state();
    const std::lock_guard<std::mutex> lock(now.mutex);
    if (now.table == nullptr) {
        now.table = open_driver(now);
        now.process = getpid();
        ++now.generation;
    }
    if (now.process != getpid()) throw Unavailable(kForked);
    return *now.table;
}

void replace_driver(const std::unordered_map<std::string, std::uintptr_t>& functions) {
    State& now = state();
    const std::lock_guard<std::mutex> lock(now.mutex);
    now.fake = functions;
    now.table.reset();
}

int driver_version() {
    int version = 0;
    check(driver().driver_version(&version), "cuDriverGetVersion");
    return version;
}

unsigned driver_generation() { return state().generation; }

std::string words(Status status) { return words_of(driver(), status); }

void check(Status status, const char* what) {
    if (status == kSuccess) return;
    const std::string message = std::string(what) + ": " + words(status);
    if (status == kOutOfMemory) throw OutOfMemory(message);
    throw std::runtime_error(message);
}

}  // namespace aigc_fast::cuda
