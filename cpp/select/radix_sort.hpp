// Sorting by radix, least digit first: stable, and no branch to mispredict.
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

namespace aigc_fast {

// By ascending key, an unsigned integer; a digit that all keys share costs no more than counting.
template <class T, class KeyOf>
void radix_sort(std::vector<T>& values, KeyOf key_of) {
    constexpr int digit_bits = 11;
    constexpr std::size_t digits = std::size_t{1} << digit_bits;
    constexpr int key_bits = std::numeric_limits<decltype(key_of(values.front()))>::digits;
    if (values.empty()) return;
    std::vector<T> sorted(values.size());
    for (int shift = 0; shift < key_bits; shift += digit_bits) {
        const auto digit = [&](const T& value) { return static_cast<std::size_t>(key_of(value) >> shift) % digits; };
        std::array<std::size_t, digits> starts{};
        for (const T& value : values) ++starts[digit(value)];
        if (starts[digit(values.front())] == values.size()) continue;
        std::size_t start = 0;
        for (std::size_t& count : starts) start += std::exchange(count, start);
        for (const T& value : values) sorted[starts[digit(value)]++] = value;
        values.swap(sorted);
    }
}

}  // namespace aigc_fast
