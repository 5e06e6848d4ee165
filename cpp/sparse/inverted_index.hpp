// The rows of a sparse matrix by column: for each block of rows and each column, the rows that have an entry there.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.hpp"
#include "base/thread_pool.hpp"
#include "sparse/canonical_rows.hpp"

namespace aigc_fast {

// Entries as sums take them. Integers are exact in any order; a real sum takes its terms in ascending order of column.
struct IntegerPosting {
    using Value = std::int16_t;
    using Sum = std::int32_t;
    static constexpr std::size_t kMostRows = std::size_t{1} << 16;  // in a block
    std::uint16_t row;                                              // within the block
    std::int16_t value;
};
template <class Real>
struct RealPosting {
    using Value = Real;
    using Sum = double;
    static constexpr std::size_t kMostRows = std::size_t{1} << 32;
    std::uint32_t row;
    Real value;
};

template <class Posting>
class InvertedIndex {
  public:
    // Values are stored in units of `unit`.
    InvertedIndex(const CanonicalRows& rows, double unit, std::size_t block_rows, int threads);

    struct List {
        const Posting* begin;
        const Posting* end;
        std::size_t size() const { return static_cast<std::size_t>(end - begin); }
    };

    std::size_t rows() const { return rows_; }
    std::size_t cols() const { return cols_; }
    std::size_t block_rows() const { return block_rows_; }
    std::size_t blocks() const { return blocks_; }
    List list(std::size_t block, std::size_t column) const {
        const std::size_t* offsets = offsets_.data() + block * (cols_ + 1) + column;
        return {postings_.data() + offsets[0], postings_.data() + offsets[1]};
    }
    // Lists are short and lie anywhere in memory: the next one is to be on its way while one is added.
    void prefetch(std::size_t block, std::size_t column) const {
        constexpr std::ptrdiff_t kMostBytes = 2048;
        const auto [begin, end] = list(block, column);
        const std::ptrdiff_t bytes = std::min((end - begin) * std::ptrdiff_t{sizeof(Posting)}, kMostBytes);
        for (std::ptrdiff_t at = 0; at < bytes; at += std::ptrdiff_t{kCacheLine})
            __builtin_prefetch(reinterpret_cast<const char*>(begin) + at);
    }

  private:
    std::size_t rows_;
    std::size_t cols_;
    std::size_t block_rows_;
    std::size_t blocks_;
    std::vector<std::size_t> offsets_;  // cols + 1 a block
    AlignedArray<Posting> postings_;    // by block, column, row
};

// A counting sort. Where there are fewer blocks than threads, each block is shared out by rows.
template <class Posting>
InvertedIndex<Posting>::InvertedIndex(const CanonicalRows& rows, double unit, std::size_t block_rows, int threads)
    : rows_(rows.rows()),
      cols_(rows.cols()),
      block_rows_(block_rows),
      blocks_((rows_ + block_rows - 1) / block_rows),
      offsets_(blocks_ * (cols_ + 1)),
      postings_(rows.entries_before(rows_)) {
    const std::size_t parts = blocks_ >= static_cast<std::size_t>(threads) ? 1 : static_cast<std::size_t>(threads);
    std::vector<std::vector<std::size_t>> cursors(blocks_ * parts);
    const auto for_rows = [&](std::size_t task, auto&& use) {
        const std::size_t begin = task / parts * block_rows_;
        const std::size_t size = std::min(block_rows_, rows_ - begin);
        SparseRow row;
        for (std::size_t i = size * (task % parts) / parts; i < size * (task % parts + 1) / parts; ++i) {
            rows.read(begin + i, row);
            use(i, row);
        }
    };
    parallel_for(cursors.size(), threads, [&](std::size_t task, std::size_t) {
        std::vector<std::size_t>& counts = cursors[task];
        counts.resize(cols_);
        for_rows(task, [&](std::size_t, const SparseRow& row) {
            for (const std::uint32_t column : row.columns) ++counts[column];
        });
    });
    parallel_for(blocks_, threads, [&](std::size_t block, std::size_t) {
        std::size_t at = rows.entries_before(block * block_rows_);
        std::size_t* offsets = offsets_.data() + block * (cols_ + 1);
        for (std::size_t column = 0; column < cols_; ++column) {
            offsets[column] = at;
            for (std::size_t part = 0; part < parts; ++part) {
                std::size_t& cursor = cursors[block * parts + part][column];
                const std::size_t count = cursor;
                cursor = at;
                at += count;
            }
        }
        offsets[cols_] = at;
    });
    const double inverse = 1.0 / unit;  // a power of two
    parallel_for(cursors.size(), threads, [&](std::size_t task, std::size_t) {
        std::vector<std::size_t>& at = cursors[task];
        for_rows(task, [&](std::size_t i, const SparseRow& row) {
            for (std::size_t e = 0; e < row.size(); ++e)
                postings_[at[row.columns[e]]++] = {static_cast<decltype(Posting::row)>(i),
                                                   static_cast<decltype(Posting::value)>(row.values[e] * inverse)};
        });
        std::vector<std::size_t>().swap(at);
    });
}

}  // namespace aigc_fast
