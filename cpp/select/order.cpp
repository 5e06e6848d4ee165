#include "select/order.hpp"

#include <cstring>
#include <type_traits>

#include "select/radix_sort.hpp"

namespace aigc_fast {
namespace {

constexpr std::size_t kFewResults = 256;  // that a comparison sort takes no longer for

// Unsigned integers in the order of descending scores; -0.0 is 0.0.
template <class Score>
auto descending_key(Score score) {
    using Bits = std::conditional_t<sizeof(Score) == sizeof(std::uint32_t), std::uint32_t, std::uint64_t>;
    constexpr Bits sign = Bits{1} << (8 * sizeof(Bits) - 1);
    score += Score{0};
    Bits bits;
    std::memcpy(&bits, &score, sizeof bits);
    return (bits & sign) != 0 ? bits : static_cast<Bits>(~bits & ~sign);
}

// Many results by radix, then those of equal score by id.
template <class Result, class Before>
void sort_by_score(std::vector<Result>& results, Before before) {
    if (results.size() <= kFewResults) {
        std::sort(results.begin(), results.end(), before);
        return;
    }
    radix_sort(results, [](const Result& result) { return descending_key(result.score); });
    for (auto first = results.begin(); first != results.end();) {
        const auto last =
            std::find_if(first, results.end(), [&](const Result& result) { return result.score != first->score; });
        if (last - first > 1) std::sort(first, last, before);
        first = last;
    }
}

}  // namespace

void sort_results(std::vector<Scored>& results) { sort_by_score(results, comes_before); }

template <class Score>
void sort_results(std::vector<RowScore<Score>>& results, const std::int64_t* ids) {
    sort_by_score(results, [&](const RowScore<Score>& a, const RowScore<Score>& b) {
        if (a.score != b.score) return a.score > b.score;
        return ids == nullptr ? a.row < b.row : ids[a.row] < ids[b.row];
    });
}

template void sort_results(std::vector<RowScore<float>>&, const std::int64_t*);
template void sort_results(std::vector<RowScore<double>>&, const std::int64_t*);

}  // namespace aigc_fast
