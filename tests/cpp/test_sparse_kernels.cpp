// The kernels of sparse scans against plain loops, on every instruction set.
#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "dispatch/kernels.hpp"
#include "guarded_array.hpp"

using namespace aigc_fast;
using test::GuardedArray;

namespace {

// Rows of 0 to 40 entries, of columns that have slots or not, in arrays that end where they must.
template <class Panel, class Value>
void check_add_rows(const char* isa, const PanelKernels<Panel, Value>& kernels, std::size_t count, std::size_t stretch,
                    std::mt19937_64& random) {
    using Factor = typename Panel::Factor;
    constexpr std::size_t columns = 30, slot_count = 20;
    std::uniform_int_distribution<int> any(-30, 30);
    GuardedArray<std::size_t> offsets(count + 1);
    offsets[0] = 0;
    for (std::size_t r = 0; r < count; ++r) offsets[r + 1] = offsets[r] + random() % 40;
    GuardedArray<std::uint32_t> entry_columns(offsets[count]);
    GuardedArray<Value> values(offsets[count]);
    GuardedArray<std::uint32_t> slots(columns);
    GuardedArray<Factor> factors(slot_count * Panel::kLanes);
    GuardedArray<typename Panel::Sum> sums(count * Panel::kLanes);
    for (auto& column : entry_columns) column = static_cast<std::uint32_t>(random() % columns);
    for (auto& value : values) value = static_cast<Value>(any(random));
    for (auto& slot : slots) slot = static_cast<std::uint32_t>(random() % slot_count);
    for (auto& factor : factors) factor = static_cast<Factor>(any(random));
    for (auto& sum : sums) sum = 99;  // what was there does not matter
    kernels.add_rows({offsets.data(), entry_columns.data(), values.data(), count}, slots.data(), factors.data(),
                     stretch, sums.data());
    bool same = true;
    for (std::size_t r = 0; r < count; ++r)
        for (std::size_t lane = 0; lane < Panel::kLanes; ++lane) {
            double sum = 0.0;
            for (std::size_t e = offsets[r]; e < offsets[r + 1]; ++e)
                sum += static_cast<double>(values[e]) *
                       static_cast<double>(factors[slots[entry_columns[e]] * Panel::kLanes + lane]);
            same = same && static_cast<double>(sums[r * Panel::kLanes + lane]) == sum;
        }
    CHECK_CASE(same, "%s, %zu rows of %zu-byte values, stretches of %zu", isa, count, sizeof(Value), stretch);
}

// The largest products that a stretch may have: int16 holds them and no more.
void check_full_stretch(const char* isa, const PanelKernels<IntegerPanel, std::int16_t>& kernels) {
    constexpr std::size_t entries = 100;
    const std::size_t offsets[] = {0, entries};
    const std::vector<std::uint32_t> columns(entries, 0);
    const std::vector<std::int16_t> values(entries, -258);
    const std::uint32_t slot = 0;
    const std::vector<std::int8_t> factors(IntegerPanel::kLanes, -127);
    std::vector<std::int32_t> sums(IntegerPanel::kLanes);
    kernels.add_rows({offsets, columns.data(), values.data(), 1}, &slot, factors.data(), 1, sums.data());
    for (const std::int32_t sum : sums) CHECK_CASE(sum == 258 * 127 * 100, "%s, %d", isa, static_cast<int>(sum));
}

// Sums and scales of both signs, some estimates equal to the bound.
template <class Panel>
struct Estimates {
    using Sum = typename Panel::Sum;
    Estimates(std::size_t rows, std::mt19937_64& random) : sums(rows * Panel::kLanes), scale(rows) {
        std::uniform_int_distribution<int> any(-1000000, 1000000);
        for (auto& sum : sums) sum = static_cast<Sum>(random() % 4 == 0 ? 3 : any(random));
        for (auto& x : scale) x = random() % 4 == 0 ? 0.25f : static_cast<float>(any(random)) * 1e-6f;
    }
    float product(std::size_t row, std::size_t lane) const {
        return static_cast<float>(sums[row * Panel::kLanes + lane]) * scale[row];
    }
    GuardedArray<Sum> sums;
    GuardedArray<float> scale;
};

template <class Panel, class Peaks>
void check_peaks(const char* isa, Peaks kernel, std::size_t rows, std::size_t peak_count, std::mt19937_64& random) {
    const Estimates<Panel> estimates(rows, random);
    GuardedArray<float> pull(Panel::kLanes);
    for (auto& x : pull) x = random() % 2 ? 0.0f : static_cast<float>(random() % 100);
    GuardedArray<float> peaks(peak_count * Panel::kLanes);
    std::fill(peaks.begin(), peaks.end(), 0.5f);
    std::vector<float> expected(peaks.begin(), peaks.end());
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t lane = 0; lane < Panel::kLanes; ++lane) {
            float& peak = expected[r % peak_count * Panel::kLanes + lane];
            peak = std::max(peak, estimates.product(r, lane) / (1.0f + pull[lane] * estimates.scale[r]));
        }
    kernel(estimates.sums.data(), estimates.scale.data(), rows, pull.data(), peaks.data(), peak_count);
    CHECK_CASE(std::equal(peaks.begin(), peaks.end(), expected.begin()), "%s, %zu lanes, %zu rows, %zu peaks", isa,
               Panel::kLanes, rows, peak_count);
}

template <class Panel, class Hits>
void check_hits(const char* isa, Hits kernel, std::size_t rows, float bound, std::mt19937_64& random) {
    const Estimates<Panel> estimates(rows, random);
    LaneBounds<Panel::kLanes> bounds;
    GuardedArray<float> row_least(rows);
    for (auto& x : bounds.least) x = random() % 4 ? bound : 0.75f;
    for (auto& x : bounds.length) x = random() % 2 ? 1.0f : 100.0f;
    for (auto& x : bounds.pull) x = random() % 2 ? 0.0f : 2.0f;
    for (auto& x : row_least) x = random() % 2 ? std::numeric_limits<float>::infinity() : 0.75f;
    std::vector<std::uint32_t> expected;
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t lane = 0; lane < Panel::kLanes; ++lane)
            if (!(estimates.product(r, lane) < std::min(bounds.least[lane], row_least[r] * bounds.length[lane]) *
                                                   (1.0f + bounds.pull[lane] * estimates.scale[r])))
                expected.push_back(static_cast<std::uint32_t>(r * Panel::kLanes + lane));
    GuardedArray<std::uint32_t> hits(rows * Panel::kLanes);
    const std::size_t count =
        kernel(estimates.sums.data(), estimates.scale.data(), row_least.data(), rows, bounds, hits.data());
    CHECK_CASE(count == expected.size() && std::equal(expected.begin(), expected.end(), hits.begin()),
               "%s, %zu lanes, %zu rows, bound %g", isa, Panel::kLanes, rows, static_cast<double>(bound));
}

template <class Panel, class Value>
void check_panel(const char* isa, const PanelKernels<Panel, Value>& kernels, std::mt19937_64& random) {
    for (std::size_t rows = 0; rows <= 40; ++rows) {
        for (const std::size_t stretch : {std::size_t{1}, std::size_t{7}, std::size_t{36}})
            check_add_rows(isa, kernels, rows, stretch, random);
        for (const std::size_t peak_count : {1, 3, 32})
            check_peaks<Panel>(isa, kernels.raise_peaks, rows, peak_count, random);
        for (const float bound : {-1e9f, 0.75f, 900000.0f, 1e9f})
            check_hits<Panel>(isa, kernels.find_hits, rows, bound, random);
    }
}

}  // namespace

int main() {
    std::mt19937_64 random(3);
    for (const char* isa : available_isas()) {
        set_isa(isa);
        const SparseKernels& kernels = *active_kernels().sparse;
        check_panel(isa, kernels.integers, random);
        check_panel(isa, kernels.floats, random);
        check_panel(isa, kernels.doubles, random);
        check_full_stretch(isa, kernels.integers);
    }
    return test::result();
}
