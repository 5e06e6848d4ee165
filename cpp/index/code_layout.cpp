#include "index/code_layout.hpp"

#include <algorithm>
#include <cstring>

#include "base/aligned.hpp"

namespace aigc_fast {
namespace {

constexpr std::size_t kTile = 4;  // rows and groups that four vectors hold
constexpr std::size_t kBlockStep = kCodeRows * kCodeGroup;

using Groups = std::uint32_t __attribute__((vector_size(16)));

template <int A, int B, int C, int D>
Groups chosen(Groups x, Groups y) {
#if defined(__clang__)
    return __builtin_shufflevector(x, y, A, B, C, D);
#else
    return __builtin_shuffle(x, y, Groups{A, B, C, D});
#endif
}

// 4 x 4 groups, `from_step` and `to_step` bytes from line to line.
void transpose(const std::uint8_t* from, std::size_t from_step, std::uint8_t* to, std::size_t to_step) {
    Groups line[kTile];
    for (std::size_t i = 0; i < kTile; ++i) std::memcpy(&line[i], from + i * from_step, sizeof line[i]);
    const Groups a = chosen<0, 4, 1, 5>(line[0], line[1]);
    const Groups b = chosen<2, 6, 3, 7>(line[0], line[1]);
    const Groups c = chosen<0, 4, 1, 5>(line[2], line[3]);
    const Groups d = chosen<2, 6, 3, 7>(line[2], line[3]);
    const Groups column[kTile] = {chosen<0, 1, 4, 5>(a, c), chosen<2, 3, 6, 7>(a, c), chosen<0, 1, 4, 5>(b, d),
                                  chosen<2, 3, 6, 7>(b, d)};
    for (std::size_t i = 0; i < kTile; ++i) std::memcpy(to + i * to_step, &column[i], sizeof column[i]);
}

}  // namespace

void rows_to_block(const std::uint8_t* rows, std::size_t dim, const std::uint8_t* next, std::uint8_t* block) {
    const std::size_t stride = code_row_bytes(dim);
    const std::size_t groups = code_groups(dim);
    const std::size_t tiled = groups / kTile * kTile;
    for (std::size_t line = 0; line < stride; line += kCacheLine) {
        // Sixteen streams are more than processors follow by themselves.
        for (std::size_t r = 0; next != nullptr && r < kCodeRows; ++r) __builtin_prefetch(next + r * stride + line);
        const std::size_t end = std::min((line + kCacheLine) / kCodeGroup, tiled);
        for (std::size_t r = 0; r < kCodeRows; r += kTile)
            for (std::size_t g = line / kCodeGroup; g < end; g += kTile)
                transpose(rows + r * stride + g * kCodeGroup, stride, block + g * kBlockStep + r * kCodeGroup,
                          kBlockStep);
    }
    for (std::size_t g = tiled; g < groups; ++g)
        for (std::size_t r = 0; r < kCodeRows; ++r)
            std::memcpy(block + g * kBlockStep + r * kCodeGroup, rows + r * stride + g * kCodeGroup, kCodeGroup);
}

void block_to_rows(const std::uint8_t* block, std::size_t dim, std::uint8_t* rows) {
    const std::size_t stride = code_row_bytes(dim);
    const std::size_t groups = code_groups(dim);
    const std::size_t tiled = groups / kTile * kTile;
    for (std::size_t g = 0; g < tiled; g += kTile)
        for (std::size_t r = 0; r < kCodeRows; r += kTile)
            transpose(block + g * kBlockStep + r * kCodeGroup, kBlockStep, rows + r * stride + g * kCodeGroup, stride);
    for (std::size_t r = 0; r < kCodeRows; ++r) {
        for (std::size_t g = tiled; g < groups; ++g)
            std::memcpy(rows + r * stride + g * kCodeGroup, block + g * kBlockStep + r * kCodeGroup, kCodeGroup);
        std::fill(rows + r * stride + groups * kCodeGroup, rows + (r + 1) * stride, std::uint8_t{0});
    }
}

}  // namespace aigc_fast
