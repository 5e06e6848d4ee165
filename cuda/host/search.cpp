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

Search lay_out(const Request& request, const Plan& plan, std::size_t group, Arena& arena) {
    const std::size_t padded = panels_of(group, plan.panel) * plan.panel;
    const std::size_t dim = request.items.dim;
    const std::size_t items = request.items.rows;
    Search search{};
    search.items = {reinterpret_cast<const void*>(request.items.data), request.items.row_stride,
                    request.items.column_stride, static_cast<unsigned>(items), static_cast<unsigned>(dim)};
    search.metric = request.metric;
    search.as_f64 = request.queries.element == "f64" || request.items.element == "f64";
    search.panel = plan.panel;
    search.measures = arena.take<Measure>(items);
    search.values = arena.take<double>(group * up(dim, kLanes));
    search.vectors = arena.take<float>(padded * up(dim, kStepColumns));
    search.info = arena.take<QueryInfo>(group);
    search.cutoffs = arena.take<float>(padded);
    search.k = plan.k;
    search.capacity = plan.capacity;
    search.scores = arena.take<double>(group * plan.capacity);
    search.rows = arena.take<unsigned>(group * plan.capacity);
    search.kept = arena.take<unsigned>(group);
    search.counts = arena.take<unsigned>(group);
    search.tiles = static_cast<unsigned>((items + kTileRows - 1) / kTileRows);
    // The golden section of the tiles spreads any first ones evenly over all.
    search.tile_step = std::max(1u, static_cast<unsigned>(search.tiles * 0.618));
    while (std::gcd(search.tile_step, std::max(1u, search.tiles)) != 1) ++search.tile_step;
    return search;
}

std::size_t workspace_of(const Request& request, const Plan& plan, std::size_t group) {
    Arena arena(0);
    lay_out(request, plan, group, arena);
    return arena.used();
}

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

// Calls search_group(search, first query) for one group of queries after another, ready to be scanned.
template <class SearchGroup>
void for_each_group(const Stream& stream, const Request& request, const Plan& plan, Address workspace, Mode mode,
                    SearchGroup search_group) {
    Arena arena(workspace);
    Search search = lay_out(request, plan, plan.group, arena);
    search.mode = mode;
    const std::size_t warps = kThreads / 32;
    if (mode != kFill)  // measured when hits were counted
        stream.launch("measure_items_" + request.items.element, (request.items.rows + warps - 1) / warps, 1, search);
    for (std::size_t first = 0; first < request.queries.rows; first += plan.group) {
        search.queries = static_cast<unsigned>(std::min(plan.group, request.queries.rows - first));
        search.filter = filter_from(request.filter, first);
        search_group(search, first);
    }
}

void scan(const Stream& stream, const Request& request, const Search& search, const Wave& wave) {
    const char* kind = search.panel == kFewQueries ? "scan_few_" : "scan_many_";
    stream.launch(kind + request.items.element, (wave.end - wave.begin) * panels_of(search.queries, search.panel), 1,
                  search, wave);
}

}  // namespace

void override_waves(unsigned spare, unsigned growth) {
    spare_override = spare;
    growth_override = growth;
}

Plan plan(const Request& request, std::size_t max_memory) {
    const std::size_t queries = request.queries.rows;
    const std::size_t items = request.items.rows;
    if (items > kMostRows || request.items.dim > kMostRows)
        throw std::invalid_argument("a search on a GPU takes at most " + std::to_string(kMostRows) +
                                    " items and columns, got " + std::to_string(items) + " and " +
                                    std::to_string(request.items.dim));
    Plan plan;
    plan.panel = queries <= kFewQueries ? kFewQueries : kManyQueries;
    plan.k = static_cast<unsigned>(std::min(request.k, items));
    if (plan.k != 0) {
        const std::size_t spare = spare_override
                                      ? spare_override.load()
                                      : std::max<std::size_t>(kSpare, up(std::size_t{plan.k} * kGrowth, kTileRows));
        plan.spare = static_cast<unsigned>(spare);
        plan.capacity = static_cast<unsigned>(std::min(plan.k + spare, items));
    }
    // The most queries that fit; whole panels, unless one holds all.
    const std::size_t most = std::min(kMostQueries, panels_of(queries, plan.panel) * plan.panel);
    const std::size_t one_panel = workspace_of(request, plan, plan.panel);
    const std::size_t fixed = workspace_of(request, plan, 0);
    if (queries != 0 && one_panel > max_memory)
        throw OutOfMemory("a search of " + std::to_string(items) + " items with k=" + std::to_string(request.k) +
                          " needs a workspace of at least " + std::to_string(one_panel) + " bytes, and max_memory is " +
                          std::to_string(max_memory));
    const std::size_t panels = (max_memory - std::min(fixed, max_memory)) / std::max<std::size_t>(1, one_panel - fixed);
    plan.group = std::min(std::max<std::size_t>(1, panels) * plan.panel, std::max<std::size_t>(most, plan.panel));
    while (plan.group > plan.panel && workspace_of(request, plan, plan.group) > max_memory) plan.group -= plan.panel;
    plan.workspace = workspace_of(request, plan, plan.group);
    return plan;
}

void topk(const Stream& stream, const Request& request, const Plan& plan, Address workspace, const TopKOutput& output) {
    for_each_group(stream, request, plan, workspace, kKeep, [&](const Search& search, std::size_t first) {
        prepare_queries(stream, request, search, first);
        // Room for all items needs one wave; else the first one brings no more than there is room for.
        std::size_t end = search.capacity == search.items.rows ? search.tiles : plan.spare / kTileRows;
        for (std::size_t begin = 0; search.k != 0 && begin < search.tiles; begin = end, end *= growth()) {
            const Wave wave{static_cast<unsigned>(begin),
                            static_cast<unsigned>(std::min<std::size_t>(end, search.tiles))};
            scan(stream, request, search, wave);
            stream.launch("settle_" + request.items.element, search.queries, 1, search, wave);
        }
        TopKOutput part = output;
        const std::size_t at = first * output.width;
        part.scores = static_cast<char*>(output.scores) + at * (search.as_f64 ? sizeof(double) : sizeof(float));
        part.ids = output.ids + at;
        part.counts = output.counts + first;
        stream.launch("write_topk", search.queries, 1, search, part);
    });
}

void count_hits(const Stream& stream, const Request& request, const Plan& plan, Address workspace, unsigned* counts,
                long long* indptr) {
    for_each_group(stream, request, plan, workspace, kCount, [&](Search search, std::size_t first) {
        search.counts = counts + first;
        prepare_queries(stream, request, search, first);
        scan(stream, request, search, {0, search.tiles});
    });
    stream.launch("add_counts", 1, 1, static_cast<const unsigned*>(counts), static_cast<unsigned>(request.queries.rows),
                  indptr);
}

void fill_hits(const Stream& stream, const Request& request, const Plan& plan, Address workspace, unsigned* counts,
               const long long* indptr, void* scores, long long* ids) {
    bool as_f64 = false;
    for_each_group(stream, request, plan, workspace, kFill, [&](Search search, std::size_t first) {
        as_f64 = search.as_f64 != 0;
        search.counts = counts + first;
        search.indptr = indptr + first;
        search.hit_scores = scores;
        search.hit_ids = ids;
        prepare_queries(stream, request, search, first);
        scan(stream, request, search, {0, search.tiles});
    });
    stream.launch(as_f64 ? "sort_hits_f64" : "sort_hits_f32", request.queries.rows, 1, indptr, scores, ids);
}

void similarity(const Stream& stream, const Request& request, const Plan& plan, Address workspace, Address scores) {
    for_each_group(stream, request, plan, workspace, kCount, [&](const Search& search, std::size_t first) {
        prepare_queries(stream, request, search, first);
        const std::size_t size = search.as_f64 ? sizeof(double) : sizeof(float);
        stream.launch("similarity_" + request.items.element, (request.items.rows * kLanes + kThreads - 1) / kThreads,
                      search.queries, search, reinterpret_cast<void*>(scores + first * request.items.rows * size));
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
