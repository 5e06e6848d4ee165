// The one order of results: score descending, then id ascending.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace aigc_fast {

struct Scored {
    double score;
    std::int64_t id;
    std::uint32_t row;  // where the item is; equal to id where rows have no ids of their own
};

// An object, not a function, so that sorting algorithms take it inline.
inline constexpr auto comes_before = [](const Scored& a, const Scored& b) {
    return a.score > b.score || (a.score == b.score && a.id < b.id);
};

void sort_results(std::vector<Scored>& results);

// A result of which many are kept: 8 bytes where scores are float32, and the id is looked up when it is needed.
template <class Score>
struct RowScore {
    Score score;
    std::uint32_t row;
};

// `ids` may be null: rows are then their own ids.
template <class Score>
void sort_results(std::vector<RowScore<Score>>& results, const std::int64_t* ids);

// The k first of any number of results, in room for about twice as many.
class BestK {
  public:
    explicit BestK(std::size_t k) : k_(k) { results_.reserve(std::min<std::size_t>(2 * k_ + 64, 1024)); }

    void add(const Scored& result) {
        if (!comes_before(result, last_kept_)) return;
        results_.push_back(result);
        if (results_.size() == 2 * k_ + 64) keep_best();
    }

    // A score below which no further result is among the k best: that of the k-th so far.
    double cutoff() {
        keep_best();
        return last_kept_.score;
    }

    std::vector<Scored> sorted() {
        keep_best();
        sort_results(results_);
        return std::move(results_);
    }

  private:
    void keep_best() {
        if (results_.size() < k_) return;
        if (results_.size() == k_) {
            last_kept_ = *std::max_element(results_.begin(), results_.end(), comes_before);
            return;
        }
        const auto kth = results_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
        std::nth_element(results_.begin(), kth, results_.end(), comes_before);
        last_kept_ = *kth;
        results_.resize(k_);
    }

    std::size_t k_;
    Scored last_kept_{-std::numeric_limits<double>::infinity(), std::numeric_limits<std::int64_t>::max(), 0};
    std::vector<Scored> results_;
};

}  // namespace aigc_fast
