#include "sparse/canonical_rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/thread_pool.hpp"

namespace aigc_fast {
namespace {

constexpr std::size_t kRowsPerTask = 64;

// The exponent of the last bit that is set: x is a multiple of 2^last_bit(x) and of no larger power of two.
int last_bit(double x) {
    std::uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    const int exponent = static_cast<int>((bits >> 52) & 0x7ff);
    const std::uint64_t fraction = bits & ((std::uint64_t{1} << 52) - 1);
    return exponent - 1023 - 52 + __builtin_ctzll(fraction | std::uint64_t{1} << 52);
}

struct Common {
    double largest_norm = 0.0;
    double smallest_value = std::numeric_limits<double>::infinity();
    double largest_magnitude = 0.0;
    int unit_exponent = std::numeric_limits<int>::max();

    void add(const Common& other) {
        largest_norm = std::max(largest_norm, other.largest_norm);
        smallest_value = std::min(smallest_value, other.smallest_value);
        largest_magnitude = std::max(largest_magnitude, other.largest_magnitude);
        unit_exponent = std::min(unit_exponent, other.unit_exponent);
    }
};

// Kept within the row's range, so that a constant row is exactly its own mean.
double canonical_mean(const std::vector<double>& values) {
    if (values.empty()) return 0.0;
    double sum = 0.0;
    for (const double x : values) sum += x;
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    return std::clamp(sum / static_cast<double>(values.size()), *low, *high);
}

}  // namespace

CanonicalRows::CanonicalRows(const CsrMatrix& matrix, Metric metric, int threads)
    : matrix_(matrix), norms_(matrix.rows) {
    if (metric == Metric::pearson) means_.resize(matrix.rows);
    const std::size_t tasks = (matrix.rows + kRowsPerTask - 1) / kRowsPerTask;
    std::vector<Common> parts(tasks);
    parallel_for(tasks, threads, [&](std::size_t task, std::size_t) {
        SparseRow row;
        Common common;
        const std::size_t end = std::min((task + 1) * kRowsPerTask, matrix.rows);
        for (std::size_t i = task * kRowsPerTask; i < end; ++i) {
            read_stored(i, row);
            if (centred()) {
                means_[i] = canonical_mean(row.values);
                for (double& x : row.values) x -= means_[i];
            }
            double square = 0.0;
            for (const double x : row.values) {
                square += x * x;
                common.smallest_value = std::min(common.smallest_value, x);
                common.largest_magnitude = std::max(common.largest_magnitude, std::fabs(x));
                if (x != 0.0) common.unit_exponent = std::min(common.unit_exponent, last_bit(x));
            }
            norms_[i] = std::sqrt(square);
            common.largest_norm = std::max(common.largest_norm, norms_[i]);
        }
        parts[task] = common;
    });
    Common all;
    for (const Common& part : parts) all.add(part);
    largest_norm_ = all.largest_norm;
    smallest_value_ = all.smallest_value;
    largest_magnitude_ = all.largest_magnitude;
    unit_exponent_ = all.largest_magnitude == 0.0 ? 0 : all.unit_exponent;
}

template <class Value, class Index>
void CanonicalRows::read_as(std::size_t row, SparseRow& out) const {
    const auto* indptr = static_cast<const Index*>(matrix_.indptr);
    const auto begin = static_cast<std::size_t>(indptr[row]);
    const auto end = static_cast<std::size_t>(indptr[row + 1]);
    const auto* columns = static_cast<const Index*>(matrix_.columns) + begin;
    const auto* values = static_cast<const Value*>(matrix_.values) + begin;
    out.columns.resize(end - begin);
    out.values.resize(end - begin);
    for (std::size_t i = 0; i < end - begin; ++i) {
        out.columns[i] = static_cast<std::uint32_t>(columns[i]);
        out.values[i] = static_cast<double>(values[i]);
    }
}

void CanonicalRows::read_stored(std::size_t row, SparseRow& out) const {
    if (is_f64())
        matrix_.wide ? read_as<double, std::int64_t>(row, out) : read_as<double, std::int32_t>(row, out);
    else
        matrix_.wide ? read_as<float, std::int64_t>(row, out) : read_as<float, std::int32_t>(row, out);
}

void CanonicalRows::read(std::size_t row, SparseRow& out) const {
    read_stored(row, out);
    if (centred())
        for (double& x : out.values) x -= means_[row];
}

std::size_t CanonicalRows::entries_before(std::size_t row) const {
    return matrix_.wide ? static_cast<std::size_t>(static_cast<const std::int64_t*>(matrix_.indptr)[row])
                        : static_cast<std::size_t>(static_cast<const std::int32_t*>(matrix_.indptr)[row]);
}

}  // namespace aigc_fast
