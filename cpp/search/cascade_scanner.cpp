#include "search/cascade_scanner.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "base/float_environment.hpp"
#include "base/thread_pool.hpp"

namespace aigc_fast {
namespace {

constexpr std::size_t kHeadHits = 768;     // room for what a head lets through at a time
constexpr std::size_t kWorthOneIn = 8;     // a head that lets through more than one pair in so many saves nothing
constexpr std::uint8_t kMostFailures = 6;  // after n failures in a row, 2^n - 1 blocks go without a head
constexpr std::size_t kSurveyBlocks = 128;

// The rows with the largest bounds of one query.
class MostPromising {
  public:
    struct Row {
        float bound;
        std::uint32_t row;
    };

    explicit MostPromising(std::size_t wanted) : wanted_(wanted), found_(std::max(wanted, kCodeRows)) {}

    void add(const Int8ScanKernels& kernels, const float* bounds, std::size_t begin, std::size_t end) {
        while (begin < end) {
            std::size_t count = 0;
            begin = kernels.reaching(bounds, begin, end, least_, found_.size(), found_.data(), &count);
            for (std::size_t i = 0; i < count; ++i) rows_.push_back({bounds[found_[i]], found_[i]});
            keep_best();
        }
    }
    void add(const MostPromising& other) {
        rows_.insert(rows_.end(), other.rows_.begin(), other.rows_.end());
        keep_best();
    }
    const std::vector<Row>& rows() const { return rows_; }

  private:
    void keep_best() {
        if (rows_.size() <= wanted_) return;
        const auto last = rows_.begin() + static_cast<std::ptrdiff_t>(wanted_ - 1);
        std::nth_element(rows_.begin(), last, rows_.end(),
                         [](const Row& a, const Row& b) { return a.bound > b.bound; });
        least_ = last->bound;
        rows_.resize(wanted_);
    }

    std::size_t wanted_;
    float least_ = kTakenRow;
    std::vector<Row> rows_;
    std::vector<std::uint32_t> found_;
};

}  // namespace

CascadeScanner::CascadeScanner(const QueryGroup& group, const RowReader& items, Metric metric, const Kernels& kernels,
                               const ItemCodes& codes, std::size_t copies, int threads, SearchReport* report)
    : full_(group, items, metric, kernels, *kernels.int8, &codes, copies, threads),
      head_(group, items, metric, kernels, *kernels.int8, &codes.head->codes, copies, threads),
      codes_(codes),
      kernels_(kernels),
      row_bytes_(code_row_bytes(codes.dim)),
      query_rows_(group.count() * row_bytes_),
      report_(report) {
    std::fill_n(query_rows_.data(), query_rows_.size(), std::int8_t{0});
    for (std::size_t panel = 0; panel < panels(); ++panel) {
        const CodedQueries queries = full_.queries(panel, nullptr);
        const std::size_t width = code_panel_width(queries.count);
        for (std::size_t i = 0; i < queries.count; ++i)
            for (std::size_t at = 0; at < code_groups(codes.dim) * kCodeGroup; at += kCodeGroup)
                std::memcpy(query_rows_.data() + (panel_begin(panel) + i) * row_bytes_ + at,
                            queries.codes + at * width + i * kCodeGroup, kCodeGroup);
    }
}

CascadeScanner::Worker CascadeScanner::worker(std::size_t block_rows) const {
    Worker worker{full_.worker(block_rows), head_.worker(block_rows), {}, false, {}, {}};
    worker.pause.resize(panels());
    worker.failures.resize(panels());
    return worker;
}

std::vector<Hit> CascadeScanner::survey(Worker& worker, std::size_t wanted, const float* cutoffs, int threads) {
    const std::size_t blocks = code_blocks(codes_.rows);
    bounds_ = AlignedArray<float>(blocks * kCodeRows);
    std::vector<MostPromising> found(static_cast<std::size_t>(threads), MostPromising(wanted));
    parallel_for((blocks + kSurveyBlocks - 1) / kSurveyBlocks, threads, [&](std::size_t task, std::size_t thread) {
        const std::size_t begin = task * kSurveyBlocks;
        const std::size_t end = std::min(begin + kSurveyBlocks, blocks);
        CodedBlocks heads = codes_.head->codes.blocks(begin, end - begin, nullptr);
        heads.prefetch_bytes = kPrefetchBytes;
        kernels_.int8->bound(heads, head_.queries(0, nullptr), bounds_.data() + begin * kCodeRows);
        if (end == blocks) std::fill(bounds_.data() + codes_.rows, bounds_.data() + bounds_.size(), kTakenRow);
        found[thread].add(*kernels_.int8, bounds_.data(), begin * kCodeRows, end * kCodeRows);
    });
    for (std::size_t thread = 1; thread < found.size(); ++thread) found[0].add(found[thread]);
    std::vector<Hit> hits;
    for (const MostPromising::Row& each : found[0].rows()) {
        bounds_[each.row] = kTakenRow;
        hits.push_back({each.row, 0, 0.0f});
    }
    full_.load_facts(worker, 0, codes_.rows);
    count_pairs(hits.size(), hits.size());
    hits.resize(kernels_.int8->refine({codes_.codes, row_bytes_}, worker.block, full_.queries(0, cutoffs),
                                      query_rows_.data(), hits.data(), hits.size()));
    return hits;
}

void CascadeScanner::count_pairs(std::size_t pairs, std::size_t hits) const {
    if (report_ == nullptr) return;
    report_->head_pairs.fetch_add(pairs, std::memory_order_relaxed);
    report_->head_hits.fetch_add(hits, std::memory_order_relaxed);
}

std::size_t CascadeScanner::tile_hits(std::size_t panel) const { return std::max(kHeadHits, full_.tile_hits(panel)); }

void CascadeScanner::load(Worker& worker, std::size_t begin, std::size_t end) const {
    full_.load_facts(worker, begin, end);
    if (!surveyed()) head_.load(worker.head, begin, end);
    worker.code_rows = {codes_.codes_of(worker.first_block), row_bytes_};
    // Of a large batch, some query looks at almost every row: they take longer to come from memory than the heads.
    worker.head.next = worker.next;
    worker.head.next_bytes = std::min(codes_.rows - end, end - begin) * row_bytes_;
}

std::size_t CascadeScanner::scan(Worker& worker, std::size_t panel, const float* cutoffs, std::size_t row, Hit* hits,
                                 std::size_t capacity, std::size_t* hit_count) const {
    std::uint8_t& pause = worker.pause[panel];
    if (row == 0) {
        worker.by_head = pause == 0;
        if (pause > 0) --pause;
    }
    if (worker.by_head) {
        std::size_t count = 0;
        const std::size_t next = scan_heads(worker, panel, cutoffs, row, hits, capacity, &count);
        const CodedQueries queries = full_.queries(panel, cutoffs);
        const std::size_t pairs = (next - row) * queries.count;
        count_pairs(pairs, count);
        // For a single query pair by pair is as good a scan as any: codes need not be turned into blocks for it.
        if (surveyed() || count * kWorthOneIn <= pairs) {
            *hit_count = kernels_.int8->refine(worker.code_rows, worker.block, queries,
                                               query_rows_.data() + panel_begin(panel) * row_bytes_, hits, count);
            worker.failures[panel] = 0;
            return next;
        }
        std::uint8_t& failures = worker.failures[panel];
        failures = std::min<std::uint8_t>(static_cast<std::uint8_t>(failures + 1), kMostFailures);
        pause = static_cast<std::uint8_t>((1u << failures) - 1);
        worker.by_head = false;
    }
    if (worker.block.codes == nullptr) full_.load_codes(worker);
    return full_.scan(worker, panel, cutoffs, row, hits, std::min(capacity, full_.tile_hits(panel)), hit_count);
}

// What heads let through, before it is looked at by all dimensions.
std::size_t CascadeScanner::scan_heads(const Worker& worker, std::size_t panel, const float* cutoffs, std::size_t row,
                                       Hit* hits, std::size_t capacity, std::size_t* hit_count) const {
    if (!surveyed()) return head_.scan(worker.head, panel, cutoffs, row, hits, capacity, hit_count);
    std::uint32_t rows[kHeadHits];
    const std::size_t end = worker.block.blocks * kCodeRows;
    const std::size_t next = kernels_.int8->reaching(bounds_.data() + worker.first_block * kCodeRows, row, end,
                                                     cutoffs[0], std::min(capacity, kHeadHits), rows, hit_count);
    for (std::size_t i = 0; i < *hit_count; ++i) hits[i] = {rows[i], 0, 0.0f};
    return std::min(next, worker.rows);
}

double surviving_share(const Matrix& queries, const Matrix& items, const ItemCodes& heads, const double* cutoffs) {
    const DefaultFloatEnvironment environment;
    const Kernels& kernels = active_kernels();
    const RowReader query_rows(queries);
    const RowReader item_rows(items);
    std::vector<std::size_t> indices(queries.rows);
    std::iota(indices.begin(), indices.end(), std::size_t{0});
    const QueryGroup group(query_rows, std::move(indices), heads.metric, *kernels.score, 1);
    const CodeScanner scanner(group, item_rows, heads.metric, kernels, *kernels.int8, &heads, 0, 1);
    std::vector<float> padded(group.count() + kCutoffPadding, std::numeric_limits<float>::infinity());
    for (std::size_t q = 0; q < group.count(); ++q)
        if (group.valid(q)) padded[q] = group.at_least(q, cutoffs[q]);
    AlignedArray<Hit> hits(kHeadHits);
    CodeScanner::Worker worker = scanner.worker(items.rows);
    scanner.load(worker, 0, items.rows);
    std::size_t survivors = worker.unbounded.size() * group.count();
    for (std::size_t panel = 0; panel < scanner.panels(); ++panel)
        for (std::size_t row = 0; row < items.rows;) {
            std::size_t count = 0;
            row = scanner.scan(worker, panel, padded.data(), row, hits.data(), kHeadHits, &count);
            survivors += static_cast<std::size_t>(std::count_if(hits.data(), hits.data() + count, [&](const Hit& hit) {
                if (hit.row >= items.rows) return false;
                const RowKind kind = worker.kinds[hit.row];
                return kind != RowKind::unbounded && kind != RowKind::never;
            }));
        }
    const double pairs = static_cast<double>(queries.rows) * static_cast<double>(items.rows);
    return pairs == 0.0 ? 0.0 : static_cast<double>(survivors) / pairs;
}

}  // namespace aigc_fast
