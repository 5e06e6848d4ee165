// The kernels of panels in vectors of the compiler's own, for the instruction set of the file that includes this, which
// also defines kRegisterBytes. Sums are exact and estimates only propose, so the bits of results do not depend on how.
#pragma once

#include "sparse/kernels.hpp"

namespace {

// Typedefs, since GCC ignores the attributes in a dependent alias.
template <class T, std::size_t bytes = kRegisterBytes>
struct VectorOf {
    typedef T type __attribute__((vector_size(bytes)));
    typedef T anywhere __attribute__((vector_size(bytes), aligned(sizeof(T)), may_alias));
    static constexpr std::size_t kLanes = bytes / sizeof(T);
};
template <class T, std::size_t bytes = kRegisterBytes>
using Vector = typename VectorOf<T, bytes>::type;

// Not by memcpy, which would keep the vector that is stored in memory all the time.
template <class T, std::size_t bytes = kRegisterBytes>
Vector<T, bytes> load(const T* p) {
    return *reinterpret_cast<const typename VectorOf<T, bytes>::anywhere*>(p);
}
template <std::size_t bytes = kRegisterBytes, class T>
void store(T* p, Vector<T, bytes> vector) {
    *reinterpret_cast<typename VectorOf<T, bytes>::anywhere*>(p) = vector;
}

// As many float32 and comparisons as sums fit a register.
template <class Sum>
constexpr std::size_t kEstimateBytes = kRegisterBytes / sizeof(Sum) * sizeof(float);
template <class Sum>
using Estimates = Vector<float, kEstimateBytes<Sum>>;

template <class Sum>
Estimates<Sum> as_f32(const Sum* sums) {
    return __builtin_convertvector(load(sums), Estimates<Sum>);
}

// The sums of all lanes. Members by recursion, since the compiler leaves arrays of vectors in memory.
template <class T, std::size_t count>
struct Totals {
    Vector<T> first = {};
    Totals<T, count - 1> others;

    template <class Factor>
    void add(const Factor* column, T value) {
        Vector<T> factors;  // filled by one load that widens
#pragma GCC unroll 32
        for (std::size_t lane = 0; lane < VectorOf<T>::kLanes; ++lane) factors[lane] = column[lane];
        first += factors * value;
        others.add(column + VectorOf<T>::kLanes, value);
    }
    void write(T* out) const {
        store(out, first);
        others.write(out + VectorOf<T>::kLanes);
    }
};
template <class T>
struct Totals<T, 0> {
    template <class Factor>
    void add(const Factor*, T) {}
    void write(T*) const {}
};

// The sums of the products of entries begin to end.
template <class Panel, class Value>
void add_entries(const aigc_fast::PanelRows<Value>& rows, std::size_t begin, std::size_t end,
                 const std::uint32_t* slots, const typename Panel::Factor* factors, typename Panel::Total* out) {
    using Total = typename Panel::Total;
    Totals<Total, Panel::kLanes / VectorOf<Total>::kLanes> totals;
    for (std::size_t e = begin; e < end; ++e)
        totals.add(factors + std::size_t{slots[rows.columns[e]]} * Panel::kLanes, static_cast<Total>(rows.values[e]));
    totals.write(out);
}

void add_integer_rows(const aigc_fast::PanelRows<std::int16_t>& rows, const std::uint32_t* slots,
                      const std::int8_t* factors, std::size_t stretch, std::int32_t* sums) {
    using Panel = aigc_fast::IntegerPanel;
    using Wide = Vector<std::int32_t>;
    constexpr std::size_t lanes = VectorOf<std::int32_t>::kLanes;
    for (std::size_t row = 0; row < rows.count; ++row, sums += Panel::kLanes) {
        __builtin_memset(sums, 0, Panel::kLanes * sizeof(std::int32_t));
        const std::size_t last = rows.offsets[row + 1];
        for (std::size_t begin = rows.offsets[row], end; begin < last; begin = end) {
            end = last - begin > stretch ? begin + stretch : last;
            std::int16_t part[Panel::kLanes];
            add_entries<Panel>(rows, begin, end, slots, factors, part);
            for (std::size_t lane = 0; lane < Panel::kLanes; lane += lanes)
                store(sums + lane, load(sums + lane) + __builtin_convertvector(
                                                           load<std::int16_t, sizeof(Wide) / 2>(part + lane), Wide));
        }
    }
}

template <class Value>
void add_real_rows(const aigc_fast::PanelRows<Value>& rows, const std::uint32_t* slots, const double* factors,
                   std::size_t, double* sums) {
    using Panel = aigc_fast::RealPanel;
    for (std::size_t row = 0; row < rows.count; ++row)
        add_entries<Panel>(rows, rows.offsets[row], rows.offsets[row + 1], slots, factors, sums + row * Panel::kLanes);
}

template <class Panel>
void raise_peaks(const typename Panel::Sum* sums, const float* scale, std::size_t rows, const float* pull, float* peaks,
                 std::size_t peak_count) {
    using Floats = Estimates<typename Panel::Sum>;
    for (std::size_t row = 0; row < rows; ++row, sums += Panel::kLanes)
        for (std::size_t lane = 0; lane < Panel::kLanes; lane += sizeof(Floats) / sizeof(float)) {
            float* at = peaks + row % peak_count * Panel::kLanes + lane;
            const auto before = load<float, sizeof(Floats)>(at);
            const Floats estimates =
                as_f32(sums + lane) * scale[row] / (1.0f + load<float, sizeof(Floats)>(pull + lane) * scale[row]);
            store<sizeof(Floats)>(at, estimates > before ? estimates : before);
        }
}

template <class Panel>
std::size_t find_hits(const typename Panel::Sum* sums, const float* scale, const float* row_least, std::size_t rows,
                      const aigc_fast::LaneBounds<Panel::kLanes>& bounds, std::uint32_t* hits) {
    using Floats = Estimates<typename Panel::Sum>;
    using Masks = Vector<std::int32_t, sizeof(Floats)>;
    constexpr std::size_t kLanes = sizeof(Floats) / sizeof(float);
    constexpr std::size_t kRows = 8;  // most such groups of rows have no hit
    std::size_t count = 0;
    for (std::size_t begin = 0; begin < rows; begin += kRows) {
        const std::size_t end = begin + kRows < rows ? begin + kRows : rows;
        Masks below = ~Masks{};
        for (std::size_t lane = 0; lane < Panel::kLanes; lane += kLanes) {
            const auto least = load<float, sizeof(Floats)>(bounds.least + lane);
            const auto length = load<float, sizeof(Floats)>(bounds.length + lane);
            const auto pull = load<float, sizeof(Floats)>(bounds.pull + lane);
            for (std::size_t row = begin; row < end; ++row) {
                const Floats of_row = row_least[row] * length;
                const Floats bound = (of_row < least ? of_row : least) * (1.0f + pull * scale[row]);
                below &= as_f32(sums + row * Panel::kLanes + lane) * scale[row] < bound;
            }
        }
        std::int32_t all_below = -1;
        for (std::size_t lane = 0; lane < kLanes; ++lane) all_below &= below[lane];
        if (all_below) continue;
        for (std::size_t row = begin; row < end; ++row)
            for (std::size_t lane = 0; lane < Panel::kLanes; ++lane) {
                const std::size_t at = row * Panel::kLanes + lane;
                const float of_row = row_least[row] * bounds.length[lane];
                const float least = of_row < bounds.least[lane] ? of_row : bounds.least[lane];
                hits[count] = static_cast<std::uint32_t>(at);
                count += !(static_cast<float>(sums[at]) * scale[row] < least * (1.0f + bounds.pull[lane] * scale[row]));
            }
    }
    return count;
}

constexpr aigc_fast::SparseKernels kSparseKernels = {
    {add_integer_rows, raise_peaks<aigc_fast::IntegerPanel>, find_hits<aigc_fast::IntegerPanel>},
    {add_real_rows<float>, raise_peaks<aigc_fast::RealPanel>, find_hits<aigc_fast::RealPanel>},
    {add_real_rows<double>, raise_peaks<aigc_fast::RealPanel>, find_hits<aigc_fast::RealPanel>}};

}  // namespace
