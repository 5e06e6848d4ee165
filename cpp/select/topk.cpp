#include "select/topk.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace aigc_fast {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::size_t kSpare = 64;             // room for new candidates beside the k best
constexpr std::size_t kGroupBytes = 8u << 20;  // candidates of one thread
constexpr std::size_t kMostQueries = 1024;     // enough to use each item block well

template <class Candidate>
void drop_below(Candidate* candidates, std::uint32_t& count, float cutoff) {
    const auto end =
        std::remove_if(candidates, candidates + count, [&](const Candidate& c) { return !(c.upper >= cutoff); });
    count = static_cast<std::uint32_t>(end - candidates);
}

constexpr auto larger_lower = [](const auto& a, const auto& b) { return a.lower > b.lower; };
constexpr auto smaller_lower = [](const auto& a, const auto& b) { return a.lower < b.lower; };

}  // namespace

TopKSelector::TopKSelector(std::size_t k, const ResultFilter& filter, const Scorer& scorer, std::size_t item_count,
                           Output output)
    : k_(k),
      capacity_(std::min(2 * k + kSpare, std::max<std::size_t>(item_count, 1))),
      filter_(filter),
      scorer_(scorer),
      output_(output) {}

std::size_t TopKSelector::group_size() const {
    return std::clamp<std::size_t>(kGroupBytes / (capacity_ * sizeof(Candidate)), 1, kMostQueries);
}

void TopKSelector::begin(const QueryGroup& group, std::size_t workers, const std::vector<float>& guesses) {
    group_ = &group;
    guesses_ = guesses;
    workers_.resize(workers);
    const std::size_t count = group.count() + kCutoffPadding;
    for (Worker& worker : workers_) {
        worker.cutoffs.reserve(count);
        worker.counts.reserve(count);
        worker.candidates.reserve(group.count() * capacity_);
        std::fill_n(worker.counts.data(), count, 0u);
        std::fill_n(worker.cutoffs.data(), count, kInfinity);  // invalid and padding queries: nothing
        for (std::size_t q = 0; q < group.count(); ++q)
            if (group.valid(q)) worker.cutoffs[q] = group.at_least(q, filter_.threshold(group.index(q)));
    }
    shared_cutoffs_ = std::vector<std::atomic<float>>(group.count());
    for (std::size_t q = 0; q < group.count(); ++q)
        shared_cutoffs_[q].store(guesses.empty() ? -kInfinity : guesses[q], std::memory_order_relaxed);
}

void TopKSelector::offer(std::size_t worker_index, std::size_t query, std::uint32_t row, Bounds bounds) {
    auto [lower, upper] = bounds;
    Worker& worker = workers_[worker_index];
    if (!(upper >= worker.cutoffs[query])) return;  // the cutoff rose since the scan looked
    if (filter_.paged()) {
        const double page_end = filter_.page_end_score(group_->index(query));
        if (lower > group_->at_most(query, page_end)) return;  // certainly on an earlier page
        // Perhaps on an earlier page: it must not push others out.
        if (upper >= group_->at_least(query, page_end)) lower = -kInfinity;
    }
    std::uint32_t& count = worker.counts[query];
    if (count == capacity_) {
        compact(worker, query);
        if (!(upper >= worker.cutoffs[query])) return;
    }
    worker.candidates[query * capacity_ + count++] = {lower, upper, row, false};
}

void TopKSelector::compact(Worker& worker, std::size_t query) {
    Candidate* candidates = worker.candidates.data() + query * capacity_;
    std::uint32_t& count = worker.counts[query];
    std::nth_element(candidates, candidates + (k_ - 1), candidates + count, larger_lower);
    // Exact scores of the k most promising candidates give a much better cutoff than their lower bounds.
    if (score_in_place(query, candidates, k_, worker.row))
        raise_cutoff(worker, query, std::min_element(candidates, candidates + k_, smaller_lower)->lower);
    drop_below(candidates, count, worker.cutoffs[query]);
    // Less than half of the spare room came free: compacting again and again would cost more than scoring.
    if (count <= capacity_ - (capacity_ - k_) / 2) return;
    score_in_place(query, candidates, count, worker.row);
    drop_below(candidates, count, worker.cutoffs[query]);
    if (count < k_) return;
    // Only now can ties be told apart by id, which bounds cannot do: k candidates are enough.
    const std::vector<Scored> best = score(query, candidates, count, worker.row).sorted();
    count = static_cast<std::uint32_t>(best.size());
    for (std::uint32_t i = 0; i < count; ++i) candidates[i] = scored_candidate(query, best[i]);
    if (count == k_) raise_cutoff(worker, query, candidates[k_ - 1].lower);
}

TopKSelector::Candidate TopKSelector::scored_candidate(std::size_t query, const Scored& result) const {
    return {group_->at_least(query, result.score), group_->at_most(query, result.score), result.row, true};
}

bool TopKSelector::score_in_place(std::size_t query, Candidate* candidates, std::size_t count,
                                  Scorer::Scratch& row) const {
    bool all_wanted = true;
    std::size_t next = 0;  // the candidate whose score comes next: those that have one already are passed over
    const auto tighten = [&](const Scored& result) {
        while (candidates[next].scored) ++next;
        Candidate& candidate = candidates[next++];
        candidate = scored_candidate(query, result);
        if (filter_.score_allowed(group_->index(query), result)) return;
        all_wanted = false;
        candidate.upper = std::numeric_limits<float>::quiet_NaN();  // drop_below drops it, whatever the cutoff
    };
    ScoreQueue queue(scorer_, group_->row(query), group_->norm(query), row);
    for (std::size_t i = 0; i < count; ++i)
        if (!candidates[i].scored) queue.push(candidates[i].row, tighten);
    queue.flush(tighten);
    return all_wanted;
}

void TopKSelector::raise_cutoff(Worker& worker, std::size_t query, float cutoff) {
    worker.cutoffs[query] = std::max(worker.cutoffs[query], cutoff);
    std::atomic<float>& shared = shared_cutoffs_[query];
    float known = shared.load(std::memory_order_relaxed);
    while (known < cutoff && !shared.compare_exchange_weak(known, cutoff, std::memory_order_relaxed)) {
    }
}

const float* TopKSelector::cutoffs(std::size_t worker_index, std::size_t begin, std::size_t end) {
    Worker& worker = workers_[worker_index];
    for (std::size_t q = begin; q < end; ++q)
        worker.cutoffs[q] = std::max(worker.cutoffs[q], shared_cutoffs_[q].load(std::memory_order_relaxed));
    return worker.cutoffs.data();
}

BestK TopKSelector::score(std::size_t query, const Candidate* candidates, std::size_t count,
                          Scorer::Scratch& row) const {
    BestK best(k_);
    const auto add = [&](const Scored& result) {
        if (filter_.score_allowed(group_->index(query), result)) best.add(result);
    };
    ScoreQueue queue(scorer_, group_->row(query), group_->norm(query), row);
    for (std::size_t i = 0; i < count; ++i) queue.push(candidates[i].row, add);
    queue.flush(add);
    return best;
}

std::vector<TopKSelector::Candidate> TopKSelector::merged(std::size_t query) const {
    std::vector<Candidate> candidates;
    for (const Worker& worker : workers_) {
        const Candidate* first = worker.candidates.data() + query * capacity_;
        candidates.insert(candidates.end(), first, first + worker.counts[query]);
    }
    return candidates;
}

bool TopKSelector::finish(std::size_t query, Scorer::Scratch& scratch) {
    std::vector<Candidate> candidates = merged(query);
    float cutoff = shared_cutoffs_[query].load(std::memory_order_relaxed);
    if (candidates.size() > k_) {
        const auto kth = candidates.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
        std::nth_element(candidates.begin(), kth, candidates.end(), larger_lower);
        cutoff = std::max(cutoff, kth->lower);
    }
    auto count = static_cast<std::uint32_t>(candidates.size());
    drop_below(candidates.data(), count, cutoff);
    std::vector<Scored> best = score(query, candidates.data(), count, scratch).sorted();
    // What the guess ruled out lies below it; so the results are right if the last of them does not.
    const bool guessed = !guesses_.empty() && guesses_[query] > -kInfinity && group_->valid(query);
    if (guessed && (best.size() < k_ || group_->at_least(query, best.back().score) < guesses_[query])) return false;
    write(group_->index(query), best);
    return true;
}

TopKSelector TopKSelector::probe(std::size_t stride, std::size_t item_count) const {
    // As many of the sample as will, but for one case in some hundreds, stand for at least k of all: the expected
    // number, and three standard deviations (of a Poisson count) more.
    const double expected = static_cast<double>(k_) / static_cast<double>(stride);
    const auto rank = static_cast<std::size_t>(std::ceil(expected + 3.0 * std::sqrt(expected) + 2.0));
    return {rank, filter_, scorer_, item_count, {}};
}

float TopKSelector::last_score(std::size_t query, Scorer::Scratch& scratch) {
    std::vector<Candidate> candidates = merged(query);
    if (candidates.size() < k_) return -kInfinity;
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(k_ - 1), candidates.end(),
                     larger_lower);
    candidates.resize(k_);
    if (!score_in_place(query, candidates.data(), k_, scratch)) return -kInfinity;
    return std::min_element(candidates.begin(), candidates.end(), smaller_lower)->lower;
}

void TopKSelector::write(std::size_t query_index, const std::vector<Scored>& scored) const {
    output_.counts[query_index] = static_cast<std::int64_t>(scored.size());
    for (std::size_t i = 0; i < k_; ++i) {
        const bool real = i < scored.size();
        const double score = real ? scored[i].score : -std::numeric_limits<double>::infinity();
        const std::size_t slot = query_index * k_ + i;
        output_.ids[slot] = real ? scored[i].id : -1;
        if (output_.as_f64)
            static_cast<double*>(output_.scores)[slot] = score;
        else
            static_cast<float*>(output_.scores)[slot] = static_cast<float>(score);
    }
}

}  // namespace aigc_fast
