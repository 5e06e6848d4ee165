// The results of rows that are compared with each other: each pair is scored once and offered to both. Which other rows
// a row is offered, and when, depends on threads; the k best of them do not.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <vector>

#include "select/order.hpp"

namespace aigc_fast {

class MutualResults {
  public:
    MutualResults(std::size_t rows, std::size_t k) : best_(rows, BestK(k)), offers_(rows), cutoffs_(rows) {
        for (auto& cutoff : cutoffs_) cutoff = -std::numeric_limits<double>::infinity();
    }

    static std::size_t bytes(std::size_t rows, std::size_t k) {
        return rows * (std::min<std::size_t>(2 * k + 64, 1024) * sizeof(Scored) + sizeof(BestK) + 16);
    }

    void offer(std::size_t row, const Scored& result) {
        constexpr std::uint32_t kOffersPerCutoff = 32;
        const std::lock_guard<std::mutex> lock(locks_[row % locks_.size()]);
        best_[row].add(result);
        if (++offers_[row] % kOffersPerCutoff == 0) cutoffs_[row].store(best_[row].cutoff(), std::memory_order_relaxed);
    }

    std::size_t count() const { return best_.size(); }
    // A score below which no result is among the row's k best.
    double cutoff(std::size_t row) const { return cutoffs_[row].load(std::memory_order_relaxed); }

    // Once, when all has been offered.
    std::vector<Scored> sorted(std::size_t row) { return best_[row].sorted(); }

  private:
    std::vector<BestK> best_;
    std::vector<std::uint32_t> offers_;
    std::vector<std::atomic<double>> cutoffs_;
    std::array<std::mutex, 256> locks_;
};

}  // namespace aigc_fast
