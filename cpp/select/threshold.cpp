#include "select/threshold.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/thread_pool.hpp"

namespace aigc_fast {

template <class Score>
void ThresholdSelector<Score>::begin(const QueryGroup& group, std::size_t workers, bool) {
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

template <class Score>
void ThresholdSelector<Score>::score_waiting(Worker& worker, std::size_t query, Scorer::Scratch& row) const {
    const auto add = [&](const Scored& result) {
        if (filter_.score_allowed(group_->index(query), result))
            worker.hits[query].push_back({static_cast<Score>(result.score), result.row});
    };
    ScoreQueue queue(scorer_, group_->row(query), group_->norm(query), row);
    for (const std::uint32_t item : worker.waiting[query]) queue.push(item, add);
    queue.flush(add);
    worker.waiting[query].clear();
}

template <class Score>
bool ThresholdSelector<Score>::finish(std::size_t query, Scorer::Scratch& scratch) {
    AllResults<Score> results = collector();
    for (Worker& worker : workers_) {
        score_waiting(worker, query, scratch);
        results.add(worker.hits[query]);
        worker.hits[query].clear();  // its memory is the next group's
    }
    write(group_->index(query), results.sorted());
    return true;
}

template <class Score>
ThresholdHits ThresholdSelector<Score>::take(int threads) {
    ThresholdHits hits;
    hits.indptr.assign(1, 0);
    hits.indptr.reserve(results_.size() + 1);
    for (const auto& of_query : results_)
        hits.indptr.push_back(hits.indptr.back() + static_cast<std::int64_t>(of_query.size()));
    const auto total = static_cast<std::size_t>(hits.indptr.back());
    hits.ids.resize(total);
    hits.scores.resize(total);
    parallel_for(results_.size(), threads, [&](std::size_t query, std::size_t) {
        auto at = static_cast<std::size_t>(hits.indptr[query]);
        for (const RowScore<Score>& hit : results_[query]) {
            hits.ids[at] = scorer_.id(hit.row);
            hits.scores[at++] = static_cast<double>(hit.score);
        }
        std::vector<RowScore<Score>>().swap(results_[query]);  // never two whole copies
    });
    return hits;
}

template class ThresholdSelector<float>;
template class ThresholdSelector<double>;

}  // namespace aigc_fast
