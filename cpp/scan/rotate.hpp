// A fixed random rotation in d log d steps: random signs and a Walsh-Hadamard transform of the first p = 2^n <= d
// coordinates, then the same for the last p. It spreads a few large coordinates over all (Ailon and Chazelle, "The fast
// Johnson-Lindenstrauss transform", 2009). Plain loops, shared by the instruction sets' files and by queries in
// float64.
#pragma once

#include <cstddef>
#include <cstdint>

namespace {

// The sign of coordinate j in a round: a bit of splitmix64, the same on every machine and for all time, since stored
// codes depend on it.
inline bool rotation_flips(std::size_t j, std::uint64_t round) {
    std::uint64_t z = (static_cast<std::uint64_t>(j) * 2 + round + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((z ^ (z >> 31)) & 1u) != 0;
}

template <class T>
void walsh_hadamard(T* x, std::size_t count, std::uint64_t round) {
    for (std::size_t j = 0; j < count; ++j)
        if (rotation_flips(j, round)) x[j] = -x[j];
    for (std::size_t half = 1; half < count; half *= 2)
        for (std::size_t start = 0; start < count; start += 2 * half)
            for (std::size_t j = start; j < start + half; ++j) {
                const T sum = x[j] + x[j + half];
                x[j + half] = x[j] - x[j + half];
                x[j] = sum;
            }
    const T scale = static_cast<T>(1.0 / __builtin_sqrt(static_cast<double>(count)));
    for (std::size_t j = 0; j < count; ++j) x[j] *= scale;
}

template <class T>
void rotate(T* x, std::size_t dim) {
    if (dim == 0) return;
    std::size_t power = 1;
    while (2 * power <= dim) power *= 2;
    walsh_hadamard(x, power, 0);
    if (power < dim) walsh_hadamard(x + (dim - power), power, 1);
}

}  // namespace
