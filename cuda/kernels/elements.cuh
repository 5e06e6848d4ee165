// Elements of every type that rows may have; all are exact in float64, and all but float64 in float32.
#pragma once

namespace aigc_fast {
namespace cuda {

struct Half {
    unsigned short bits;
};
struct BFloat16 {
    unsigned short bits;
};

__device__ __forceinline__ float as_f32(double x) { return static_cast<float>(x); }
__device__ __forceinline__ float as_f32(float x) { return x; }
__device__ __forceinline__ float as_f32(signed char x) { return static_cast<float>(x); }
__device__ __forceinline__ float as_f32(BFloat16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }
__device__ __forceinline__ float as_f32(Half x) {
    float value;  // no header of the toolkit is needed for an instruction
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(x.bits));
    return value;
}

__device__ __forceinline__ double as_f64(double x) { return x; }
template <class E>
__device__ __forceinline__ double as_f64(E x) {
    return static_cast<double>(as_f32(x));
}

template <class E>
struct IsF64 {
    static constexpr bool value = false;
};
template <>
struct IsF64<double> {
    static constexpr bool value = true;
};

}  // namespace cuda
}  // namespace aigc_fast
