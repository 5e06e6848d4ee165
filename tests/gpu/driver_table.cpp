// The table of driver functions against NVIDIA's header: the same number of parameters, each of the same size and
// kind. It is compiled, not run.
#include <cuda.h>

#include <array>
#include <cstddef>
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

#define AIGC_FAST_CHECK(member, symbol, parameters) \
    static_assert(fits<decltype(aigc_fast::cuda::Driver::member), decltype(&::symbol)>(), #symbol);
AIGC_FAST_DRIVER_FUNCTIONS(AIGC_FAST_CHECK)

static_assert(sizeof(CUmemPoolProps) == sizeof(aigc_fast::cuda::PoolProperties));
static_assert(offsetof(CUmemPoolProps, location.id) == offsetof(aigc_fast::cuda::PoolProperties, location));
static_assert(offsetof(CUmemPoolProps, maxSize) == offsetof(aigc_fast::cuda::PoolProperties, max_size));
static_assert(CU_MEM_ALLOCATION_TYPE_PINNED == 1 && CU_MEM_LOCATION_TYPE_DEVICE == 1);
static_assert(CU_MEMPOOL_ATTR_RELEASE_THRESHOLD == 4);
static_assert(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR == 75);
static_assert(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR == 76);
static_assert(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL == 9);
static_assert(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES == 8);
static_assert(CU_EVENT_DISABLE_TIMING == 2);
static_assert(CUDA_ERROR_OUT_OF_MEMORY == 2 && CUDA_ERROR_NOT_INITIALIZED == 3 && CUDA_ERROR_NO_DEVICE == 100);

}  // namespace
