// The CUDA driver, opened at run time: one table of its functions, so that the library needs no toolkit to be built, no
// GPU to be imported, and tests can put a fake in its place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <unordered_map>

namespace aigc_fast::cuda {

using Status = int;
using Address = std::uint64_t;  // of device memory
using Handle = void*;           // of a context, module, function, stream or event

struct PoolProperties {  // CUmemPoolProps
    int allocation_type;
    int handle_types;
    int location_type;
    int location;
    void* security;
    std::size_t max_size;
    unsigned short usage;
    unsigned char reserved[54];
};

constexpr int kOldestDriver = 12000;  // CUDA 12.0

// Of the driver's enumerations, what is used here.
enum : Status {
    kSuccess = 0,
    kOutOfMemory = 2,
    kNotInitialized = 3,
    kNoDevice = 100,
    kInvalidContext = 201,
    kIllegalAddress = 700,  // the first of what kernels do to their context
    kLaunchFailed = 719,    // and the last
    kCaptureUnsupported = 900,
    kCapturedEvent = 907,
};
constexpr int kMajorAttribute = 75;  // of a device: its compute capability
constexpr int kMinorAttribute = 76;
constexpr int kOrdinalAttribute = 9;         // of a pointer
constexpr int kSharedBytesAttribute = 8;     // of a function: the most dynamic shared memory
constexpr int kReleaseThreshold = 4;         // of a pool
constexpr int kPinnedAllocation = 1;         // of pools
constexpr int kDeviceLocation = 1;           // likewise
constexpr unsigned kEventWithoutTiming = 2;  // such events cost least

// (member, symbol in libcuda.so.1, parameters), after the CUDA driver API reference; tests/gpu/driver_table.cpp
// compares them with NVIDIA's header.
#define AIGC_FAST_DRIVER_FUNCTIONS(F)                                                                              \
    F(init, cuInit, (unsigned flags))                                                                              \
    F(driver_version, cuDriverGetVersion, (int* version))                                                          \
    F(error_name, cuGetErrorName, (Status status, const char** name))                                              \
    F(error_string, cuGetErrorString, (Status status, const char** text))                                          \
    F(device_count, cuDeviceGetCount, (int* count))                                                                \
    F(get_device, cuDeviceGet, (int* device, int ordinal))                                                         \
    F(device_name, cuDeviceGetName, (char* name, int length, int device))                                          \
    F(device_attribute, cuDeviceGetAttribute, (int* value, int attribute, int device))                             \
    F(pointer_attribute, cuPointerGetAttribute, (void* value, int attribute, Address pointer))                     \
    F(retain_context, cuDevicePrimaryCtxRetain, (Handle * context, int device))                                    \
    F(push_context, cuCtxPushCurrent_v2, (Handle context))                                                         \
    F(pop_context, cuCtxPopCurrent_v2, (Handle * context))                                                         \
    F(load_module, cuModuleLoadData, (Handle * module, const void* image))                                         \
    F(get_function, cuModuleGetFunction, (Handle * function, Handle module, const char* name))                     \
    F(set_function_attribute, cuFuncSetAttribute, (Handle function, int attribute, int value))                     \
    F(launch, cuLaunchKernel,                                                                                      \
      (Handle function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,     \
       unsigned block_z, unsigned shared_bytes, Handle stream, void** parameters, void** extra))                   \
    F(create_pool, cuMemPoolCreate, (Handle * pool, const PoolProperties* properties))                             \
    F(set_pool_attribute, cuMemPoolSetAttribute, (Handle pool, int attribute, void* value))                        \
    F(trim_pool, cuMemPoolTrimTo, (Handle pool, std::size_t kept_bytes))                                           \
    F(allocate_async, cuMemAllocFromPoolAsync, (Address * address, std::size_t bytes, Handle pool, Handle stream)) \
    F(free_async, cuMemFreeAsync, (Address address, Handle stream))                                                \
    F(allocate, cuMemAlloc_v2, (Address * address, std::size_t bytes))                                             \
    F(free, cuMemFree_v2, (Address address))                                                                       \
    F(memory_info, cuMemGetInfo_v2, (std::size_t* free, std::size_t* total))                                       \
    F(copy_to_device, cuMemcpyHtoDAsync_v2, (Address to, const void* from, std::size_t bytes, Handle stream))      \
    F(copy_to_host, cuMemcpyDtoHAsync_v2, (void* to, Address from, std::size_t bytes, Handle stream))              \
    F(synchronize, cuStreamSynchronize, (Handle stream))                                                           \
    F(create_event, cuEventCreate, (Handle * event, unsigned flags))                                               \
    F(record_event, cuEventRecord, (Handle event, Handle stream))                                                  \
    F(wait_event, cuStreamWaitEvent, (Handle stream, Handle event, unsigned flags))                                \
    F(destroy_event, cuEventDestroy_v2, (Handle event))

struct Driver {
#define AIGC_FAST_MEMBER(member, symbol, parameters) Status(*member) parameters = nullptr;
    AIGC_FAST_DRIVER_FUNCTIONS(AIGC_FAST_MEMBER)
#undef AIGC_FAST_MEMBER
};

// No GPU can be used here; the message names the cause and the fix.
struct Unavailable : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// No image for the device in what was loaded: kernels can still be compiled for it.
struct NoImage : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct OutOfMemory : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The CUDA version that the driver supports, as 13000 for 13.0.
int driver_version();

// The initialized driver; opens it on first use. Throws Unavailable.
const Driver& driver();

// For tests: addresses of functions by their symbols stand in for the driver's; without any, the real driver returns.
void replace_driver(const std::unordered_map<std::string, std::uintptr_t>& functions);

// Counts changes of the driver, so that handles of another one are never used.
unsigned driver_generation();

// What the driver calls an error.
std::string words(Status status);

// Throws OutOfMemory or std::runtime_error with the driver's words.
void check(Status status, const char* what);

}  // namespace aigc_fast::cuda
