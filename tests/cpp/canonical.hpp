// The canonical score once more, in the plainest loops: the reference of these tests. Compiled without contraction.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include "aigc_fast/aigc_fast.hpp"

namespace test {

inline bool same_bits(double a, double b) {
    return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b));
}

template <class X, class Q>
double dot(const X* x, const Q* q, std::size_t dim) {
    double lanes[8] = {};
    // Whole steps of eight: a tail of zeros is added like any other element.
    for (std::size_t j = 0; j < (dim + 7) / 8 * 8; ++j)
        lanes[j % 8] = std::fma(j < dim ? static_cast<double>(x[j]) : 0.0, j < dim ? static_cast<double>(q[j]) : 0.0,
                                lanes[j % 8]);
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

inline double mean(const std::vector<double>& x) {
    double lanes[8] = {};
    for (std::size_t j = 0; j < x.size(); ++j) lanes[j % 8] += x[j];
    const double sum =
        ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    const auto [low, high] = std::minmax_element(x.begin(), x.end());
    return std::clamp(sum / static_cast<double>(x.size()), *low, *high);
}

// A float64 copy of a row, centred for Pearson; `wide` rows (float64 inputs) of extreme magnitude are scaled.
template <class T>
std::vector<double> canonical(const T* row, std::size_t dim, aigc_fast::Metric metric) {
    std::vector<double> x(row, row + dim);
    if (metric != aigc_fast::Metric::inner_product && sizeof(T) == sizeof(double)) {
        double largest = 0.0;
        for (const double value : x) largest = std::max(largest, std::fabs(value));
        if (largest != 0.0 && (largest < 0x1p-400 || largest > 0x1p400)) {
            const int exponent = std::ilogb(largest);
            for (double& value : x) value = std::ldexp(value, -exponent);
        }
    }
    if (metric == aigc_fast::Metric::pearson && dim > 0) {
        const double middle = mean(x);
        for (double& value : x) value -= middle;
    }
    return x;
}

// NaN where a row is not finite.
inline double score(const std::vector<double>& x, const std::vector<double>& q, aigc_fast::Metric metric, bool as_f64) {
    const auto finite = [](double value) { return std::isfinite(value); };
    if (!std::all_of(x.begin(), x.end(), finite) || !std::all_of(q.begin(), q.end(), finite)) return std::nan("");
    double result = dot(x.data(), q.data(), x.size());
    if (metric != aigc_fast::Metric::inner_product) {
        const double norm_x = std::sqrt(dot(x.data(), x.data(), x.size()));
        const double norm_q = std::sqrt(dot(q.data(), q.data(), q.size()));
        result = norm_x == 0.0 || norm_q == 0.0 ? 0.0 : std::clamp(result / (norm_x * norm_q), -1.0, 1.0);
    }
    return as_f64 ? result : static_cast<double>(static_cast<float>(result));
}

}  // namespace test
