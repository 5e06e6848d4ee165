// Top-K selection. While scanning, every thread keeps for each query the candidates that could still be among the
// best: an item stays while its upper bound reaches the cutoff. Only what is left at the end is scored.
//
// Cutoffs are guesses, much sharper than what bounds alone allow: the scan goes over growing samples of the items
// (waves), and after each, a score that at least k of all items should reach follows from the sample's best. Where a
// guess was too high (the k-th canonical score lies below it), finish() says so, and the query is searched again
// without guesses. So results never depend on them.
#pragma once

#include <atomic>
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

    TopKSelector(std::size_t k, const ResultFilter& filter, const Scorer& scorer, std::size_t query_count,
                 std::size_t item_count, Output output);

    // How many queries to search at a time, so that the candidates of all threads stay in cache and memory is bounded.
    std::size_t group_size() const;

    // Results a query.
    std::size_t wanted() const { return k_; }

    // Of identical items, none after the first so many in the order of ids can be a result.
    std::size_t copies_wanted() const { return copies_wanted_; }

    // A new group of queries; `workers` threads will offer candidates. `guess`: cutoffs may be too high.
    void begin(const QueryGroup& group, std::size_t workers, bool guess);

    // The next wave: with it, this fraction of all items will have been offered.
    void begin_wave(double fraction);
    // Raises a query's cutoff to what the waves so far let one expect.
    void end_wave(std::size_t query);

    // The thread's cutoffs in scan units, one a query, those of [begin, end) raised to what all threads know: a scan
    // may skip what is certainly below.
    const float* cutoffs(std::size_t worker, std::size_t begin, std::size_t end);

    // An item whose score lies within these bounds and that the filter allows.
    void offer(std::size_t worker, std::size_t query, std::uint32_t row, Bounds bounds);

    // After the scan: scores what is left of all threads' candidates. False, and nothing written, where a guess was too
    // high.
    bool finish(std::size_t query, Scorer::Scratch& scratch);

    // For searches that score without a scan: collects a query's results and writes them.
    BestK collector() const { return BestK(k_); }
    void write(std::size_t query_index, const std::vector<Scored>& sorted) const;

  private:
    struct Candidate {
        float lower;  // certain, or when guessing only most probable
        float upper;  // certain
        std::uint32_t row;
        bool scored;  // lower and upper enclose the canonical score as tightly as float32 can
    };
    struct Worker {
        AlignedArray<float> cutoffs;
        AlignedArray<std::uint32_t> counts;
        AlignedArray<std::uint32_t> limits;  // compact() when so many are held; at most capacity_
        AlignedArray<Candidate> candidates;  // capacity_ slots a query
        Scorer::Scratch row;
    };

    // Makes room: by bounds, and where they cannot tell enough candidates apart (ties), by canonical scores.
    void compact(Worker& worker, std::size_t query);
    Candidate scored_candidate(std::size_t query, const Scored& result) const;
    // Replaces the bounds of candidates by their canonical scores; false where one turned out not to be wanted.
    bool score_in_place(std::size_t query, Candidate* candidates, std::size_t count, Scorer::Scratch& row) const;
    std::vector<Candidate> merged(std::size_t query) const;
    void raise_cutoff(Worker& worker, std::size_t query, float cutoff);
    void score(std::size_t query, const Candidate* candidates, std::size_t count, Scorer::Scratch& row,
               BestK& best) const;

    std::size_t k_;
    std::size_t copies_wanted_;
    std::size_t capacity_;
    std::size_t rank_;  // of the candidate whose score is the cutoff: k, in waves of a sample less
    bool guessing_ = false;
    float certainty_ = 1.0f;  // when guessing: the part of a bound that an estimate's error most probably stays within
    const ResultFilter& filter_;
    const Scorer& scorer_;
    Output output_;
    const QueryGroup* group_ = nullptr;
    std::vector<Worker> workers_;
    std::vector<std::atomic<float>> shared_cutoffs_;
};

}  // namespace aigc_fast
