#include "select/threshold.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace aigc_fast {
namespace {

constexpr std::size_t kWaiting = 64;  // enough to have several rows on their way from memory

}  // namespace

void ThresholdSelector::begin(const QueryGroup& group, std::size_t workers, bool) {
    group_ = &group;
    const std::size_t count = group.count() + kCutoffPadding;
    cutoffs_.reserve(count);
    std::fill_n(cutoffs_.data(), count, std::numeric_limits<float>::infinity());
    for (std::size_t q = 0; q < group.count(); ++q)
        if (group.valid(q)) cutoffs_[q] = group.at_least(q, filter_.threshold(group.index(q)));
    workers_.resize(workers);
    for (Worker& worker : workers_) {
        worker.waiting.resize(group.count());
        worker.hits.resize(group.count());
    }
}

void ThresholdSelector::offer(std::size_t worker_index, std::size_t query, std::uint32_t row, Bounds) {
    Worker& worker = workers_[worker_index];
    worker.waiting[query].push_back(row);
    if (worker.waiting[query].size() == kWaiting) score_waiting(worker, query, worker.row);
}

void ThresholdSelector::score_waiting(Worker& worker, std::size_t query, Scorer::Scratch& row) const {
    const auto add = [&](const Scored& result) {
        if (filter_.score_allowed(group_->index(query), result)) worker.hits[query].push_back(result);
    };
    ScoreQueue queue(scorer_, group_->row(query), group_->norm(query), row);
    for (const std::uint32_t item : worker.waiting[query]) queue.push(item, add);
    queue.flush(add);
    worker.waiting[query].clear();
}

bool ThresholdSelector::finish(std::size_t query, Scorer::Scratch& scratch) {
    All results;
    for (Worker& worker : workers_) {
        score_waiting(worker, query, scratch);
        for (const Scored& hit : worker.hits[query]) results.add(hit);
        worker.hits[query] = {};
    }
    write(group_->index(query), results.sorted());
    return true;
}

ThresholdHits ThresholdSelector::take() {
    ThresholdHits hits;
    hits.indptr.assign(1, 0);
    hits.indptr.reserve(results_.size() + 1);
    for (const auto& row : results_) hits.indptr.push_back(hits.indptr.back() + static_cast<std::int64_t>(row.size()));
    const auto total = static_cast<std::size_t>(hits.indptr.back());
    hits.ids.reserve(total);
    hits.scores.reserve(total);
    for (auto& row : results_) {
        for (const Scored& hit : row) {
            hits.ids.push_back(hit.id);
            hits.scores.push_back(hit.score);
        }
        std::vector<Scored>().swap(row);  // never two whole copies
    }
    return hits;
}

}  // namespace aigc_fast
