#include "select/order.hpp"

#include <array>
#include <cstring>

namespace aigc_fast {
namespace {

constexpr std::size_t kFewResults = 256;  // that a comparison sort takes no longer for
constexpr int kDigitBits = 11;
constexpr std::size_t kDigits = std::size_t{1} << kDigitBits;

// Unsigned integers in the order of descending scores; -0.0 is 0.0.
std::uint64_t descending_key(double score) {
    score += 0.0;
    std::uint64_t bits;
    std::memcpy(&bits, &score, sizeof bits);
    return bits >> 63 != 0 ? bits : ~bits & ~(std::uint64_t{1} << 63);
}

}  // namespace

// Many results by radix, least digit first, which mispredicts no branches; then those of equal score by id.
void sort_results(std::vector<Scored>& results) {
    if (results.size() <= kFewResults) {
        std::sort(results.begin(), results.end(), comes_before);
        return;
    }
    std::vector<Scored> sorted(results.size());
    for (int shift = 0; shift < 64; shift += kDigitBits) {
        const auto digit = [&](const Scored& result) {
            return static_cast<std::size_t>(descending_key(result.score) >> shift) % kDigits;
        };
        std::array<std::size_t, kDigits> starts{};
        for (const Scored& result : results) ++starts[digit(result)];
        if (starts[digit(results.front())] == results.size()) continue;  // all alike: float32 scores have zeros here
        std::size_t start = 0;
        for (std::size_t& count : starts) start += std::exchange(count, start);
        for (const Scored& result : results) sorted[starts[digit(result)]++] = result;
        results.swap(sorted);
    }
    for (auto first = results.begin(); first != results.end();) {
        const auto last =
            std::find_if(first, results.end(), [&](const Scored& result) { return result.score != first->score; });
        if (last - first > 1) std::sort(first, last, comes_before);
        first = last;
    }
}

}  // namespace aigc_fast
