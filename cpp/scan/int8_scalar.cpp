#include <cstddef>
#include <cstdint>

#include "base/simd_scalar.hpp"
#include "scan/int8.hpp"
#include "scan/pair_products.hpp"

namespace {

using aigc_fast::kCodeGroup;
using aigc_fast::kCodeRows;

constexpr std::int32_t kCodeOffset = 128;

struct Codes {
    const std::uint8_t* bytes;
    static Codes load(const std::uint8_t* codes) { return {codes}; }
};

struct QueryCodes {
    const std::int8_t* bytes;
    static QueryCodes broadcast(const std::int8_t* codes) { return {codes}; }
};

struct Signs {
    bool negative;
    friend Signs operator&(Signs a, Signs b) { return {a.negative && b.negative}; }
    bool all_negative() const { return negative; }
};

struct Sums {
    std::int32_t row[kCodeRows];

    static Sums start(std::int32_t value) {
        Sums sums;
        for (auto& sum : sums.row) sum = value;
        return sums;
    }
    void add(Codes codes, QueryCodes query) {
        for (std::size_t r = 0; r < kCodeRows; ++r)
            for (std::size_t j = 0; j < kCodeGroup; ++j) row[r] += codes.bytes[r * kCodeGroup + j] * query.bytes[j];
    }
    Signs signs() const {
        for (const auto sum : row)
            if (sum >= 0) return {false};
        return {true};
    }
    void store(std::int32_t* out) const {
        for (std::size_t r = 0; r < kCodeRows; ++r) out[r] = row[r];
    }
};

unsigned not_negative(const std::int32_t* sums) {
    unsigned rows = 0;
    for (std::size_t r = 0; r < kCodeRows; ++r) rows |= (sums[r] >= 0 ? 1u : 0u) << r;
    return rows;
}

template <std::size_t Width>
constexpr std::size_t kTileQueries = 1;
template <std::size_t Width>
constexpr std::size_t kTileBlocks = 1;

using PairProducts = PlainPairProducts;

}  // namespace

#include "scan/int8_impl.hpp"

namespace aigc_fast {
const Int8ScanKernels int8_scan_scalar = kInt8ScanKernels;
}
