// Top-K selection. While scanning, every thread keeps for each query the candidates that could still be among the
// best: an item stays while its upper bound reaches the k-th largest lower bound seen. Only they are scored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.hpp"
#include "score/scorer.hpp"
#include "search/bounds.hpp"
#include "search/query_group.hpp"
#include "select/filter.hpp"
#include "select/order.hpp"

namespace aigc_fast {

class TopKSelector {
  public:
    struct Output {
        void* scores;
        bool as_f64;
        std::int64_t* ids;
        std::int64_t* counts;
    };

    TopKSelector(std::size_t k, const ResultFilter& filter, const Scorer& scorer, std::size_t item_count,
                 Output output);

    // How many queries to search at a time, so that the candidates of all threads stay in cache and memory is bounded.
    std::size_t group_size() const;

    // A new group of queries; `workers` threads will offer candidates.
    void begin(const QueryGroup& group, std::size_t workers);

    // The calling thread's cutoffs in scan units, one a query: a scan may skip what is certainly below.
    const float* cutoffs(std::size_t worker) const { return workers_[worker].cutoffs.data(); }

    // An item whose score lies within these bounds and that the filter allows.
    void offer(std::size_t worker, std::size_t query, std::uint32_t row, Bounds bounds);

    // After the scan: scores what is left of all threads' candidates.
    void finish(std::size_t query, Scorer::Scratch& scratch);

    // For searches that score without a scan: collects a query's results and writes them.
    BestK collector() const { return BestK(k_); }
    void write(std::size_t query_index, BestK results) const;

  private:
    struct Candidate {
        float lower;
        float upper;
        std::uint32_t row;
    };
    struct Worker {
        AlignedArray<float> cutoffs;
        AlignedArray<std::uint32_t> counts;
        AlignedArray<Candidate> candidates;  // capacity_ slots a query
        std::vector<float> bounds;           // scratch for the k-th lower bound
        Scorer::Scratch row;
    };

    // Makes room: by bounds, and where they cannot tell enough candidates apart (ties), by canonical scores.
    void compact(Worker& worker, std::size_t query);
    void resolve(Worker& worker, std::size_t query);
    BestK score(std::size_t query, const Candidate* candidates, std::size_t count, Scorer::Scratch& row) const;

    std::size_t k_;
    std::size_t capacity_;
    const ResultFilter& filter_;
    const Scorer& scorer_;
    Output output_;
    const QueryGroup* group_ = nullptr;
    std::vector<Worker> workers_;
};

}  // namespace aigc_fast
