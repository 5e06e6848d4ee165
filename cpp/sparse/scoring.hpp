// The canonical score of a query's sum with a row, and what a search counts in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include "aigc_fast/sparse.hpp"
#include "select/order.hpp"
#include "sparse/canonical_rows.hpp"

namespace aigc_fast {

struct Scoring {
    const CanonicalRows& queries;
    const CanonicalRows& items;
    const SparseOptions& options;
    double query_unit;  // sums are in units of query_unit * item_unit, values in one of them
    double item_unit;

    std::size_t k() const { return std::min(options.k, items.rows()); }

    double threshold(std::size_t query) const {
        return options.thresholds == nullptr ? -std::numeric_limits<double>::infinity() : options.thresholds[query];
    }

    double score(double sum, std::size_t query, std::size_t item) const {
        const double denominator = queries.norm(query) * items.norm(item) + options.shrink;
        const double dot = sum * (query_unit * item_unit);
        const double score = denominator == 0.0 ? 0.0 : std::clamp(dot / denominator, -1.0, 1.0);
        return queries.is_f64() || items.is_f64() ? score : static_cast<double>(static_cast<float>(score));
    }

    // Adds the item to the query's results if it reaches the threshold.
    void consider(double sum, std::size_t query, std::size_t item, BestK& best) const {
        const double found = score(sum, query, item);
        if (found >= threshold(query))
            best.add({found, static_cast<std::int64_t>(item), static_cast<std::uint32_t>(item)});
    }
};

}  // namespace aigc_fast
