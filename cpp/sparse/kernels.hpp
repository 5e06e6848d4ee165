// The kernels of sparse scans: what every instruction set provides.
#pragma once

#include <cstddef>
#include <cstdint>

namespace aigc_fast {

inline constexpr std::size_t kColumnTile = 64;  // rows of a dense column that lie together
inline constexpr std::size_t kPeakStep = 16;    // peaks come in such numbers

struct SparseKernels {
    // sums[r] += values[i] * tile[slots[i] * kColumnTile + r] for every i and the rows of one tile.
    void (*add_columns)(const std::int16_t* tile, const std::uint32_t* slots, const std::int32_t* values,
                        std::size_t count, std::int32_t* sums);
    // peaks[r % peak_count] = the largest sums[r] * scale[r] in float32, or what it was before.
    void (*peaks_i32)(const std::int32_t* sums, const float* scale, std::size_t rows, float* peaks,
                      std::size_t peak_count);
    void (*peaks_f64)(const double* sums, const float* scale, std::size_t rows, float* peaks, std::size_t peak_count);
    // Writes the rows with not (sums[r] * scale[r] < cutoff), in ascending order, and returns their number.
    std::size_t (*hits_i32)(const std::int32_t* sums, const float* scale, std::size_t rows, float cutoff,
                            std::uint32_t* hits);
    std::size_t (*hits_f64)(const double* sums, const float* scale, std::size_t rows, float cutoff,
                            std::uint32_t* hits);
};

extern const SparseKernels sparse_scalar;
extern const SparseKernels sparse_avx2;
extern const SparseKernels sparse_avx512;
extern const SparseKernels sparse_neon;

}  // namespace aigc_fast
