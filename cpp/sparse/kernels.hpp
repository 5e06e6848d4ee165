// The kernels of panels: what every instruction set provides.
//
// A panel is a few queries, its lanes, as a dense matrix of factors: what each of them has in a column lies side by
// side, [slot of the column][lane]. An entry of a row is multiplied with the factors of all lanes at once, and the sums
// stay in registers from a row's first entry to its last.
#pragma once

#include <cstddef>
#include <cstdint>

namespace aigc_fast {

// How a panel counts. Integers are exact in any order: products are added up in int16 for a stretch of entries that is
// sure to fit, and stretches in int32. Real sums take their terms in ascending order of column.
struct IntegerPanel {
    using Factor = std::int8_t;
    using Total = std::int16_t;
    using Sum = std::int32_t;
    static constexpr std::size_t kLanes = 64;
};
struct RealPanel {
    using Factor = double;
    using Total = double;
    using Sum = double;
    static constexpr std::size_t kLanes = 16;
};

// Some consecutive rows: entries offsets[row] to offsets[row + 1] of columns and values.
template <class Value>
struct PanelRows {
    const std::size_t* offsets;
    const std::uint32_t* columns;
    const Value* values;
    std::size_t count;
};

// What estimates of a lane's sums are compared with: a score, times `length` where it is a row's.
template <std::size_t lanes>
struct LaneBounds {
    float least[lanes];
    float length[lanes];
    float pull[lanes];
};

template <class Panel, class Value>
struct PanelKernels {
    using Factor = typename Panel::Factor;
    using Sum = typename Panel::Sum;

    // sums[row][lane] = the sum over the row's entries of factors[slots[column]][lane] * value. Integers only: no
    // `stretch` products add up to more than int16 holds.
    void (*add_rows)(const PanelRows<Value>& rows, const std::uint32_t* slots, const Factor* factors,
                     std::size_t stretch, Sum* sums);
    // peaks[row % peak_count][lane] = the largest of the estimates and what it was before. An estimate is
    // sum * scale[row] / (1 + pull[lane] * scale[row]) in float32.
    void (*raise_peaks)(const Sum* sums, const float* scale, std::size_t rows, const float* pull, float* peaks,
                        std::size_t peak_count);
    // Writes row * lanes + lane, ascending, of the sums that may reach the lane's bound or the row's, and returns their
    // number: not (sum * scale[row] < min(least[lane], row_least[row] * length[lane]) * (1 + pull[lane] * scale[row])).
    std::size_t (*find_hits)(const Sum* sums, const float* scale, const float* row_least, std::size_t rows,
                             const LaneBounds<Panel::kLanes>& bounds, std::uint32_t* hits);
};

struct SparseKernels {
    PanelKernels<IntegerPanel, std::int16_t> integers;
    PanelKernels<RealPanel, float> floats;
    PanelKernels<RealPanel, double> doubles;
};

extern const SparseKernels sparse_scalar;
extern const SparseKernels sparse_avx2;
extern const SparseKernels sparse_avx512;
extern const SparseKernels sparse_neon;

}  // namespace aigc_fast
