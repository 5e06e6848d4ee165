// The int8 codes of a set of rows, with the bounds that make a scan over them exact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "aigc_fast/aigc_fast.hpp"
#include "base/aligned.hpp"
#include "base/rows.hpp"
#include "dispatch/kernels.hpp"
#include "index/code_layout.hpp"
#include "index/code_space.hpp"

namespace aigc_fast {

// What can be said of a row beside its code.
enum class RowKind : std::uint8_t {
    coded,
    unbounded,  // an extreme norm: a candidate for every query
    never,      // NaN or an infinity: for none
    copy,       // copy + m: coded, and at least 2^m rows before it in the order of ids are identical
};

constexpr RowKind kind_of_copy(unsigned m) { return static_cast<RowKind>(static_cast<unsigned>(RowKind::copy) + m); }
// How many identical rows a row of this kind certainly has before it.
constexpr std::size_t copies_before(RowKind kind) {
    return kind < RowKind::copy
               ? 0
               : std::size_t{1} << ((static_cast<unsigned>(kind) - static_cast<unsigned>(RowKind::copy)) & 63u);
}

// Turns rows into codes, 16 at a time; one for each thread.
class RowEncoder {
  public:
    RowEncoder(const RowReader& rows, Metric metric, const Kernels& kernels, const CodeSpace& space);

    // Encodes rows [begin, begin + count), count <= 16, and says of each what kind it is. `codes` has a block's bytes.
    CodeBlock encode(const CodeScanKernels& kernels, std::size_t begin, std::size_t count, std::uint8_t* codes,
                     RowKind* kinds);

    // The same rows as floats in their space, code_stride() apart, until the next call.
    const float* project(std::size_t begin, std::size_t count, RowKind* kinds);
    std::size_t code_stride() const { return code_stride_; }

  private:
    RowKind load(std::size_t row, float* out);
    void prefetch(std::size_t row) const;

    const RowReader& rows_;
    Metric metric_;
    const Kernels& kernels_;
    const CodeSpace& space_;
    std::size_t stride_;
    std::size_t code_stride_;
    AlignedArray<float> block_;
    AlignedArray<float> heads_;
    AlignedArray<double> canonical_;
};

struct Head;

// Codes that somebody else keeps (an index in memory, or a file mapped into it).
struct ItemCodes {
    Metric metric = Metric::cosine;
    std::size_t rows = 0;
    std::size_t dim = 0;
    CodeSpace space;
    bool by_row = false;                  // codes lie row after row, for single pairs, and not as scans take them
    const std::uint8_t* codes = nullptr;  // code_blocks(rows) blocks of block_bytes()
    const float* scale = nullptr;         // a block of 16 rows each, as are:
    const float* residual = nullptr;
    const float* reach = nullptr;
    const RowKind* kinds = nullptr;            // a row each
    const std::uint32_t* unbounded = nullptr;  // the rows of that kind, ascending
    std::size_t unbounded_count = 0;
    std::size_t most_copies = 0;  // some row has at least so many identical ones before it
    const Head* head = nullptr;

    std::size_t code_dim() const { return space.code_dim(dim); }
    std::size_t block_bytes() const {
        return by_row ? kCodeRows * code_row_bytes(code_dim()) : code_block_bytes(code_dim());
    }
    const std::uint8_t* codes_of(std::size_t block) const { return codes + block * block_bytes(); }
    // `scratch` is for codes by row, and has room for those blocks as scans take them; null: without codes.
    CodedBlocks blocks(std::size_t first_block, std::size_t count, std::uint8_t* scratch) const;
};

// A cascade: fewer dimensions are scanned first (space.basis of `codes`); rows that they cannot rule out are looked at
// by all dimensions, whose codes therefore lie by row.
struct Head {
    ItemCodes codes;
    float survivors = 1.0f;  // the share of rows that a sample of queries found, for the planner
};

inline std::size_t code_blocks(std::size_t rows) { return (rows + kCodeRows - 1) / kCodeRows; }

// The space with the smallest residuals on a sample of the rows: as they are (or their heads, where `base` has a
// basis), centred, rotated, or both. Writes the mean into `mean` (code_dim of them) where it is used.
CodeSpace choose_code_space(const RowReader& rows, Metric metric, const CodeSpace& base, float* mean);

// Encodes all rows into arrays of the sizes above. `ids` (null: row numbers) is the order of which copies are the
// later. `checkpoint` may be empty; the calling thread calls it now and then with the number of rows done, and it may
// throw.
void encode_items(const RowReader& rows, const std::int64_t* ids, Metric metric, const CodeSpace& space, int threads,
                  std::uint8_t* codes, float* scale, float* residual, float* reach, RowKind* kinds,
                  const std::function<void(std::size_t)>& checkpoint);

// Rows as they are before they are coded, [rows][dim]; zeros where a row has no code.
void copy_coded_rows(const RowReader& rows, Metric metric, float* out);

// Copies codes row after row.
void lay_out_rows(const ItemCodes& codes, int threads, std::uint8_t* out);

}  // namespace aigc_fast
