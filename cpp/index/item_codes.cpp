#include "index/item_codes.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "base/float_environment.hpp"
#include "base/thread_pool.hpp"
#include "index/copies.hpp"
#include "score/scorer.hpp"

namespace aigc_fast {
namespace {

constexpr std::size_t kSampleBlocks = 32;  // blocks of rows looked at to choose the space
constexpr float kWorthASpace = 0.8f;       // a space must shrink the residuals by this much to be used
constexpr std::size_t kTaskBlocks = 64;
constexpr std::size_t kPrefetchBytes = 8192;
constexpr std::size_t kCheckpointBytes = 64u << 20;  // codes between two checkpoints

float sampled_residual(const RowReader& rows, Metric metric, const Kernels& kernels, const CodeSpace& space) {
    RowEncoder encoder(rows, metric, kernels, space);
    std::vector<std::uint8_t> codes(code_block_bytes(space.code_dim(rows.dim())));
    RowKind kinds[kCodeRows];
    const std::size_t full_blocks = rows.rows() / kCodeRows;
    const std::size_t samples = std::min(kSampleBlocks, full_blocks);
    float sum = 0.0f;
    for (std::size_t i = 0; i < samples; ++i)
        sum += encoder.encode(*kernels.int8, full_blocks * i / samples * kCodeRows, kCodeRows, codes.data(), kinds)
                   .residual;
    return sum;
}

// The mean of a sample of rows in their space.
void sample_mean(const RowReader& rows, Metric metric, const Kernels& kernels, const CodeSpace& space, float* mean) {
    RowEncoder encoder(rows, metric, kernels, space);
    std::vector<double> sums(space.code_dim(rows.dim()));
    RowKind kinds[kCodeRows];
    const std::size_t full_blocks = rows.rows() / kCodeRows;
    const std::size_t samples = std::min(kSampleBlocks, full_blocks);
    for (std::size_t i = 0; i < samples; ++i) {
        const float* block = encoder.project(full_blocks * i / samples * kCodeRows, kCodeRows, kinds);
        for (std::size_t row = 0; row < kCodeRows; ++row)
            for (std::size_t j = 0; j < sums.size(); ++j)
                sums[j] += static_cast<double>(block[row * encoder.code_stride() + j]);
    }
    for (std::size_t j = 0; j < sums.size(); ++j)
        mean[j] = static_cast<float>(sums[j] / static_cast<double>(samples * kCodeRows));
}

}  // namespace

RowEncoder::RowEncoder(const RowReader& rows, Metric metric, const Kernels& kernels, const CodeSpace& space)
    : rows_(rows),
      metric_(metric),
      kernels_(kernels),
      space_(space),
      stride_(code_groups(rows.dim()) * kCodeGroup),
      code_stride_(code_groups(space.code_dim(rows.dim())) * kCodeGroup),
      block_(kCodeRows * stride_),
      heads_(space.basis != nullptr ? kCodeRows * code_stride_ : 0),
      canonical_(rows.dim()) {}

RowKind RowEncoder::load(std::size_t row, float* out) {
    const std::size_t dim = rows_.dim();
    if (metric_ != Metric::pearson && rows_.dtype() != DType::f64) {
        const float* x = out;
        if (rows_.in_place_f32()) {
            x = rows_.in_place<float>(row);
            prefetch(row + kPrefetchBytes / (dim * sizeof(float) + 1) + 1);
        } else {
            rows_.copy_f32(row, out);
        }
        float scale;
        float slack;
        kernels_.f32->measure({x, 0, 1, dim, &scale, &slack}, metric_);
        if (std::isnan(slack)) return RowKind::never;
        if (std::isinf(slack)) return RowKind::unbounded;
        for (std::size_t j = 0; j < dim; ++j) out[j] = x[j] * scale;
        return RowKind::coded;
    }
    const CanonicalRow canonical = canonical_row(rows_, row, metric_, *kernels_.score, canonical_.data());
    if (!canonical.finite) return RowKind::never;
    const double norm = canonical.norm;
    if (metric_ == Metric::inner_product && norm != 0.0 && !(norm >= 0x1p-60 && norm <= 0x1p60))
        return RowKind::unbounded;
    const double divisor = metric_ == Metric::inner_product || norm == 0.0 ? 1.0 : norm;
    for (std::size_t j = 0; j < dim; ++j) out[j] = static_cast<float>(canonical_[j] / divisor);
    return RowKind::coded;
}

// A row that is loaded soon: between two rows there is enough to do for memory to fall behind.
void RowEncoder::prefetch(std::size_t row) const {
    if (row >= rows_.rows()) return;
    const char* x = rows_.in_place<char>(row);
    for (std::size_t at = 0; at < rows_.dim() * sizeof(float); at += kCacheLine) __builtin_prefetch(x + at);
}

const float* RowEncoder::project(std::size_t begin, std::size_t count, RowKind* kinds) {
    const std::size_t dim = rows_.dim();
    RowKind block_kinds[kCodeRows];
    for (std::size_t i = 0; i < kCodeRows; ++i) {
        float* out = block_.data() + i * stride_;
        block_kinds[i] = i < count ? load(begin + i, out) : RowKind::never;
        std::fill(block_kinds[i] == RowKind::coded ? out + dim : out, out + stride_, 0.0f);
    }
    std::copy(block_kinds, block_kinds + count, kinds);
    if (space_.basis != nullptr)
        space_.project_heads(block_.data(), kCodeRows, stride_, dim, *kernels_.int8, heads_.data());
    float* coded = space_.basis != nullptr ? heads_.data() : block_.data();
    for (std::size_t i = 0; i < kCodeRows; ++i)
        if (block_kinds[i] == RowKind::coded) space_.project_item(coded + i * code_stride_, dim, *kernels_.int8);
    return coded;
}

CodeBlock RowEncoder::encode(const CodeScanKernels& kernels, std::size_t begin, std::size_t count, std::uint8_t* codes,
                             RowKind* kinds) {
    const float* rows = project(begin, count, kinds);
    const std::size_t bytes = space_.code_dim(rows_.dim()) * code_bytes(kernels.type);
    CodeBlock block = kernels.encode(rows, code_stride_, code_groups(bytes), codes);
    const float length = metric_ == Metric::inner_product ? block.reach + block.residual : 1.0f;
    block.residual += length * space_.item_rounding(rows_.dim());
    return block;
}

CodeSpace choose_code_space(const RowReader& rows, Metric metric, const CodeSpace& base, float* mean) {
    const DefaultFloatEnvironment environment;
    CodeSpace best = base;
    if (rows.rows() < kCodeRows * kSampleBlocks) return best;
    const Kernels& kernels = active_kernels();
    sample_mean(rows, metric, kernels, base, mean);
    float smallest = sampled_residual(rows, metric, kernels, best) * kWorthASpace;
    for (const bool centred : {false, true})
        for (const bool rotated : {false, true}) {
            // Inner products are not centred: their rows differ in length, and the mean says little of them.
            if ((!centred && !rotated) || (centred && metric == Metric::inner_product)) continue;
            CodeSpace space = base;
            space.mean = centred ? mean : nullptr;
            space.rotated = rotated;
            const float residual = sampled_residual(rows, metric, kernels, space);
            if (residual >= smallest) continue;
            smallest = residual;
            best = space;
        }
    return best;
}

void encode_items(const RowReader& rows, const std::int64_t* ids, Metric metric, const CodeSpace& space, int threads,
                  std::uint8_t* codes, float* scale, float* residual, float* reach, RowKind* kinds,
                  const std::function<void(std::size_t)>& checkpoint) {
    const DefaultFloatEnvironment environment;
    if (rows.dim() > kMaxInt8Dim)
        throw std::invalid_argument("items must have at most " + std::to_string(kMaxInt8Dim) +
                                    " columns to be coded, got " + std::to_string(rows.dim()));
    const Kernels& kernels = active_kernels();
    const std::size_t blocks = code_blocks(rows.rows());
    const std::size_t block_bytes = code_block_bytes(space.code_dim(rows.dim()));
    if (threads <= 0) threads = default_num_threads();
    const auto encode_blocks = [&](std::size_t begin, std::size_t end) {
        RowEncoder encoder(rows, metric, kernels, space);
        for (std::size_t b = begin; b < end; ++b) {
            const std::size_t row = b * kCodeRows;
            const CodeBlock block = encoder.encode(*kernels.int8, row, std::min(kCodeRows, rows.rows() - row),
                                                   codes + b * block_bytes, kinds + row);
            scale[b] = block.scale;
            residual[b] = block.residual;
            reach[b] = block.reach;
        }
    };
    const std::size_t step = std::max(kCheckpointBytes / (kTaskBlocks * block_bytes + 1), std::size_t{1}) * kTaskBlocks;
    for (std::size_t begin = 0; begin < blocks; begin += step) {
        const std::size_t end = std::min(begin + step, blocks);
        parallel_for((end - begin + kTaskBlocks - 1) / kTaskBlocks, threads, [&](std::size_t task, std::size_t) {
            const std::size_t first = begin + task * kTaskBlocks;
            encode_blocks(first, std::min(first + kTaskBlocks, end));
        });
        if (checkpoint) checkpoint(std::min(end * kCodeRows, rows.rows()));
    }
    if (space.basis == nullptr) mark_copies(rows, ids, threads, kinds);
}

void copy_coded_rows(const RowReader& rows, Metric metric, float* out) {
    const DefaultFloatEnvironment environment;
    const CodeSpace plain;
    RowEncoder encoder(rows, metric, active_kernels(), plain);
    RowKind kinds[kCodeRows];
    for (std::size_t begin = 0; begin < rows.rows(); begin += kCodeRows) {
        const std::size_t count = std::min(kCodeRows, rows.rows() - begin);
        const float* block = encoder.project(begin, count, kinds);
        for (std::size_t i = 0; i < count; ++i)
            std::copy_n(block + i * encoder.code_stride(), rows.dim(), out + (begin + i) * rows.dim());
    }
}

void lay_out_rows(const ItemCodes& codes, int threads, std::uint8_t* out) {
    const std::size_t out_bytes = kCodeRows * code_row_bytes(codes.dim);
    const std::size_t blocks = code_blocks(codes.rows);
    parallel_for((blocks + kTaskBlocks - 1) / kTaskBlocks, threads > 0 ? threads : default_num_threads(),
                 [&](std::size_t task, std::size_t) {
                     const std::size_t end = std::min((task + 1) * kTaskBlocks, blocks);
                     for (std::size_t b = task * kTaskBlocks; b < end; ++b)
                         block_to_rows(codes.codes_of(b), codes.dim, out + b * out_bytes);
                 });
}

CodedBlocks ItemCodes::blocks(std::size_t first, std::size_t count, std::uint8_t* scratch) const {
    const std::size_t dim_of_codes = code_dim();
    for (std::size_t b = first; by_row && scratch != nullptr && b < first + count; ++b) {
        const std::uint8_t* next = b + 1 < code_blocks(rows) ? codes_of(b + 1) : nullptr;
        rows_to_block(codes_of(b), dim_of_codes, next, scratch + (b - first) * code_block_bytes(dim_of_codes));
    }
    return {by_row ? scratch : codes_of(first),
            scale + first,
            residual + first,
            reach + first,
            count,
            code_groups(dim_of_codes),
            0,
            nullptr,
            0};
}

}  // namespace aigc_fast
