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

// A query's results as they come. Score: float where scores are float32.
template <class Score>
class AllResults {
  public:
    explicit AllResults(const std::int64_t* ids) : ids_(ids) {}

    void add(const Scored& result) { results_.push_back({static_cast<Score>(result.score), result.row}); }
    void add(const std::vector<RowScore<Score>>& results) {
        results_.insert(results_.end(), results.begin(), results.end());
    }

    std::vector<RowScore<Score>> sorted() {
        sort_results(results_, ids_);
        return std::move(results_);
    }

  private:
    const std::int64_t* ids_;
    std::vector<RowScore<Score>> results_;
};

template <class Score>
class ThresholdSelector {
  public:
    ThresholdSelector(std::size_t query_count, const ResultFilter& filter, const Scorer& scorer)
        : filter_(filter), scorer_(scorer), results_(query_count) {}

    // Every copy is a result.
    std::size_t copies_wanted() const { return std::numeric_limits<std::size_t>::max(); }

    std::size_t group_size() const { return 256; }  // hits of one group are held twice

    void begin(const QueryGroup& group, std::size_t workers, bool guess);
    static void begin_wave(double) {}
    static void end_wave(std::size_t) {}
    const float* cutoffs(std::size_t, std::size_t, std::size_t) const { return cutoffs_.data(); }
    void offer(std::size_t worker_index, std::size_t query, std::uint32_t row, Bounds) {
        Worker& worker = workers_[worker_index];
        worker.waiting[query].push_back(row);
        if (worker.waiting[query].size() == kWaiting) score_waiting(worker, query, worker.row);
    }
    bool finish(std::size_t query, Scorer::Scratch& scratch);  // always true: nothing was guessed
    AllResults<Score> collector() const { return AllResults<Score>(scorer_.ids()); }
    void write(std::size_t query_index, std::vector<RowScore<Score>> sorted) {
        results_[query_index] = std::move(sorted);
    }

    ThresholdHits take(int threads);

  private:
    static constexpr std::size_t kWaiting = 64;  // enough to have several rows on their way from memory

    struct Worker {
        std::vector<std::vector<std::uint32_t>> waiting;  // for their scores; a query each
        std::vector<std::vector<RowScore<Score>>> hits;
        Scorer::Scratch row;
    };

    void score_waiting(Worker& worker, std::size_t query, Scorer::Scratch& row) const;

    const ResultFilter& filter_;
    const Scorer& scorer_;
    const QueryGroup* group_ = nullptr;
    AlignedArray<float> cutoffs_;
    std::vector<Worker> workers_;
    std::vector<std::vector<RowScore<Score>>> results_;
};

}  // namespace aigc_fast
