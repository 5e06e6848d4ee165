// The one order of results: score descending, then id ascending.
#pragma once

#include <cstdint>

namespace aigc_fast {

struct Scored {
    double score;
    std::int64_t id;
};

inline bool comes_before(const Scored& a, const Scored& b) {
    return a.score > b.score || (a.score == b.score && a.id < b.id);
}

}  // namespace aigc_fast
