// The two layouts of a block of codes, and the way from one to the other. Scans take a block as [groups][16 rows][4
// bytes], whose sums stay in registers; single pairs want a row in one piece, [16 rows][code_row_bytes].
#pragma once

#include <cstddef>
#include <cstdint>

#include "scan/int8.hpp"

namespace aigc_fast {

// How far apart rows of int8 codes lie that are kept row after row; zeros fill what is beyond their groups.
inline std::size_t code_row_bytes(std::size_t dim) { return (dim + kRowAlignment - 1) / kRowAlignment * kRowAlignment; }

// `next`, which may be null: rows that will most probably be wanted after these, of the same length.
void rows_to_block(const std::uint8_t* rows, std::size_t dim, const std::uint8_t* next, std::uint8_t* block);
void block_to_rows(const std::uint8_t* block, std::size_t dim, std::uint8_t* rows);

}  // namespace aigc_fast
