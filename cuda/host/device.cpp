#include "device.hpp"

#include <array>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "kernels/search.h"

namespace aigc_fast::cuda {
namespace {

constexpr std::uint64_t kKeptBytes = std::uint64_t{1} << 30;  // by our pool, from call to call

int handle_of(int device) {
    int handle = 0;
    check(driver().get_device(&handle, device), "cuDeviceGet");
    return handle;
}

struct Function {
    Handle handle = nullptr;
    unsigned shared_bytes = 0;  // that it may have at most
};

struct DeviceState {
    Handle context = nullptr;
    Handle module = nullptr;
    Handle pool = nullptr;
    std::unordered_map<std::string, Function> functions;
};

// Contexts and modules live as long as the process: their release at exit would race with the driver's own.
class Devices {
  public:
    template <class Use>
    auto with(int device, Use use) {
        const Driver& api = driver();
        const std::lock_guard<std::mutex> lock(mutex_);
        if (generation_ != driver_generation()) {
            states_.clear();
            generation_ = driver_generation();
        }
        DeviceState& state = states_[device];
        if (state.context == nullptr) {
            const Status status = api.retain_context(&state.context, handle_of(device));
            if (status != kSuccess)
                throw Unavailable("GPU " + std::to_string(device) + " cannot be used: " + words(status) +
                                  "; nvidia-smi tells who uses it and in which mode");
        }
        return use(state);
    }

  private:
    std::mutex mutex_;
    std::unordered_map<int, DeviceState> states_;
    unsigned generation_ = 0;
};

Devices& devices() {
    static Devices instance;
    return instance;
}

// Drivers have many words for an image that does not fit; these say something else.
bool says_no_image(Status status) {
    const bool broken_context = status >= kIllegalAddress && status <= kLaunchFailed;
    const bool captured_stream = status >= kCaptureUnsupported && status <= kCapturedEvent;
    return status != kSuccess && status != kOutOfMemory && !broken_context && !captured_stream;
}

// A pool of our own keeps memory from call to call without a say in those of others.
Handle pool_of(int device) {
    return devices().with(device, [&](DeviceState& state) {
        if (state.pool == nullptr) {
            const PoolProperties properties{kPinnedAllocation, 0, kDeviceLocation, device, nullptr, 0, 0, {}};
            check(driver().create_pool(&state.pool, &properties), "cuMemPoolCreate");
            std::uint64_t kept = kKeptBytes;
            check(driver().set_pool_attribute(state.pool, kReleaseThreshold, &kept), "cuMemPoolSetAttribute");
        }
        return state.pool;
    });
}

}  // namespace

int device_count() {
    int count = 0;
    check(driver().device_count(&count), "cuDeviceGetCount");
    return count;
}

std::string device_name(int device) {
    std::array<char, 256> name{};
    check(driver().device_name(name.data(), static_cast<int>(name.size()) - 1, handle_of(device)), "cuDeviceGetName");
    return name.data();
}

int device_of(Address pointer) {
    int device = 0;
    if (pointer == 0) return device;
    Status status = driver().pointer_attribute(&device, kOrdinalAttribute, pointer);
    if (status == kInvalidContext) {  // a thread that has none; any will do
        const DeviceScope scope(0);
        status = driver().pointer_attribute(&device, kOrdinalAttribute, pointer);
    }
    check(status, "cuPointerGetAttribute");
    return device;
}

int compute_capability(int device) {
    int major = 0;
    int minor = 0;
    const int handle = handle_of(device);
    check(driver().device_attribute(&major, kMajorAttribute, handle), "cuDeviceGetAttribute");
    check(driver().device_attribute(&minor, kMinorAttribute, handle), "cuDeviceGetAttribute");
    return major * 10 + minor;
}

DeviceScope::DeviceScope(int device) {
    const Handle context = devices().with(device, [](const DeviceState& state) { return state.context; });
    check(driver().push_context(context), "cuCtxPushCurrent");
}

DeviceScope::~DeviceScope() {
    Handle popped = nullptr;
    driver().pop_context(&popped);
}

void load_kernels(int device, const void* image) {
    const DeviceScope scope(device);
    devices().with(device, [&](DeviceState& state) {
        if (state.module != nullptr) return;
        Handle module = nullptr;
        const Status status = driver().load_module(&module, image);
        if (says_no_image(status)) throw NoImage("cuModuleLoadData: " + words(status));
        check(status, "cuModuleLoadData");
        state.module = module;
    });
}

bool kernels_loaded(int device) {
    return devices().with(device, [](const DeviceState& state) { return state.module != nullptr; });
}

void Stream::launch_packed(unsigned shared_bytes, const std::string& kernel, std::size_t grid_x, std::size_t grid_y,
                           void** parameters) const {
    const Driver& api = driver();
    const Handle function = devices().with(device_, [&](DeviceState& state) {
        Function& known = state.functions[kernel];
        if (known.handle == nullptr)
            check(api.get_function(&known.handle, state.module, kernel.c_str()), "cuModuleGetFunction");
        if (shared_bytes > known.shared_bytes) {
            check(api.set_function_attribute(known.handle, kSharedBytesAttribute, static_cast<int>(shared_bytes)),
                  "cuFuncSetAttribute");
            known.shared_bytes = shared_bytes;
        }
        return known.handle;
    });
    check(api.launch(function, static_cast<unsigned>(grid_x), static_cast<unsigned>(grid_y), 1, kThreads, 1, 1,
                     shared_bytes, stream_, parameters, nullptr),
          kernel.c_str());
}

Buffer::Buffer(int device, std::optional<std::uintptr_t> stream, std::size_t bytes) : device_(device), bytes_(bytes) {
    if (stream) stream_ = reinterpret_cast<Handle>(*stream);
    const DeviceScope scope(device);
    const Driver& api = driver();
    generation_ = driver_generation();
    if (bytes == 0) return;
    const auto allocate = [&] {
        return stream_ ? api.allocate_async(&address_, bytes, pool_of(device), *stream_)
                       : api.allocate(&address_, bytes);
    };
    Status status = allocate();
    // Memory that the pool keeps is of no use to others.
    if (status == kOutOfMemory && api.trim_pool(pool_of(device), 0) == kSuccess) status = allocate();
    if (status == kOutOfMemory) {
        std::size_t free = 0;
        std::size_t total = 0;
        api.memory_info(&free, &total);
        throw OutOfMemory("GPU " + std::to_string(device) + " has no room for " + std::to_string(bytes) + " bytes (" +
                          std::to_string(free) + " of " + std::to_string(total) + " are free)");
    }
    check(status, "cuMemAlloc");
}

Buffer::~Buffer() {
    if (address_ == 0 || generation_ != driver_generation()) return;
    try {
        const DeviceScope scope(device_);
        if (stream_)
            driver().free_async(address_, *stream_);
        else
            driver().free(address_);
    } catch (const std::exception&) {  // in a forked child there is nothing to free
    }
}

void synchronize(int device, std::uintptr_t stream) {
    const DeviceScope scope(device);
    check(driver().synchronize(reinterpret_cast<Handle>(stream)), "cuStreamSynchronize");
}

void copy_to_device_and_wait(int device, std::uintptr_t stream, Address to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    const DeviceScope scope(device);
    const Handle handle = reinterpret_cast<Handle>(stream);
    check(driver().copy_to_device(to, from, bytes, handle), "cuMemcpyHtoDAsync");
    check(driver().synchronize(handle), "cuStreamSynchronize");
}

void copy_to_host_and_wait(int device, std::uintptr_t stream, void* to, Address from, std::size_t bytes) {
    const DeviceScope scope(device);
    const Handle handle = reinterpret_cast<Handle>(stream);
    if (bytes != 0) check(driver().copy_to_host(to, from, bytes, handle), "cuMemcpyDtoHAsync");
    check(driver().synchronize(handle), "cuStreamSynchronize");
}

void wait_for(int device, std::uintptr_t stream, std::uintptr_t other) {
    if (stream == other) return;
    const DeviceScope scope(device);
    const Driver& api = driver();
    Handle event = nullptr;
    check(api.create_event(&event, kEventWithoutTiming), "cuEventCreate");
    const Status recorded = api.record_event(event, reinterpret_cast<Handle>(other));
    const Status waiting = recorded != 0 ? recorded : api.wait_event(reinterpret_cast<Handle>(stream), event, 0);
    api.destroy_event(event);  // once it has happened
    check(waiting, "cuStreamWaitEvent");
}

}  // namespace aigc_fast::cuda
