#include "select/topk.hpp"

#include <algorithm>
#include <functional>
#include <limits>

namespace aigc_fast {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::size_t kSpare = 64;             // room for new candidates beside the k best
constexpr std::size_t kGroupBytes = 8u << 20;  // candidates of one thread
constexpr std::size_t kMostQueries = 1024;     // enough to use each item block well

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

void TopKSelector::begin(const QueryGroup& group, std::size_t workers) {
    group_ = &group;
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
    worker.candidates[query * capacity_ + count++] = {lower, upper, row};
}

void TopKSelector::compact(Worker& worker, std::size_t query) {
    Candidate* candidates = worker.candidates.data() + query * capacity_;
    std::uint32_t& count = worker.counts[query];
    worker.bounds.resize(count);
    std::transform(candidates, candidates + count, worker.bounds.begin(), [](const Candidate& c) { return c.lower; });
    const auto kth = worker.bounds.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
    std::nth_element(worker.bounds.begin(), kth, worker.bounds.end(), std::greater<>());
    float& cutoff = worker.cutoffs[query];
    cutoff = std::max(cutoff, *kth);
    const auto end =
        std::remove_if(candidates, candidates + count, [&](const Candidate& c) { return c.upper < cutoff; });
    count = static_cast<std::uint32_t>(end - candidates);
    // Less than half of the spare room came free: compacting again and again would cost more than scoring.
    if (count > capacity_ - (capacity_ - k_) / 2) resolve(worker, query);
}

void TopKSelector::resolve(Worker& worker, std::size_t query) {
    Candidate* candidates = worker.candidates.data() + query * capacity_;
    std::uint32_t& count = worker.counts[query];
    const std::vector<Scored> best = score(query, candidates, count, worker.row).sorted();
    count = static_cast<std::uint32_t>(best.size());
    for (std::uint32_t i = 0; i < count; ++i)
        candidates[i] = {group_->at_least(query, best[i].score), group_->at_most(query, best[i].score), best[i].row};
    if (count == k_) worker.cutoffs[query] = std::max(worker.cutoffs[query], candidates[k_ - 1].lower);
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

void TopKSelector::finish(std::size_t query, Scorer::Scratch& scratch) {
    std::vector<Candidate> candidates;
    float cutoff = -kInfinity;
    for (const Worker& worker : workers_) {
        const Candidate* first = worker.candidates.data() + query * capacity_;
        candidates.insert(candidates.end(), first, first + worker.counts[query]);
        cutoff = std::max(cutoff, worker.cutoffs[query]);
    }
    if (candidates.size() > k_) {
        const auto kth = candidates.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
        std::nth_element(candidates.begin(), kth, candidates.end(),
                         [](const Candidate& a, const Candidate& b) { return a.lower > b.lower; });
        cutoff = std::max(cutoff, kth->lower);
    }
    candidates.erase(
        std::remove_if(candidates.begin(), candidates.end(), [&](const Candidate& c) { return c.upper < cutoff; }),
        candidates.end());
    write(group_->index(query), score(query, candidates.data(), candidates.size(), scratch));
}

void TopKSelector::write(std::size_t query_index, BestK results) const {
    const std::vector<Scored> scored = results.sorted();
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
