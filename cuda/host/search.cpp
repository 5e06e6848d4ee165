#include "search.hpp"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <stdexcept>

namespace aigc_fast::cuda {
namespace {

constexpr std::size_t kMostRows = std::size_t{1} << 28;     // of a matrix: eight threads a row fit 32 bits
constexpr std::size_t kMostQueries = std::size_t{1} << 15;  // of a group: a dimension of a grid of blocks
constexpr unsigned kSpare = 1024;                           // candidates that a first wave of eight tiles may bring
constexpr unsigned kGrowth = 8;  // of waves: about (kGrowth - 1) * k new candidates come from each

std::atomic<unsigned> spare_override{0};
std::atomic<unsigned> growth_override{0};

unsigned growth() { return growth_override ? growth_override.load() : kGrowth; }

std::size_t panels_of(std::size_t queries, unsigned panel) { return (queries + panel - 1) / panel; }
std::size_t up(std::size_t value, std::size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Hands out parts of a workspace; from address 0, it measures what is needed.
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

DeviceMatrix rows_from(const DeviceMatrix& matrix, std::size_t first, std::size_t count) {
    const std::size_t size = matrix.element == "f64" ? 8 : matrix.element == "f32" ? 4 : matrix.element == "i8" ? 1 : 2;
    DeviceMatrix part = matrix;
    part.data += static_cast<Address>(static_cast<long long>(first) * matrix.row_stride * static_cast<long long>(size));
    part.rows = count;
    return part;
}

Rows as_rows(const DeviceMatrix& matrix) {
    return {reinterpret_cast<const void*>(matrix.data), matrix.row_stride, matrix.column_stride,
            static_cast<unsigned>(matrix.rows), static_cast<unsigned>(matrix.dim)};
}

std::size_t rows_of(const Request& request) {
    std::size_t rows = 0;
    for (const Segment& segment : request.segments) rows += segment.rows.rows;
    return rows;
}

bool scores_are_f64(const Request& request) {
    return request.queries.element == "f64" || request.segments.front().rows.element == "f64";
}

// Everything but what belongs to a segment, and room to measure the largest one that is not measured yet.
Search lay_out(const Request& request, const Plan& plan, std::size_t group, Arena& arena) {
    const DeviceMatrix& items = request.segments.front().rows;
    const std::size_t padded = panels_of(group, plan.panel) * plan.panel;
    std::size_t unmeasured = 0;
    for (const Segment& segment : request.segments)
        if (segment.measures == nullptr) unmeasured = std::max(unmeasured, segment.rows.rows);
    Search search{};
    search.items = as_rows(items);
    search.metric = request.metric;
    search.as_f64 = scores_are_f64(request);
    search.panel = plan.panel;
    search.measures = arena.take<Measure>(unmeasured);
    search.values = arena.take<double>(group * up(items.dim, kLanes));
    search.vectors = arena.take<float>(padded * up(items.dim, kStepColumns));
    search.info = arena.take<QueryInfo>(group);
    search.cutoffs = arena.take<float>(padded);
    search.k = plan.k;
    search.capacity = plan.capacity;
    search.scores = arena.take<double>(group * plan.capacity);
    search.ids = arena.take<long long>(group * plan.capacity);
    search.kept = arena.take<unsigned>(group);
    search.counts = arena.take<unsigned>(group);
    return search;
}

std::size_t workspace_of(const Request& request, const Plan& plan, std::size_t group) {
    Arena arena(0);
    lay_out(request, plan, group, arena);
    return arena.used();
}

template <class T>
T* from(T* entries, std::size_t first) {
    return entries == nullptr ? nullptr : entries + first;
}

Filter filter_from(Filter filter, std::size_t first) {
    filter.exclude.indptr = from(filter.exclude.indptr, first);
    filter.allow.indptr = from(filter.allow.indptr, first);
    filter.thresholds = from(filter.thresholds, first);
    filter.after_scores = from(filter.after_scores, first);
    filter.after_ids = from(filter.after_ids, first);
    return filter;
}

void prepare_queries(const Stream& stream, const Request& request, const Search& search, std::size_t first) {
    const std::size_t padded = panels_of(search.queries, search.panel) * search.panel;
    stream.launch("prepare_queries_" + request.queries.element, (padded * kLanes + kThreads - 1) / kThreads, 1, search,
                  as_rows(rows_from(request.queries, first, search.queries)));
}

// The same search over one of the segments. `measured` is the one that the workspace has measures of.
Search search_of(const Stream& stream, const Request& request, const Segment& segment, const Segment*& measured,
                 Search search) {
    search.items = as_rows(segment.rows);
    search.names = segment.names;
    search.filter.allowed = segment.allowed;
    search.tiles = (search.items.rows + kTileRows - 1) / kTileRows;
    // The golden section of the tiles spreads any first ones evenly over all.
    search.tile_step = std::max(1u, static_cast<unsigned>(search.tiles * 0.618));
    while (std::gcd(search.tile_step, std::max(1u, search.tiles)) != 1) ++search.tile_step;
    if (segment.measures != nullptr) {
        search.measures = segment.measures;
    } else if (measured != &segment) {
        measure(stream, segment.rows, request.metric, search.measures);
        measured = &segment;
    }
    return search;
}

// Calls search_group(search, first query) for one group of queries after another, prepared but for the segments.
template <class SearchGroup>
void for_each_group(const Request& request, const Plan& plan, Address workspace, Mode mode, SearchGroup search_group) {
    Arena arena(workspace);
    Search search = lay_out(request, plan, plan.group, arena);
    search.mode = mode;
    for (std::size_t first = 0; first < request.queries.rows; first += plan.group) {
        search.queries = static_cast<unsigned>(std::min(plan.group, request.queries.rows - first));
        search.filter = filter_from(request.filter, first);
        search_group(search, first);
    }
}

void scan(const Stream& stream, const std::string& element, const Search& search, const Wave& wave) {
    const char* kind = search.panel == kFewQueries ? "scan_few_" : "scan_many_";
    stream.launch(kind + element, (wave.end - wave.begin) * panels_of(search.queries, search.panel), 1, search, wave);
}

}  // namespace

void override_waves(unsigned spare, unsigned growth) {
    spare_override = spare;
    growth_override = growth;
}

void measure(const Stream& stream, const DeviceMatrix& rows, Metric metric, Measure* measures) {
    const std::size_t warps = kThreads / 32;
    Search search{};
    search.items = as_rows(rows);
    search.metric = metric;
    search.measures = measures;
    stream.launch("measure_items_" + rows.element, (rows.rows + warps - 1) / warps, 1, search);
}

Plan plan(const Request& request, std::size_t max_memory) {
    const std::size_t queries = request.queries.rows;
    const std::size_t items = rows_of(request);
    const std::size_t dim = request.segments.front().rows.dim;
    if (items > kMostRows || dim > kMostRows)
        throw std::invalid_argument("a search on a GPU takes at most " + std::to_string(kMostRows) +
                                    " items and columns, got " + std::to_string(items) + " and " + std::to_string(dim));
    Plan plan;
    plan.panel = queries <= kFewQueries ? kFewQueries : kManyQueries;
    plan.k = static_cast<unsigned>(std::min(request.k, items));
    if (plan.k != 0) {
        const std::size_t expected = up(std::size_t{plan.k} * kGrowth, kTileRows);
        plan.spare = spare_override ? spare_override.load() : std::max(kSpare, static_cast<unsigned>(expected));
        plan.capacity = static_cast<unsigned>(std::min(std::size_t{plan.k} + plan.spare, items));
    }
    const std::size_t fixed = workspace_of(request, plan, 0);
    const std::size_t one_panel = workspace_of(request, plan, plan.panel);
    if (queries != 0 && one_panel > max_memory)
        throw OutOfMemory("a search of " + std::to_string(items) + " items with k=" + std::to_string(request.k) +
                          " needs a workspace of at least " + std::to_string(one_panel) + " bytes, and max_memory is " +
                          std::to_string(max_memory));
    // As many whole panels as fit: parts of the workspace are rounded up, so that later ones take less than the first.
    const std::size_t fitting =
        (max_memory - std::min(fixed, max_memory)) / std::max<std::size_t>(1, one_panel - fixed);
    const std::size_t most = std::min(kMostQueries / plan.panel, panels_of(queries, plan.panel));
    plan.group = std::clamp<std::size_t>(fitting, 1, std::max<std::size_t>(1, most)) * plan.panel;
    plan.workspace = workspace_of(request, plan, plan.group);
    return plan;
}

void topk(const Stream& stream, const Request& request, const Plan& plan, Address workspace, const TopKOutput& output) {
    const Segment* measured = nullptr;
    for_each_group(request, plan, workspace, kKeep, [&](const Search& group, std::size_t first) {
        prepare_queries(stream, request, group, first);
        std::size_t seen = 0;  // tiles
        for (const Segment& segment : request.segments) {
            if (group.k == 0 || segment.rows.rows == 0) continue;
            const Search search = search_of(stream, request, segment, measured, group);
            for (std::size_t begin = 0; begin < search.tiles;) {
                // Where there is no room for all, the first wave brings no more than there is room for, and each of the
                // others sees growth - 1 times what was seen before.
                std::size_t length = std::max<std::size_t>(plan.spare / kTileRows, seen * (growth() - 1));
                if (plan.capacity == rows_of(request)) length = search.tiles;
                const std::size_t end = std::min<std::size_t>(begin + length, search.tiles);
                const Wave wave{static_cast<unsigned>(begin), static_cast<unsigned>(end)};
                scan(stream, segment.rows.element, search, wave);
                stream.launch("settle_" + segment.rows.element, search.queries, 1, search, wave);
                seen += end - begin;
                begin = end;
            }
        }
        TopKOutput part = output;
        const std::size_t at = first * output.width;
        part.scores = static_cast<char*>(output.scores) + at * (group.as_f64 ? sizeof(double) : sizeof(float));
        part.ids = output.ids + at;
        part.counts = output.counts + first;
        stream.launch("write_topk", group.queries, 1, group, part);
    });
}

namespace {

// Both passes of a threshold search; each group's queries count their hits from `counts` on.
template <class Into>
void scan_for_hits(const Stream& stream, const Request& request, const Plan& plan, Address workspace, Mode mode,
                   unsigned* counts, Into into) {
    // The counting pass leaves the last segment's measures.
    const Segment* measured = mode == kFill ? &request.segments.back() : nullptr;
    for_each_group(request, plan, workspace, mode, [&](Search group, std::size_t first) {
        group.counts = counts + first;
        into(group, first);
        prepare_queries(stream, request, group, first);
        for (const Segment& segment : request.segments) {
            const Search search = search_of(stream, request, segment, measured, group);
            scan(stream, segment.rows.element, search, {0, search.tiles});
        }
    });
}

}  // namespace

void count_hits(const Stream& stream, const Request& request, const Plan& plan, Address workspace, unsigned* counts,
                long long* indptr) {
    scan_for_hits(stream, request, plan, workspace, kCount, counts, [](Search&, std::size_t) {});
    stream.launch("add_counts", 1, 1, static_cast<const unsigned*>(counts), static_cast<unsigned>(request.queries.rows),
                  indptr);
}

void fill_hits(const Stream& stream, const Request& request, const Plan& plan, Address workspace, unsigned* counts,
               const long long* indptr, void* scores, long long* ids) {
    scan_for_hits(stream, request, plan, workspace, kFill, counts, [&](Search& group, std::size_t first) {
        group.indptr = indptr + first;
        group.hit_scores = scores;
        group.hit_ids = ids;
    });
    const char* sort = scores_are_f64(request) ? "sort_hits_f64" : "sort_hits_f32";
    stream.launch(sort, request.queries.rows, 1, indptr, scores, ids);
}

void similarity(const Stream& stream, const Request& request, const Plan& plan, Address workspace, Address scores) {
    const DeviceMatrix& items = request.segments.front().rows;
    for_each_group(request, plan, workspace, kCount, [&](const Search& group, std::size_t first) {
        prepare_queries(stream, request, group, first);
        const std::size_t size = group.as_f64 ? sizeof(double) : sizeof(float);
        stream.launch("similarity_" + items.element, (items.rows * kLanes + kThreads - 1) / kThreads, group.queries,
                      group, reinterpret_cast<void*>(scores + first * items.rows * size));
    });
}

void normalize(const Stream& stream, const DeviceMatrix& rows, Address out, Address norms) {
    const std::size_t size = rows.element == "f64" ? sizeof(double) : sizeof(float);
    for (std::size_t first = 0; first < rows.rows; first += kMostRows) {
        const DeviceMatrix part = rows_from(rows, first, std::min(kMostRows, rows.rows - first));
        stream.launch("normalize_" + rows.element, (part.rows * kLanes + kThreads - 1) / kThreads, 1, as_rows(part),
                      reinterpret_cast<void*>(out + first * rows.dim * size),
                      reinterpret_cast<void*>(norms == 0 ? 0 : norms + first * size));
    }
}

}  // namespace aigc_fast::cuda
