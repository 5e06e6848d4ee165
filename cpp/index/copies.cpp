#include "index/copies.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <string_view>
#include <vector>

#include "base/thread_pool.hpp"

namespace aigc_fast {
namespace {

constexpr std::size_t kSampleRows = 1024;
constexpr std::size_t kTaskRows = 512;

struct HashedRow {
    std::size_t hash;
    std::size_t row;
};

// Rows first, first + step, ... by their hash; rows of equal hash in the order of ids.
std::vector<HashedRow> sorted_by_hash(const RowReader& rows, const std::int64_t* ids, std::size_t step, int threads) {
    const std::size_t bytes = rows.dim() * sizeof(double);
    std::vector<HashedRow> hashed((rows.rows() + step - 1) / step);
    parallel_for((hashed.size() + kTaskRows - 1) / kTaskRows, threads, [&](std::size_t task, std::size_t) {
        std::vector<double> values(rows.dim());
        for (std::size_t i = task * kTaskRows; i < std::min((task + 1) * kTaskRows, hashed.size()); ++i) {
            rows.copy_f64(i * step, values.data());
            const std::string_view content(reinterpret_cast<const char*>(values.data()), bytes);
            hashed[i] = {std::hash<std::string_view>{}(content), i * step};
        }
    });
    std::sort(hashed.begin(), hashed.end(), [&](const HashedRow& a, const HashedRow& b) {
        if (a.hash != b.hash) return a.hash < b.hash;
        return ids == nullptr ? a.row < b.row : ids[a.row] < ids[b.row];
    });
    return hashed;
}

constexpr auto same_hash = [](const HashedRow& a, const HashedRow& b) { return a.hash == b.hash; };

}  // namespace

void mark_copies(const RowReader& rows, const std::int64_t* ids, int threads, RowKind* kinds) {
    const std::size_t step = std::max<std::size_t>(rows.rows() / kSampleRows, 1);
    std::vector<HashedRow> hashed = sorted_by_hash(rows, ids, step, threads);
    if (std::adjacent_find(hashed.begin(), hashed.end(), same_hash) == hashed.end()) return;
    if (step > 1) hashed = sorted_by_hash(rows, ids, 1, threads);
    // Whose first row is known by its neighbour's hash; tasks begin and end between such runs of equal hashes.
    std::vector<std::size_t> runs;
    for (std::size_t i = 0; i < hashed.size(); ++i)
        if (i == 0 || !same_hash(hashed[i - 1], hashed[i])) runs.push_back(i);
    runs.push_back(hashed.size());
    const std::size_t bytes = rows.dim() * sizeof(double);
    parallel_for(runs.size() - 1, threads, [&](std::size_t run, std::size_t) {
        if (runs[run + 1] - runs[run] == 1) return;
        std::vector<double> first(rows.dim());
        std::vector<double> other(rows.dim());
        rows.copy_f64(hashed[runs[run]].row, first.data());
        std::size_t identical = 1;  // rows before, at least 2^power
        unsigned power = 0;
        for (std::size_t i = runs[run] + 1; i < runs[run + 1]; ++i) {
            const std::size_t row = hashed[i].row;
            rows.copy_f64(row, other.data());
            if (std::memcmp(first.data(), other.data(), bytes) != 0) continue;  // another row of the same hash
            if (kinds[row] == RowKind::coded) kinds[row] = kind_of_copy(power);
            ++identical;
            if (identical == std::size_t{2} << power) ++power;
        }
    });
}

}  // namespace aigc_fast
