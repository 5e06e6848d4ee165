// What a scan knows of a score, in its own units.
#pragma once

#include <cstddef>
#include <limits>

namespace aigc_fast {

struct Bounds {
    float lower;
    float upper;
};

inline constexpr Bounds kUnbounded{-std::numeric_limits<float>::infinity(), std::numeric_limits<float>::infinity()};

// Cutoffs are read a whole panel at a time: arrays of them have this many more entries than queries.
inline constexpr std::size_t kCutoffPadding = 64;

}  // namespace aigc_fast
