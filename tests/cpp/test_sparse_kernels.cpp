// The kernels of sparse scans against plain loops, on every instruction set.
#include <algorithm>
#include <random>
#include <vector>

#include "check.hpp"
#include "dispatch/kernels.hpp"
#include "guarded_array.hpp"

using namespace aigc_fast;
using test::GuardedArray;

namespace {

void check_add_columns(const Kernels& kernels, std::size_t count, std::mt19937_64& random) {
    constexpr std::size_t columns = 5;
    std::uniform_int_distribution<int> any(-32768, 32767);
    GuardedArray<std::int16_t> tile(columns * kColumnTile);
    GuardedArray<std::uint32_t> slots(count);
    GuardedArray<std::int32_t> values(count);
    GuardedArray<std::int32_t> sums(kColumnTile);
    for (auto& x : tile) x = static_cast<std::int16_t>(any(random));
    for (auto& slot : slots) slot = static_cast<std::uint32_t>(random() % columns);
    for (auto& value : values) value = any(random) / 1000;  // so that sums stay in range
    for (auto& sum : sums) sum = any(random);
    std::vector<std::int32_t> expected(sums.begin(), sums.end());
    for (std::size_t i = 0; i < count; ++i)
        for (std::size_t r = 0; r < kColumnTile; ++r) expected[r] += values[i] * tile[slots[i] * kColumnTile + r];
    kernels.sparse->add_columns(tile.data(), slots.data(), values.data(), count, sums.data());
    CHECK_CASE(std::equal(sums.begin(), sums.end(), expected.begin()), "%s, %zu columns", kernels.isa, count);
}

// Sums and scales of both signs, some estimates equal to the cutoff.
template <class Sum>
struct Estimates {
    Estimates(std::size_t rows, std::mt19937_64& random) : sums(rows), scale(rows), values(rows) {
        std::uniform_int_distribution<int> any(-1000000, 1000000);
        for (std::size_t r = 0; r < rows; ++r) {
            sums[r] = static_cast<Sum>(random() % 4 == 0 ? 3 : any(random));
            scale[r] = random() % 4 == 0 ? 0.25f : static_cast<float>(any(random)) * 1e-6f;
            values[r] = static_cast<float>(sums[r]) * scale[r];
        }
    }
    GuardedArray<Sum> sums;
    GuardedArray<float> scale;
    std::vector<float> values;
};

template <class Sum, class Peaks>
void check_peaks(const char* isa, Peaks kernel, std::size_t rows, std::size_t peak_count, std::mt19937_64& random) {
    const Estimates<Sum> estimates(rows, random);
    GuardedArray<float> peaks(peak_count);
    std::fill(peaks.begin(), peaks.end(), 0.5f);
    std::vector<float> expected(peaks.begin(), peaks.end());
    for (std::size_t r = 0; r < rows; ++r)
        expected[r % peak_count] = std::max(expected[r % peak_count], estimates.values[r]);
    kernel(estimates.sums.data(), estimates.scale.data(), rows, peaks.data(), peak_count);
    CHECK_CASE(std::equal(peaks.begin(), peaks.end(), expected.begin()), "%s, %zu-byte sums, %zu rows, %zu peaks", isa,
               sizeof(Sum), rows, peak_count);
}

template <class Sum, class Hits>
void check_hits(const char* isa, Hits kernel, std::size_t rows, float cutoff, std::mt19937_64& random) {
    const Estimates<Sum> estimates(rows, random);
    std::vector<std::uint32_t> expected;
    for (std::size_t r = 0; r < rows; ++r)
        if (!(estimates.values[r] < cutoff)) expected.push_back(static_cast<std::uint32_t>(r));
    GuardedArray<std::uint32_t> hits(rows);
    const std::size_t count = kernel(estimates.sums.data(), estimates.scale.data(), rows, cutoff, hits.data());
    CHECK_CASE(count == expected.size() && std::equal(expected.begin(), expected.end(), hits.begin()),
               "%s, %zu-byte sums, %zu rows, cutoff %g", isa, sizeof(Sum), rows, static_cast<double>(cutoff));
}

}  // namespace

int main() {
    std::mt19937_64 random(3);
    for (const char* isa : available_isas()) {
        set_isa(isa);
        const Kernels& kernels = active_kernels();
        for (std::size_t count = 0; count <= 20; ++count) check_add_columns(kernels, count, random);
        for (std::size_t rows = 0; rows <= 200; ++rows) {
            for (const std::size_t peak_count : {kPeakStep, 3 * kPeakStep}) {
                check_peaks<std::int32_t>(isa, kernels.sparse->peaks_i32, rows, peak_count, random);
                check_peaks<double>(isa, kernels.sparse->peaks_f64, rows, peak_count, random);
            }
            for (const float cutoff : {-1e9f, 0.75f, 900000.0f, 1e9f}) {
                check_hits<std::int32_t>(isa, kernels.sparse->hits_i32, rows, cutoff, random);
                check_hits<double>(isa, kernels.sparse->hits_f64, rows, cutoff, random);
            }
        }
    }
    return test::result();
}
