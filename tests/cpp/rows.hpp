// Rows that are hard for scans and scores, made from a seed.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>

namespace test {

enum class Kind {
    normal,
    integers,
    zero,
    spike,         // one huge coordinate
    equal,         // all elements the same
    almost_equal,  // the same but for the last bits
    wide,          // magnitudes over many powers of two
    subnormal,
    near_smallest,  // norms about 2^-60, where the float32 scan stops promising anything
    near_largest,   // norms about 2^60
    enormous,
    sparse,
    nan,
    infinite,
    count
};

inline const char* name_of(Kind kind) {
    constexpr const char* names[] = {"normal",       "integers", "zero",      "spike",         "equal",
                                     "almost equal", "wide",     "subnormal", "near smallest", "near largest",
                                     "enormous",     "sparse",   "nan",       "infinite"};
    static_assert(sizeof names / sizeof names[0] == static_cast<std::size_t>(Kind::count));
    return names[static_cast<std::size_t>(kind)];
}

template <class T>
void fill(T* row, std::size_t dim, Kind kind, std::mt19937_64& random) {
    std::normal_distribution<double> normal;
    std::uniform_int_distribution<int> integer(-3, 3);
    std::uniform_int_distribution<int> exponent(-30, 30);
    std::uniform_int_distribution<int> near(-3, 3);
    std::uniform_int_distribution<std::size_t> any(0, dim == 0 ? 0 : dim - 1);
    const double scale = std::ldexp(1.0, near(random)) / std::sqrt(static_cast<double>(dim == 0 ? 1 : dim));
    const double base = normal(random);
    for (std::size_t j = 0; j < dim; ++j) {
        double x = normal(random);
        switch (kind) {
            case Kind::integers:
                x = integer(random);
                break;
            case Kind::zero:
                x = 0.0;
                break;
            case Kind::equal:
                x = base;
                break;
            case Kind::almost_equal:
                x = base * (1.0 + x * 0x1p-22);
                break;
            case Kind::wide:
                x = std::ldexp(x, exponent(random));
                break;
            case Kind::subnormal:
                x *= 1e-42;
                break;
            case Kind::near_smallest:
                x *= scale * 0x1p-60;
                break;
            case Kind::near_largest:
                x *= scale * 0x1p60;
                break;
            case Kind::enormous:
                x = std::copysign(std::fmin(std::fabs(x), 3.0) * 1e38, x);
                break;
            case Kind::sparse:
                x = j % 17 == 0 ? x : 0.0;
                break;
            default:
                break;
        }
        row[j] = static_cast<T>(x);
    }
    if (dim == 0) return;
    if (kind == Kind::spike) row[any(random)] *= static_cast<T>(1e6);
    if (kind == Kind::nan) row[any(random)] = std::numeric_limits<T>::quiet_NaN();
    if (kind == Kind::infinite) row[any(random)] = -std::numeric_limits<T>::infinity();
}

}  // namespace test
