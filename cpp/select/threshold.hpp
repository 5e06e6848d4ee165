// Threshold selection: every item whose score reaches the query's threshold. Each hit needs its canonical score all
// the same, so hits are scored while the scan goes on, several of a query at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/aligned.hpp"
#include "score/scorer.hpp"
#include "search/bounds.hpp"
#include "search/query_group.hpp"
#include "select/filter.hpp"
#include "select/order.hpp"

namespace aigc_fast {

class ThresholdSelector {
  public:
    ThresholdSelector(std::size_t query_count, const ResultFilter& filter, const Scorer& scorer)
        : filter_(filter), scorer_(scorer), results_(query_count) {}

    // Every copy is a result.
    std::size_t copies_wanted() const { return std::numeric_limits<std::size_t>::max(); }

    // Results a query.
    std::size_t wanted() const { return std::numeric_limits<std::size_t>::max(); }

    std::size_t group_size() const { return 256; }  // hits of one group are held twice

    void begin(const QueryGroup& group, std::size_t workers, bool guess);
    static void begin_wave(double) {}
    static void end_wave(std::size_t) {}
    const float* cutoffs(std::size_t, std::size_t, std::size_t) const { return cutoffs_.data(); }
    void offer(std::size_t worker, std::size_t query, std::uint32_t row, Bounds bounds);
    bool finish(std::size_t query, Scorer::Scratch& scratch);  // always true: nothing was guessed
    static All collector() { return {}; }
    void write(std::size_t query_index, std::vector<Scored> sorted) { results_[query_index] = std::move(sorted); }

    ThresholdHits take();

  private:
    struct Worker {
        std::vector<std::vector<std::uint32_t>> waiting;  // for their scores; a query each
        std::vector<std::vector<Scored>> hits;
        Scorer::Scratch row;
    };

    void score_waiting(Worker& worker, std::size_t query, Scorer::Scratch& row) const;

    const ResultFilter& filter_;
    const Scorer& scorer_;
    const QueryGroup* group_ = nullptr;
    AlignedArray<float> cutoffs_;
    std::vector<Worker> workers_;
    std::vector<std::vector<Scored>> results_;
};

}  // namespace aigc_fast
