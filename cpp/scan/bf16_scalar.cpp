#include <cstddef>
#include <cstdint>

#include "base/simd_scalar.hpp"
#include "scan/bf16.hpp"
#include "scan/bf16_round.hpp"

namespace {

using aigc_fast::kCodeGroup;
using aigc_fast::kCodeRows;

inline float load_bf16(const void* p) {
    std::uint16_t bf16;
    __builtin_memcpy(&bf16, p, sizeof bf16);
    return float_of(bf16);
}

struct Codes {
    const std::uint8_t* bytes;
    static Codes load(const std::uint8_t* codes) { return {codes}; }
};

struct QueryCodes {
    float first;
    float second;
    static QueryCodes broadcast(const std::int8_t* codes) { return {load_bf16(codes), load_bf16(codes + 2)}; }
};

struct Signs {
    bool negative;
    friend Signs operator&(Signs a, Signs b) { return {a.negative && b.negative}; }
    bool all_negative() const { return negative; }
};

inline bool sign_of(float x) { return __builtin_signbit(x) != 0; }

struct Sums {
    float row[kCodeRows];

    static Sums start(float value) {
        Sums sums;
        for (auto& sum : sums.row) sum = value;
        return sums;
    }
    void add(Codes codes, QueryCodes query) {
        for (std::size_t r = 0; r < kCodeRows; ++r) {
            const std::uint8_t* pair = codes.bytes + r * kCodeGroup;
            row[r] = row[r] + load_bf16(pair + 2) * query.second + load_bf16(pair) * query.first;
        }
    }
    Signs signs() const {
        for (const auto sum : row)
            if (!sign_of(sum)) return {false};
        return {true};
    }
    void store(float* out) const {
        for (std::size_t r = 0; r < kCodeRows; ++r) out[r] = row[r];
    }
};

unsigned not_negative(const float* sums) {
    unsigned rows = 0;
    for (std::size_t r = 0; r < kCodeRows; ++r) rows |= (sign_of(sums[r]) ? 0u : 1u) << r;
    return rows;
}

template <std::size_t Width>
constexpr std::size_t kTileQueries = 1;
template <std::size_t Width>
constexpr std::size_t kTileBlocks = 1;

constexpr std::size_t kEncodeChunk = 2;

void encode_chunk(const float* rows, std::size_t stride, std::size_t, std::uint8_t* codes, F32* left_squares,
                  F32* code_squares) {
    for (std::size_t i = 0; i < kCodeRows; ++i)
        for (std::size_t j = 0; j < 2; ++j) {
            const float x = rows[i * stride + j];
            const std::uint16_t code = bf16_of(x);
            __builtin_memcpy(codes + i * kCodeGroup + 2 * j, &code, sizeof code);
            const F32 code_f32 = {float_of(code)};
            const F32 left_f32 = F32::sub({x}, code_f32);
            left_squares[i] = F32::fma(left_f32, left_f32, left_squares[i]);
            code_squares[i] = F32::fma(code_f32, code_f32, code_squares[i]);
        }
}

}  // namespace

#include "scan/bf16_impl.hpp"

namespace aigc_fast {
const CodeScanKernels bf16_scan_scalar = kBf16ScanKernels;
}
