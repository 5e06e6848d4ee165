// Which results a query may get: exclusions, allow-lists, pages and thresholds, in one place for every search.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "aigc_fast/aigc_fast.hpp"
#include "select/order.hpp"

namespace aigc_fast {

class ResultFilter {
  public:
    // `mark_allowed` prepares for asking about single rows (scans); a direct search walks the shared list itself.
    ResultFilter(const Filter& filter, const double* thresholds, std::size_t item_count, bool mark_allowed)
        : filter_(filter), thresholds_(thresholds) {
        if (filter.allow_ids == nullptr || !mark_allowed) return;
        allowed_.resize(item_count);
        for (std::size_t i = 0; i < filter.allow_count; ++i)
            allowed_[static_cast<std::size_t>(filter.allow_ids[i])] = true;
    }

    // By row alone. The cost is paid for candidates only, never for every item.
    bool row_allowed(std::size_t query, std::uint32_t row) const {
        if (hidden(row)) return false;
        if (filter_.exclude.indptr != nullptr && contains(filter_.exclude, query, row)) return false;
        return filter_.allow.indptr == nullptr || contains(filter_.allow, query, row);
    }

    // From all queries.
    bool hidden(std::uint32_t row) const {
        // Rows may be removed while we look; whatever we read, what was removed after our version is still ours.
        if (filter_.removed_at != nullptr &&
            __atomic_load_n(filter_.removed_at + row, __ATOMIC_RELAXED) <= filter_.version)
            return true;
        return !allowed_.empty() && !allowed_[row];
    }

    template <class Visit>
    void for_excluded(std::size_t query, Visit visit) const {
        const IdLists& lists = filter_.exclude;
        if (lists.indptr == nullptr) return;
        for (auto at = lists.indptr[query]; at < lists.indptr[query + 1]; ++at)
            visit(static_cast<std::size_t>(lists.ids[at]));
    }

    // By canonical score.
    bool score_allowed(std::size_t query, const Scored& result) const {
        if (!(result.score >= threshold(query))) return false;  // NaN: never returned
        return !paged() || comes_before({filter_.after_score[query], filter_.after_id[query], 0}, result);
    }

    // The most rows that row_allowed and score_allowed may hide from a query, beside those below its threshold.
    std::size_t most_hidden(std::size_t query_count) const {
        if (paged() || filter_.allow.indptr != nullptr || filter_.allow_ids != nullptr)
            return std::numeric_limits<std::size_t>::max();
        std::int64_t excluded = 0;
        if (const std::int64_t* indptr = filter_.exclude.indptr; indptr != nullptr)
            for (std::size_t q = 0; q < query_count; ++q) excluded = std::max(excluded, indptr[q + 1] - indptr[q]);
        return static_cast<std::size_t>(excluded) + filter_.removed_count;
    }

    double threshold(std::size_t query) const {
        return thresholds_ == nullptr ? -std::numeric_limits<double>::infinity() : thresholds_[query];
    }
    bool paged() const { return filter_.after_score != nullptr; }
    double page_end_score(std::size_t query) const { return filter_.after_score[query]; }

  private:
    static bool contains(const IdLists& lists, std::size_t query, std::int64_t row) {
        return std::binary_search(lists.ids + lists.indptr[query], lists.ids + lists.indptr[query + 1], row);
    }

    const Filter& filter_;
    const double* thresholds_;
    std::vector<bool> allowed_;
};

}  // namespace aigc_fast
