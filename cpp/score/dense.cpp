// All pairs, and row normalization: the canonical arithmetic applied to whole matrices.
#include <algorithm>
#include <cmath>
#include <limits>

#include "aigc_fast/aigc_fast.hpp"
#include "base/aligned.hpp"
#include "base/float_environment.hpp"
#include "base/rows.hpp"
#include "base/thread_pool.hpp"
#include "dispatch/kernels.hpp"
#include "score/scorer.hpp"

namespace aigc_fast {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kTile = 4;                 // the canonical tile is 4 x 4
constexpr std::size_t kBlockRows = 128;          // rows converted at a time on each side
constexpr std::size_t kWorthAThread = 1u << 18;  // multiply-adds

int threads_for(std::size_t work, int requested) {
    const int threads = requested > 0 ? requested : default_num_threads();
    return static_cast<int>(std::clamp<std::size_t>(work / kWorthAThread, 1, static_cast<std::size_t>(threads)));
}

// One block of rows in canonical form, filled up to whole tiles with the last row.
class CanonicalBlock {
  public:
    CanonicalBlock(const RowReader& reader, std::size_t begin, Metric metric, const ScoreKernels& kernels)
        : begin(begin), count(std::min(kBlockRows, reader.rows() - begin)), values_(count * reader.dim()) {
        for (std::size_t i = 0; i < count; ++i) {
            double* row = values_.data() + i * reader.dim();
            rows[i] = canonical_row(reader, begin + i, metric, kernels, row);
            pointers[i] = row;
        }
        for (std::size_t i = count; i % kTile != 0; ++i) pointers[i] = pointers[count - 1];
    }

    std::size_t begin;
    std::size_t count;
    CanonicalRow rows[kBlockRows];
    const double* pointers[kBlockRows];

  private:
    AlignedArray<double> values_;
};

template <class Out>
void similarity_as(const Matrix& a, const Matrix& b, Metric metric, int num_threads, Out* scores) {
    const ScoreKernels& kernels = *active_kernels().score;
    const RowReader a_rows(a);
    const RowReader b_rows(b);
    const std::size_t a_blocks = (a.rows + kBlockRows - 1) / kBlockRows;
    const std::size_t b_blocks = (b.rows + kBlockRows - 1) / kBlockRows;
    const bool with_itself = a.data == b.data && a.rows == b.rows && a.row_stride == b.row_stride &&
                             a.col_stride == b.col_stride && a.dtype == b.dtype;
    const int threads = threads_for(a.rows * b.rows * std::max<std::size_t>(a.cols, 1), num_threads);
    parallel_for(a_blocks * b_blocks, threads, [&](std::size_t task, std::size_t) {
        const std::size_t a_block = task / b_blocks;
        const std::size_t b_block = task % b_blocks;
        if (with_itself && b_block < a_block) return;  // the score is symmetric bit for bit
        const CanonicalBlock left(a_rows, a_block * kBlockRows, metric, kernels);
        const CanonicalBlock right(b_rows, b_block * kBlockRows, metric, kernels);
        double dots[kTile * kTile];
        for (std::size_t i = 0; i < left.count; i += kTile)
            for (std::size_t j = 0; j < right.count; j += kTile) {
                kernels.tile_4x4(left.pointers + i, right.pointers + j, a.cols, dots);
                for (std::size_t r = i; r < std::min(i + kTile, left.count); ++r)
                    for (std::size_t c = j; c < std::min(j + kTile, right.count); ++c) {
                        const CanonicalRow& x = left.rows[r];
                        const CanonicalRow& y = right.rows[c];
                        const double dot = dots[kTile * (r - i) + (c - j)];
                        const auto score =
                            static_cast<Out>(x.finite && y.finite ? finish_score(metric, dot, x.norm, y.norm,
                                                                                 sizeof(Out) == sizeof(double))
                                                                  : kNaN);
                        scores[(left.begin + r) * b.rows + right.begin + c] = score;
                        if (with_itself) scores[(right.begin + c) * b.rows + left.begin + r] = score;
                    }
            }
    });
}

template <class Out>
void normalize_as(const Matrix& x, int num_threads, Out* out, Out* norms) {
    const ScoreKernels& kernels = *active_kernels().score;
    const auto divide = [&] {
        if constexpr (sizeof(Out) == sizeof(float))
            return kernels.divide_to_f32;
        else
            return kernels.divide_to_f64;
    }();
    const RowReader reader(x);
    const std::size_t dim = x.cols;
    const std::size_t task_rows = std::max<std::size_t>(1, (kWorthAThread / 4) / std::max<std::size_t>(dim, 1));
    const std::size_t tasks = (x.rows + task_rows - 1) / task_rows;
    parallel_for(tasks, threads_for(x.rows * dim, num_threads), [&](std::size_t task, std::size_t) {
        AlignedArray<double> values(dim);
        for (std::size_t i = task * task_rows; i < std::min((task + 1) * task_rows, x.rows); ++i) {
            const CanonicalRow row = canonical_row(reader, i, Metric::cosine, kernels, values.data());
            // A zero row stays zero; a row that is not finite becomes NaN.
            const double divisor = !row.finite ? kNaN : row.norm == 0.0 ? 1.0 : row.norm;
            divide(values.data(), divisor, out + i * dim, dim);
            if (norms != nullptr) norms[i] = static_cast<Out>(row.finite ? std::ldexp(row.norm, row.exponent) : kNaN);
        }
    });
}

}  // namespace

void similarity(const Matrix& a, const Matrix& b, Metric metric, int num_threads, void* scores) {
    const DefaultFloatEnvironment environment;
    if (scores_are_f64(a, b))
        similarity_as(a, b, metric, num_threads, static_cast<double*>(scores));
    else
        similarity_as(a, b, metric, num_threads, static_cast<float*>(scores));
}

void normalize(const Matrix& x, int num_threads, void* out, void* norms) {
    const DefaultFloatEnvironment environment;
    if (x.dtype == DType::f64)
        normalize_as(x, num_threads, static_cast<double*>(out), static_cast<double*>(norms));
    else
        normalize_as(x, num_threads, static_cast<float*>(out), static_cast<float*>(norms));
}

}  // namespace aigc_fast
