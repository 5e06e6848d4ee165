// Columns that many rows have, stored for every row: adding one to the sums of a tile is a few vector operations, where
// a list costs one step an entry. Rows of ratings have most of their entries in few such columns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/aligned.hpp"
#include "base/thread_pool.hpp"
#include "sparse/inverted_index.hpp"
#include "sparse/kernels.hpp"

namespace aigc_fast {

class DenseColumns {
  public:
    static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

    // Takes the columns that at least `share` of the rows have. `index` has blocks of whole tiles.
    DenseColumns(const InvertedIndex<IntegerPosting>& index, double share, int threads)
        : slots_(index.cols(), kNone), tiles_a_block_(index.block_rows() / kColumnTile) {
        const auto least = static_cast<std::size_t>(share * static_cast<double>(index.rows())) + 1;
        std::vector<std::size_t> columns;
        for (std::size_t column = 0; column < index.cols(); ++column) {
            std::size_t count = 0;
            for (std::size_t block = 0; block < index.blocks(); ++block) count += index.list(block, column).size();
            if (count < least) continue;
            slots_[column] = static_cast<std::uint32_t>(columns.size());
            columns.push_back(column);
        }
        count_ = columns.size();
        values_ = AlignedArray<std::int16_t>(index.blocks() * tiles_a_block_ * count_ * kColumnTile);
        parallel_for(index.blocks() * count_, threads, [&](std::size_t task, std::size_t) {
            const std::size_t block = task / count_;
            const std::size_t slot = task % count_;
            for (std::size_t t = 0; t < tiles_a_block_; ++t)
                std::fill_n(tile(block, t) + slot * kColumnTile, kColumnTile, std::int16_t{0});
            const auto list = index.list(block, columns[slot]);
            for (const IntegerPosting* p = list.begin; p != list.end; ++p)
                tile(block, p->row / kColumnTile)[slot * kColumnTile + p->row % kColumnTile] = p->value;
        });
    }

    std::uint32_t slot(std::size_t column) const { return slots_[column]; }
    const std::int16_t* tile(std::size_t block, std::size_t t) const {
        return values_.data() + (block * tiles_a_block_ + t) * count_ * kColumnTile;
    }

  private:
    std::int16_t* tile(std::size_t block, std::size_t t) {
        return values_.data() + (block * tiles_a_block_ + t) * count_ * kColumnTile;
    }

    std::vector<std::uint32_t> slots_;  // by column
    std::size_t tiles_a_block_;
    std::size_t count_ = 0;
    AlignedArray<std::int16_t> values_;  // [block][tile][slot][row of the tile]
};

}  // namespace aigc_fast
