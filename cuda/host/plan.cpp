#include "plan.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace aigc_fast::cuda {
namespace {

constexpr std::size_t kMostRows = std::size_t{1} << 28;     // of a matrix: eight threads a row fit 32 bits
constexpr std::size_t kMostQueries = std::size_t{1} << 15;  // of a group: a dimension of a grid of blocks
constexpr std::size_t kMostCodedColumns = 32768;            // sums of products of codes fit int32
constexpr std::size_t kCodedQueries = 64;     // so many pay for coding items that have no codes (an estimate)
constexpr std::size_t kFewCodedQueries = 16;  // beyond, tensor cores
constexpr unsigned kSpare = 1024;             // candidates that a first wave of eight tiles may bring
constexpr unsigned kGrowth = 8;               // of float32 waves: about (growth - 1) * k new candidates come from each
constexpr unsigned kCodedGrowth = 4;          // of int8 waves, whose bound lets more through
// Room for a wave's hits; where it is not enough, all of the wave's items are scored. On 2**20 rows of 768 columns iid
// rows bring 440 at most for k = 10 and 1,900 for k = 100, hard ones 14,000 and 32,000 (benchmarks/gpu_hits.py).
constexpr unsigned kLeastHits = 16384;
constexpr unsigned kHitsOfK = 256;
constexpr std::size_t kWantedBlocks = 4 * 132;  // of threads: enough for the largest GPUs
constexpr std::size_t kMostTilesOfBlock = 32;

PlanOverride overrides;

std::size_t up(std::size_t value, std::size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Hands out parts of a memory; from address 0, it measures what is needed.
class Arena {
  public:
    explicit Arena(Address base) : base_(base) {}

    template <class T>
    T* take(std::size_t count) {
        const Address at = base_ + used_;
        used_ = up(used_ + count * sizeof(T), 256);
        return reinterpret_cast<T*>(at);
    }
    std::size_t used() const { return used_; }

  private:
    Address base_;
    std::size_t used_ = 0;
};

bool can_be_coded(std::size_t dim) { return dim <= kMostCodedColumns; }

Description take_description(Arena& arena, std::size_t rows, std::size_t dim, bool coded) {
    Description made;
    if (coded) {
        const std::size_t padded = up(rows, kTileRows);
        made.codes = arena.take<signed char>(padded * code_width(static_cast<unsigned>(dim)));
        made.blocks = arena.take<CodeBlock>(padded / kCodeRows);
    } else {
        made.measures = arena.take<Measure>(rows);
    }
    return made;
}

bool has(const Description& stored, bool coded) { return coded ? stored.codes != nullptr : stored.measures != nullptr; }

Workspace take_all(const Request& request, const Plan& plan, std::size_t group, Arena& arena) {
    const DeviceMatrix& items = request.segments.front().rows;
    const std::size_t padded = up(group, plan.panel);
    std::size_t undescribed = 0;
    for (const Segment& segment : request.segments)
        if (!has(segment.stored, plan.coded)) undescribed = std::max(undescribed, segment.rows.rows);
    Workspace made;
    made.description = take_description(arena, undescribed, items.dim, plan.coded);
    Search& search = made.search;
    search.items.dim = static_cast<unsigned>(items.dim);
    search.metric = request.metric;
    search.as_f64 = scores_are_f64(request);
    search.panel = plan.panel;
    search.values = arena.take<double>(group * up(items.dim, kLanes));
    search.info = arena.take<QueryInfo>(group);
    search.cutoffs = arena.take<float>(padded);
    search.k = plan.k;
    search.capacity = plan.capacity;
    search.scores = arena.take<double>(group * plan.capacity);
    search.ids = arena.take<long long>(group * plan.capacity);
    search.kept = arena.take<unsigned>(group);
    search.counts = arena.take<unsigned>(group);
    if (!plan.coded) {
        search.vectors = arena.take<float>(padded * up(items.dim, kStepColumns));
        return made;
    }
    Codes& codes = made.codes;
    codes.width = code_width(static_cast<unsigned>(items.dim));
    codes.queries = arena.take<signed char>(padded * codes.width);
    codes.fine = plan.panel < kTensorQueries ? arena.take<signed char>(padded * codes.width) : nullptr;
    codes.query_codes = arena.take<QueryCode>(padded);
    codes.hit_capacity = plan.hits;
    codes.hits = arena.take<Hit>(group * plan.hits);
    codes.hit_counts = arena.take<unsigned>(group);
    return made;
}

std::size_t workspace_of(const Request& request, const Plan& plan, std::size_t group) {
    Arena arena(0);
    take_all(request, plan, group, arena);
    return arena.used();
}

unsigned panel_of(const Request& request, bool coded) {
    const std::size_t queries = request.queries.rows;
    if (!coded) return queries <= kFewQueries ? kFewQueries : kManyQueries;
    if (queries > kFewCodedQueries || request.task != Task::topk) return kTensorQueries;
    if (overrides.panel != 0) return overrides.panel;
    return queries == 1 ? 1 : 4;
}

// Everything for one way but the size of groups.
Plan plan_of(const Request& request, bool coded) {
    Plan plan;
    plan.coded = coded;
    plan.panel = panel_of(request, coded);
    const std::size_t items = rows_of(request);
    plan.k = static_cast<unsigned>(std::min(request.k, items));
    if (plan.k == 0) return plan;
    const std::size_t expected = up(std::size_t{plan.k} * kGrowth, kTileRows);
    plan.spare = overrides.spare != 0 ? overrides.spare : std::max(kSpare, static_cast<unsigned>(expected));
    plan.capacity = static_cast<unsigned>(std::min(std::size_t{plan.k} + plan.spare, items));
    if (!coded) return plan;
    const std::size_t hits = kLeastHits + std::size_t{plan.k} * kHitsOfK;
    plan.hits = overrides.hits != 0 ? overrides.hits : static_cast<unsigned>(std::min(hits, up(items, kTileRows)));
    return plan;
}

// Codes where all items have them, or where queries are enough to pay for them and there is room.
bool scan_codes(const Request& request, std::size_t max_memory) {
    const std::size_t dim = request.segments.front().rows.dim;
    if (request.task == Task::similarity || !can_be_coded(dim)) return false;
    if (overrides.coded >= 0) return overrides.coded != 0;
    const auto& segments = request.segments;
    if (std::all_of(segments.begin(), segments.end(), [](const Segment& s) { return has(s.stored, true); }))
        return true;
    const Plan coded = plan_of(request, true);
    return request.queries.rows >= kCodedQueries && workspace_of(request, coded, coded.panel) <= max_memory;
}

// The most queries that fit, in whole panels where one fits; 0: not even one query does.
std::size_t group_of(const Request& request, const Plan& plan, std::size_t max_memory) {
    const std::size_t one_panel = workspace_of(request, plan, plan.panel);
    if (one_panel <= max_memory) {
        // Parts of the workspace are rounded up, so that later panels take less than the first.
        const std::size_t fixed = workspace_of(request, plan, 0);
        const std::size_t fitting = (max_memory - fixed) / std::max<std::size_t>(1, one_panel - fixed);
        const std::size_t wanted = std::max<std::size_t>(1, up(request.queries.rows, plan.panel) / plan.panel);
        return std::min({fitting, wanted, kMostQueries / plan.panel}) * plan.panel;
    }
    std::size_t fits = 0;
    std::size_t too_many = plan.panel;
    while (too_many - fits > 1) {
        const std::size_t middle = (fits + too_many) / 2;
        (workspace_of(request, plan, middle) <= max_memory ? fits : too_many) = middle;
    }
    return fits;
}

}  // namespace

void override_plan(const PlanOverride& override) { overrides = override; }

unsigned growth(const Plan& plan) {
    return overrides.growth != 0 ? overrides.growth : plan.coded ? kCodedGrowth : kGrowth;
}

unsigned tiles_of_block(std::size_t tiles, std::size_t panels) {
    if (overrides.tiles != 0) return overrides.tiles;
    return static_cast<unsigned>(std::clamp<std::size_t>(tiles * panels / kWantedBlocks, 1, kMostTilesOfBlock));
}

std::size_t rows_of(const Request& request) {
    std::size_t rows = 0;
    for (const Segment& segment : request.segments) rows += segment.rows.rows;
    return rows;
}

bool scores_are_f64(const Request& request) {
    return request.queries.element == "f64" || request.segments.front().rows.element == "f64";
}

std::size_t description_bytes(std::size_t rows, std::size_t dim) {
    Arena arena(0);
    take_description(arena, rows, dim, can_be_coded(dim));
    return arena.used();
}

Description description_at(Address memory, std::size_t rows, std::size_t dim) {
    Arena arena(memory);
    return take_description(arena, rows, dim, can_be_coded(dim));
}

void check_size(const char* what, std::size_t rows, std::size_t dim) {
    if (rows > kMostRows || dim > kMostRows)
        throw std::invalid_argument(std::string(what) + " takes at most " + std::to_string(kMostRows) +
                                    " rows and columns, got " + std::to_string(rows) + " and " + std::to_string(dim));
}

Workspace lay_out(const Request& request, const Plan& plan, Address workspace) {
    Arena arena(workspace);
    return take_all(request, plan, plan.group, arena);
}

Plan plan(const Request& request, std::size_t max_memory) {
    const std::size_t items = rows_of(request);
    const std::size_t dim = request.segments.front().rows.dim;
    check_size("a search on a GPU", items, dim);
    Plan plan = plan_of(request, scan_codes(request, max_memory));
    plan.group = group_of(request, plan, max_memory);
    if (plan.group == 0)
        throw OutOfMemory("a search of " + std::to_string(items) + " items with k=" + std::to_string(request.k) +
                          " needs a workspace of at least " + std::to_string(workspace_of(request, plan, 1)) +
                          " bytes, and max_memory leaves it " + std::to_string(max_memory));
    plan.workspace = workspace_of(request, plan, plan.group);
    return plan;
}

}  // namespace aigc_fast::cuda
