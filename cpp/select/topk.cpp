#include "select/topk.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace aigc_fast {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::size_t kSpare = 16;              // room for new candidates beside the k best, at first
constexpr std::size_t kGroupBytes = 32u << 20;  // candidates of one thread
constexpr std::size_t kMostQueries = 1024;      // enough to use each item block well

template <class Candidate>
void drop_below(Candidate* candidates, std::uint32_t& count, float cutoff) {
    const auto end =
        std::remove_if(candidates, candidates + count, [&](const Candidate& c) { return !(c.upper >= cutoff); });
    count = static_cast<std::uint32_t>(end - candidates);
}

constexpr auto larger_lower = [](const auto& a, const auto& b) { return a.lower > b.lower; };
constexpr auto smaller_lower = [](const auto& a, const auto& b) { return a.lower < b.lower; };

// Guesses fail in about one of so many searches. Failures cost a scan of their own, so they must be rare.
constexpr double kFailures = 1.0 / 4096.0;

// The smallest r for which r of the best k are unlikely to lie in a sample of this fraction, so that the r-th score
// of the sample is most probably not above the k-th score of all: the number is binomial.
std::size_t sample_rank(std::size_t k, double fraction) {
    const auto n = static_cast<double>(k);
    const double odds = fraction / (1.0 - fraction);
    double chance = n * std::log1p(-fraction);  // of exactly r, as a logarithm until it is not too small for one
    double more = 1.0;
    for (std::size_t r = 0; r < k; ++r) {
        more -= std::exp(chance);
        if (more < kFailures) return r + 1;
        chance += std::log(odds * (n - static_cast<double>(r)) / static_cast<double>(r + 1));
    }
    return k;
}

// An estimate's error is at most its bound (Cauchy-Schwarz), but for rounding errors without a pattern only a part of
// about 1 / sqrt(dim) of it: four standard deviations.
float probable_part(std::size_t dim) { return std::min(1.0f, 4.0f / std::sqrt(static_cast<float>(dim))); }

}  // namespace

TopKSelector::TopKSelector(std::size_t k, const ResultFilter& filter, const Scorer& scorer, std::size_t query_count,
                           std::size_t item_count, Output output)
    : k_(k),
      copies_wanted_(std::min(filter.most_hidden(query_count), item_count) + k),
      capacity_(std::min(8 * k + 32 * kSpare, std::max<std::size_t>(item_count, 1))),
      rank_(k),
      filter_(filter),
      scorer_(scorer),
      output_(output) {}

std::size_t TopKSelector::group_size() const {
    return std::clamp<std::size_t>(kGroupBytes / (capacity_ * sizeof(Candidate)), 1, kMostQueries);
}

void TopKSelector::begin(const QueryGroup& group, std::size_t workers, bool guess) {
    group_ = &group;
    guessing_ = guess;
    certainty_ = probable_part(group.dim());
    workers_.resize(workers);
    const std::size_t count = group.count() + kCutoffPadding;
    for (Worker& worker : workers_) {
        worker.cutoffs.reserve(count);
        worker.counts.reserve(count);
        worker.limits.reserve(count);
        worker.candidates.reserve(group.count() * capacity_);
        std::fill_n(worker.counts.data(), count, 0u);
        std::fill_n(worker.cutoffs.data(), count, kInfinity);  // invalid and padding queries: nothing
        for (std::size_t q = 0; q < group.count(); ++q)
            if (group.valid(q)) worker.cutoffs[q] = group.at_least(q, filter_.threshold(group.index(q)));
    }
    shared_cutoffs_ = std::vector<std::atomic<float>>(group.count());
    for (auto& cutoff : shared_cutoffs_) cutoff.store(-kInfinity, std::memory_order_relaxed);
}

void TopKSelector::begin_wave(double fraction) {
    rank_ = fraction < 1.0 ? sample_rank(k_, fraction) : k_;
    const auto limit = static_cast<std::uint32_t>(std::min(capacity_, 2 * rank_ + kSpare));
    for (Worker& worker : workers_) std::fill_n(worker.limits.data(), group_->count(), limit);
}

void TopKSelector::end_wave(std::size_t query) {
    std::vector<Candidate> candidates = merged(query);
    if (candidates.size() < rank_) return;
    const auto last = candidates.begin() + static_cast<std::ptrdiff_t>(rank_ - 1);
    std::nth_element(candidates.begin(), last, candidates.end(), larger_lower);
    for (Worker& worker : workers_) {
        raise_cutoff(worker, query, last->lower);
        drop_below(worker.candidates.data() + query * capacity_, worker.counts[query], worker.cutoffs[query]);
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
    if (guessing_ && lower > -kInfinity) lower = 0.5f * (lower + upper) - certainty_ * 0.5f * (upper - lower);
    std::uint32_t& count = worker.counts[query];
    if (count >= worker.limits[query]) {
        compact(worker, query);
        if (!(upper >= worker.cutoffs[query])) return;
    }
    worker.candidates[query * capacity_ + count++] = {lower, upper, row, false};
}

void TopKSelector::compact(Worker& worker, std::size_t query) {
    Candidate* candidates = worker.candidates.data() + query * capacity_;
    std::uint32_t& count = worker.counts[query];
    std::uint32_t& limit = worker.limits[query];
    const auto room_made = [&] { return count <= limit - (limit - std::min<std::size_t>(rank_, limit)) / 2; };
    if (count >= rank_) {
        std::nth_element(candidates, candidates + (rank_ - 1), candidates + count, larger_lower);
        raise_cutoff(worker, query, candidates[rank_ - 1].lower);
    }
    drop_below(candidates, count, worker.cutoffs[query]);
    // Less than half of the spare room came free: compacting again and again would cost more than larger buffers, and
    // in the end more than scoring.
    if (room_made()) return;
    if (count < capacity_) {
        limit = static_cast<std::uint32_t>(std::min<std::size_t>(capacity_, 2 * std::size_t{count}));
        return;
    }
    // Exact scores of the k most promising candidates give a much better cutoff than their lower bounds.
    if (count > k_) std::nth_element(candidates, candidates + (k_ - 1), candidates + count, larger_lower);
    if (count >= k_ && score_in_place(query, candidates, k_, worker.row))
        raise_cutoff(worker, query, std::min_element(candidates, candidates + k_, smaller_lower)->lower);
    drop_below(candidates, count, worker.cutoffs[query]);
    if (room_made()) return;
    score_in_place(query, candidates, count, worker.row);
    drop_below(candidates, count, worker.cutoffs[query]);
    if (count < k_) return;
    // Only now can ties be told apart by id, which bounds cannot do: k candidates are enough.
    BestK order(k_);
    score(query, candidates, count, worker.row, order);
    const std::vector<Scored> best = order.sorted();
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

void TopKSelector::score(std::size_t query, const Candidate* candidates, std::size_t count, Scorer::Scratch& row,
                         BestK& best) const {
    const auto add = [&](const Scored& result) {
        if (filter_.score_allowed(group_->index(query), result)) best.add(result);
    };
    ScoreQueue queue(scorer_, group_->row(query), group_->norm(query), row);
    for (std::size_t i = 0; i < count; ++i) queue.push(candidates[i].row, add);
    queue.flush(add);
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
    auto count = static_cast<std::uint32_t>(candidates.size());
    const float guess = shared_cutoffs_[query].load(std::memory_order_relaxed);
    drop_below(candidates.data(), count, guess);
    BestK best(k_);
    std::size_t first = 0;
    if (count > k_) {
        // The k most promising first: the last of their scores rules out most of the others.
        std::nth_element(candidates.data(), candidates.data() + k_, candidates.data() + count, larger_lower);
        first = k_;
        score(query, candidates.data(), first, scratch, best);
        count -= static_cast<std::uint32_t>(first);
        drop_below(candidates.data() + first, count, group_->at_least(query, best.cutoff()));
    }
    score(query, candidates.data() + first, count, scratch, best);
    const std::vector<Scored> results = best.sorted();
    // What the guess ruled out lies below it; so the results are right if the last of them does not.
    const bool all_seen = results.size() == k_ && group_->at_least(query, results.back().score) >= guess;
    if (guessing_ && guess > -kInfinity && !all_seen) return false;
    write(group_->index(query), results);
    return true;
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
