#include "search/dense_bounds.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/thread_pool.hpp"

namespace aigc_fast {
namespace {

constexpr std::size_t kTasksPerThread = 8;
constexpr float kLowest = std::numeric_limits<float>::lowest();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int kDigitBits = 11;
constexpr std::size_t kDigits = std::size_t{1} << kDigitBits;
constexpr int kFirstShift = 32 - kDigitBits;
constexpr int kSecondShift = kFirstShift - kDigitBits;
// From one histogram to the next: equal digits of several do not meet in one set of a cache.
constexpr std::size_t kStride = kDigits + 16;
// Four roundings of a lower bound and of what is compared with it, none of more than a unit roundoff of the slack.
constexpr float kRoundings = 0x1p-21f;

// Unsigned integers in the order of floats.
std::uint32_t key_of(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits ^ (static_cast<std::uint32_t>(-static_cast<std::int32_t>(bits >> 31)) | 0x80000000u);
}

float value_of(std::uint32_t key) {
    const std::uint32_t bits = (key & 0x80000000u) != 0 ? key ^ 0x80000000u : ~key;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// A lower bound that at least so many rows reach, by the two first digits of the key of the last of them, and the
// threshold if that is higher.
struct Cutoff {
    float threshold = kInfinity;
    std::size_t rank = 0;  // of that row: among all, then among those that share its first digit, its first two
    std::uint32_t key = 0;

    void take_first_digit(const std::uint32_t* histogram) { take_digit(histogram, kFirstShift); }

    // Of the rows that reach the first digit; where the threshold is higher some are missing, and it decides.
    void take_second_digit(const BoundedRow* rows, std::size_t count, std::uint32_t* histogram) {
        std::fill_n(histogram, kDigits, 0u);
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t of_row = key_of(rows[i].lower);
            histogram[(of_row >> kSecondShift) % kDigits] += of_row >> kFirstShift == key >> kFirstShift;
        }
        take_digit(histogram, kSecondShift);
    }

    float value() const { return std::max(threshold, value_of(key)); }

  private:
    void take_digit(const std::uint32_t* histogram, int shift) {
        std::size_t digit = kDigits - 1;
        for (; digit > 0 && histogram[digit] < rank; --digit) rank -= histogram[digit];
        key |= static_cast<std::uint32_t>(digit << shift);
    }
};

void count_first_digits(const LowerBounds& lower, std::vector<std::uint32_t>& histograms) {
    histograms.assign(lower.queries * kStride, 0);
    for (std::size_t row = 0; row < lower.rows; ++row)
        for (std::size_t q = 0; q < lower.queries; ++q)
            ++histograms[q * kStride + (key_of(lower.values[row * lower.stride + q]) >> kFirstShift)];
}

}  // namespace

DenseBounds::DenseBounds(const QueryGroup& group, const F32Scanner& scanner, const ResultFilter& filter,
                         std::size_t rows, std::size_t block_rows, int threads)
    : group_(group),
      scanner_(scanner),
      filter_(filter),
      rows_(rows),
      values_(scanner.panels() * scanner.panel_begin(1) * rows + kMaxPanelWidth),
      slack_(rows) {
    std::vector<F32Scanner::Worker> workers;
    for (int i = 0; i < threads; ++i) workers.push_back(scanner.worker(block_rows));
    const std::size_t blocks = (rows + block_rows - 1) / block_rows;
    const std::size_t tasks = std::min(blocks, static_cast<std::size_t>(threads) * kTasksPerThread);
    parallel_for(tasks, threads, [&](std::size_t task, std::size_t worker_index) {
        F32Scanner::Worker& worker = workers[worker_index];
        for (std::size_t i = blocks * task / tasks; i < blocks * (task + 1) / tasks; ++i) {
            const std::size_t begin = i * block_rows;
            const std::size_t end = std::min(begin + block_rows, rows);
            scanner.load(worker, begin, end);
            for (std::size_t panel = 0; panel < scanner.panels(); ++panel)
                scanner.bound(worker, panel,
                              values_.data() + scanner.panel_begin(panel) * rows + begin * scanner.panel_width(panel));
            std::copy_n(worker.block.slack, end - begin, slack_.data() + begin);
        }
    });
    for (std::size_t row = 0; row < rows; ++row) {
        const bool hidden = filter.hidden(static_cast<std::uint32_t>(row));
        if (std::isfinite(slack_[row]) && !hidden) continue;
        if (slack_[row] == kInfinity && !hidden) unbounded_.push_back(static_cast<std::uint32_t>(row));
        slack_[row] = 0.0f;
        for (std::size_t panel = 0; panel < scanner.panels(); ++panel) {
            const std::size_t width = scanner.panel_width(panel);
            std::fill_n(values_.data() + scanner.panel_begin(panel) * rows + row * width, width, -kInfinity);
        }
    }
    for (std::size_t query = 0; query < group.count(); ++query) {
        const std::size_t panel = scanner.panel_of(query);
        float* values = values_.data() + scanner.panel_begin(panel) * rows + (query - scanner.panel_begin(panel));
        filter.for_excluded(group.index(query),
                            [&](std::size_t row) { values[row * scanner.panel_width(panel)] = -kInfinity; });
    }
}

LowerBounds DenseBounds::bounds(std::size_t begin, std::size_t end) const {
    const std::size_t panel = scanner_.panel_of(begin);
    const std::size_t first = scanner_.panel_begin(panel);
    return {values_.data() + first * rows_ + (begin - first), scanner_.panel_width(panel), end - begin, slack_.data(),
            rows_};
}

std::vector<DenseBounds::Candidates> DenseBounds::candidates(std::size_t wanted, int threads) const {
    std::vector<Candidates> all(group_.count());
    std::vector<Scratch> scratch(static_cast<std::size_t>(threads));
    const std::size_t panels = scanner_.panels();
    const std::size_t parts = (2 * scratch.size() + panels - 1) / panels;
    parallel_for(panels * parts, threads, [&](std::size_t task, std::size_t worker) {
        const std::size_t first = scanner_.panel_begin(task / parts);
        const std::size_t count = std::min(group_.count() - first, scanner_.panel_begin(1));
        const std::size_t begin = first + count * (task % parts) / parts;
        const std::size_t end = first + count * (task % parts + 1) / parts;
        if (begin < end) select(begin, end, wanted, scratch[worker], all.data() + begin);
    });
    return all;
}

void DenseBounds::select(std::size_t begin, std::size_t end, std::size_t wanted, Scratch& scratch,
                         Candidates* out) const {
    const LowerBounds lower = bounds(begin, end);
    Cutoff cutoffs[kMaxPanelWidth];
    float values[kMaxPanelWidth];
    float spreads[kMaxPanelWidth] = {};
    BoundedRow* lists[kMaxPanelWidth];
    std::size_t counts[kMaxPanelWidth] = {};
    std::fill_n(values, kMaxPanelWidth, kInfinity);
    scratch.rows.reserve(lower.queries * rows_);
    const bool ranked = wanted < rows_;
    if (ranked) count_first_digits(lower, scratch.histograms);
    for (std::size_t q = 0; q < lower.queries; ++q) {
        const std::size_t query = begin + q;
        lists[q] = scratch.rows.data() + q * rows_;
        if (!group_.valid(query)) continue;
        cutoffs[q].threshold = std::max(group_.at_least(query, filter_.threshold(group_.index(query))), kLowest);
        cutoffs[q].rank = wanted;
        if (ranked) cutoffs[q].take_first_digit(scratch.histograms.data() + q * kStride);
        spreads[q] = 2.0f * scanner_.epsilon(query) + kRoundings;
        values[q] = cutoffs[q].value();
    }
    scanner_.collect(lower, values, spreads, lists, counts);
    for (std::size_t q = 0; q < lower.queries; ++q) {
        const std::size_t query = begin + q;
        if (!group_.valid(query)) continue;
        std::vector<std::uint32_t>& rows = out[q].rows;
        if (scanner_.epsilon(query) == kInfinity) {  // float32 says nothing of this query's scores
            for (std::uint32_t row = 0; row < rows_; ++row)
                if (filter_.row_allowed(group_.index(query), row)) rows.push_back(row);
        } else {
            if (ranked) cutoffs[q].take_second_digit(lists[q], counts[q], scratch.histograms.data() + q * kStride);
            rows.reserve(counts[q] + unbounded_.size());
            for (std::size_t i = 0; i < counts[q]; ++i) {
                const auto [value, row] = lists[q][i];
                if (!(value < cutoffs[q].value() - spreads[q] * slack_[row])) rows.push_back(row);
            }
            const auto bounded = static_cast<std::ptrdiff_t>(rows.size());
            for (const std::uint32_t row : unbounded_)
                if (filter_.row_allowed(group_.index(query), row)) rows.push_back(row);
            std::inplace_merge(rows.begin(), rows.begin() + bounded, rows.end());
        }
        out[q].scores.reset(new double[rows.size()]);
    }
}

}  // namespace aigc_fast
