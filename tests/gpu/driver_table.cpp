// The table of driver functions, its structures and numbers, against NVIDIA's header: the same number of parameters,
// each of the same size and kind. It is compiled, not run.
#include <cuda.h>

#include <array>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include "host/driver.hpp"

namespace {

using Parameter = std::pair<std::size_t, bool>;  // size, pointer

template <class Function>
struct Signature;
template <class Result, class... Parameters>
struct Signature<Result (*)(Parameters...)> {
    static constexpr std::size_t count = sizeof...(Parameters);
    static constexpr std::array<Parameter, count> parameters{
        Parameter{sizeof(Parameters), std::is_pointer_v<Parameters>}...};
};

template <class Ours, class Theirs>
constexpr bool fits() {
    if (Signature<Ours>::count != Signature<Theirs>::count) return false;
    for (std::size_t i = 0; i < Signature<Ours>::count; ++i) {
        const Parameter ours = Signature<Ours>::parameters[i];
        const Parameter theirs = Signature<Theirs>::parameters[i];
        if (ours.first != theirs.first || ours.second != theirs.second) return false;
    }
    return true;
}

// Expanded by the header, a name that it has a later version of is another one.
#define AIGC_FAST_TEXT(text) #text
#define AIGC_FAST_EXPANDED(text) AIGC_FAST_TEXT(text)
#define AIGC_FAST_CHECK(member, symbol, parameters)                                                 \
    static_assert(fits<decltype(aigc_fast::cuda::Driver::member), decltype(&::symbol)>(), #symbol); \
    static_assert(std::string_view(AIGC_FAST_EXPANDED(symbol)) == #symbol, #symbol " has a later version");
AIGC_FAST_DRIVER_FUNCTIONS(AIGC_FAST_CHECK)

static_assert(sizeof(CUmemPoolProps) == sizeof(aigc_fast::cuda::PoolProperties));
static_assert(offsetof(CUmemPoolProps, location.id) == offsetof(aigc_fast::cuda::PoolProperties, location));
static_assert(offsetof(CUmemPoolProps, maxSize) == offsetof(aigc_fast::cuda::PoolProperties, max_size));
static_assert(offsetof(CUmemPoolProps, usage) == offsetof(aigc_fast::cuda::PoolProperties, usage));
using namespace aigc_fast::cuda;
static_assert(kPinnedAllocation == CU_MEM_ALLOCATION_TYPE_PINNED && kDeviceLocation == CU_MEM_LOCATION_TYPE_DEVICE);
static_assert(kReleaseThreshold == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD);
static_assert(kMajorAttribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
static_assert(kMinorAttribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
static_assert(kOrdinalAttribute == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL);
static_assert(kSharedBytesAttribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
static_assert(kEventWithoutTiming == CU_EVENT_DISABLE_TIMING);
static_assert(kSuccess == CUDA_SUCCESS && kOutOfMemory == CUDA_ERROR_OUT_OF_MEMORY);
static_assert(kNotInitialized == CUDA_ERROR_NOT_INITIALIZED && kNoDevice == CUDA_ERROR_NO_DEVICE);
static_assert(kInvalidContext == CUDA_ERROR_INVALID_CONTEXT);
static_assert(kIllegalAddress == CUDA_ERROR_ILLEGAL_ADDRESS && kLaunchFailed == CUDA_ERROR_LAUNCH_FAILED);
static_assert(kCaptureUnsupported == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
static_assert(kCapturedEvent == CUDA_ERROR_CAPTURED_EVENT);
// gpu/memory.py has the handles of these streams.
static_assert(std::string_view(AIGC_FAST_EXPANDED(CU_STREAM_LEGACY)) == "((CUstream)0x1)");
static_assert(std::string_view(AIGC_FAST_EXPANDED(CU_STREAM_PER_THREAD)) == "((CUstream)0x2)");

}  // namespace
