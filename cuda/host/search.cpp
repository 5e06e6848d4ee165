#include "search.hpp"

#include <algorithm>
#include <numeric>
#include <string>

namespace aigc_fast::cuda {
namespace {

constexpr std::size_t kMostNormalized = std::size_t{1} << 28;  // rows of a launch: eight threads a row fit 32 bits

std::size_t blocks_of(std::size_t threads) { return (threads + kThreads - 1) / kThreads; }

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

// One group of queries after another goes through all segments.
class Searcher {
  public:
    Searcher(const Stream& stream, const Request& request, const Plan& plan, Address workspace)
        : stream_(stream), request_(request), plan_(plan), room_(lay_out(request, plan, workspace)) {}

    Search& search() { return room_.search; }

    // Calls then(first query) with each group's queries prepared; before(first query) may say where results go.
    template <class Before, class Then>
    void for_each_group(Before before, Then then) {
        Search& search = room_.search;
        for (std::size_t first = 0; first < request_.queries.rows; first += plan_.group) {
            search.queries = static_cast<unsigned>(std::min(plan_.group, request_.queries.rows - first));
            search.filter = filter_from(request_.filter, first);
            before(first);
            const std::size_t threads = panels() * plan_.panel * kLanes;
            stream_.launch("prepare_queries_" + request_.queries.element, blocks_of(threads), 1, search,
                           as_rows(rows_from(request_.queries, first, search.queries)));
            if (plan_.coded) stream_.launch("code_queries", blocks_of(threads), 1, search, room_.codes);
            then(first);
        }
    }

    // The segment is what scan() and settle() work on from now on. A description that it lacks is made, unless it is
    // the one that was made last.
    void enter(const Segment& segment) {
        Search& search = room_.search;
        search.items = as_rows(segment.rows);
        search.names = segment.names;
        search.filter.allowed = segment.allowed;
        search.tiles = (search.items.rows + kTileRows - 1) / kTileRows;
        // The golden section of the tiles spreads any first ones evenly over all.
        search.tile_step = std::max(1u, static_cast<unsigned>(search.tiles * 0.618));
        while (std::gcd(search.tile_step, std::max(1u, search.tiles)) != 1) ++search.tile_step;
        Description description = segment.stored;
        if (plan_.coded ? description.codes == nullptr : description.measures == nullptr) {
            description = room_.description;
            if (described_ != &segment) describe(stream_, segment.rows, request_.metric, description);
            described_ = &segment;
        }
        search.measures = description.measures;
        room_.codes.items = description.codes;
        room_.codes.blocks = description.blocks;
        element_ = segment.rows.element;
    }
    void assume_described(const Segment& segment) { described_ = &segment; }

    void scan(const Wave& wave) {
        const Search& search = room_.search;
        const Codes& codes = room_.codes;
        const std::size_t tiles = wave.end - wave.begin;
        if (!plan_.coded) {
            const char* kind = search.panel == kFewQueries ? "scan_few_" : "scan_many_";
            stream_.launch(kind + element_, tiles * panels(), 1, search, wave);
            return;
        }
        const unsigned run = tiles_of_block(tiles, panels());
        const std::size_t blocks = (tiles + run - 1) / run * panels();
        if (codes.fine != nullptr) {
            stream_.launch("scan_codes_" + std::to_string(plan_.panel), blocks, 1, search, codes, wave, run);
            return;
        }
        const std::string kernel = request_.task == Task::topk ? "scan_tensor" : "scan_tensor_" + element_;
        stream_.launch_with_shared(tensor_shared_bytes(codes.width), kernel, blocks, 1, search, codes, wave, run);
    }

    void settle(const Wave& wave) {
        const Search& search = room_.search;
        if (plan_.coded)
            stream_.launch("settle_codes_" + element_, search.queries, 1, search, room_.codes, wave);
        else
            stream_.launch("settle_" + element_, search.queries, 1, search, wave);
    }

  private:
    std::size_t panels() const { return (room_.search.queries + plan_.panel - 1) / plan_.panel; }

    const Stream& stream_;
    const Request& request_;
    const Plan& plan_;
    Workspace room_;
    const Segment* described_ = nullptr;
    std::string element_;
};

template <class Before>
void scan_for_hits(Searcher& searcher, const Request& request, Before before) {
    searcher.for_each_group(before, [&](std::size_t) {
        for (const Segment& segment : request.segments) {
            if (segment.rows.rows == 0) continue;
            searcher.enter(segment);
            searcher.scan({0, searcher.search().tiles});
        }
    });
}

}  // namespace

void describe(const Stream& stream, const DeviceMatrix& rows, Metric metric, const Description& description) {
    Search search{};
    search.items = as_rows(rows);
    search.metric = metric;
    search.measures = description.measures;
    if (description.codes == nullptr) {
        stream.launch("measure_items_" + rows.element, blocks_of(rows.rows * 32), 1, search);
        return;
    }
    Codes codes{};
    codes.width = code_width(search.items.dim);
    codes.items = description.codes;
    codes.blocks = description.blocks;
    const std::size_t tiles = (rows.rows + kTileRows - 1) / kTileRows;
    stream.launch("code_items_" + rows.element, tiles * (kTileRows / kCodeRows), 1, search, codes);
}

void topk(const Stream& stream, const Request& request, const Plan& plan, Address workspace, const TopKOutput& output) {
    Searcher searcher(stream, request, plan, workspace);
    const Search& search = searcher.search();
    const auto search_group = [&](std::size_t first) {
        std::size_t seen = 0;  // tiles
        for (const Segment& segment : request.segments) {
            if (plan.k == 0 || segment.rows.rows == 0) continue;
            searcher.enter(segment);
            for (std::size_t begin = 0; begin < search.tiles;) {
                // Where there is no room for all, the first wave brings no more than there is room for, and each of
                // the others sees growth - 1 times what was seen before.
                std::size_t length = std::max<std::size_t>(plan.spare / kTileRows, seen * (growth(plan) - 1));
                if (plan.capacity == rows_of(request)) length = search.tiles;
                const std::size_t end = std::min<std::size_t>(begin + length, search.tiles);
                const Wave wave{static_cast<unsigned>(begin), static_cast<unsigned>(end)};
                searcher.scan(wave);
                searcher.settle(wave);
                seen += end - begin;
                begin = end;
            }
        }
        TopKOutput part = output;
        const std::size_t at = first * output.width;
        part.scores = static_cast<char*>(output.scores) + at * (search.as_f64 ? sizeof(double) : sizeof(float));
        part.ids = output.ids + at;
        part.counts = output.counts + first;
        stream.launch("write_topk", search.queries, 1, search, part);
    };
    searcher.for_each_group([](std::size_t) {}, search_group);
}

void count_hits(const Stream& stream, const Request& request, const Plan& plan, Address workspace, unsigned* counts,
                long long* indptr) {
    Searcher searcher(stream, request, plan, workspace);
    searcher.search().mode = kCount;
    scan_for_hits(searcher, request, [&](std::size_t first) { searcher.search().counts = counts + first; });
    stream.launch("add_counts", 1, 1, static_cast<const unsigned*>(counts), static_cast<unsigned>(request.queries.rows),
                  indptr);
}

void fill_hits(const Stream& stream, const Request& request, const Plan& plan, Address workspace, unsigned* counts,
               const long long* indptr, void* scores, long long* ids) {
    Searcher searcher(stream, request, plan, workspace);
    searcher.assume_described(request.segments.back());  // by the counting pass
    Search& search = searcher.search();
    search.mode = kFill;
    search.hit_scores = scores;
    search.hit_ids = ids;
    scan_for_hits(searcher, request, [&](std::size_t first) {
        search.counts = counts + first;
        search.indptr = indptr + first;
    });
    stream.launch(search.as_f64 ? "sort_hits_f64" : "sort_hits_f32", request.queries.rows, 1, indptr, scores, ids);
}

void similarity(const Stream& stream, const Request& request, const Plan& plan, Address workspace, Address scores) {
    Searcher searcher(stream, request, plan, workspace);
    Search& search = searcher.search();
    const DeviceMatrix& items = request.segments.front().rows;
    const auto score_group = [&](std::size_t first) {
        const std::size_t size = search.as_f64 ? sizeof(double) : sizeof(float);
        stream.launch("similarity_" + items.element, blocks_of(items.rows * kLanes), search.queries, search,
                      reinterpret_cast<void*>(scores + first * items.rows * size));
    };
    searcher.for_each_group([&](std::size_t) { search.items = as_rows(items); }, score_group);
}

void normalize(const Stream& stream, const DeviceMatrix& rows, Address out, Address norms) {
    const std::size_t size = rows.element == "f64" ? sizeof(double) : sizeof(float);
    check_size("normalize on a GPU", 0, rows.dim);
    for (std::size_t first = 0; first < rows.rows; first += kMostNormalized) {
        const DeviceMatrix part = rows_from(rows, first, std::min(kMostNormalized, rows.rows - first));
        stream.launch("normalize_" + rows.element, blocks_of(part.rows * kLanes), 1, as_rows(part),
                      reinterpret_cast<void*>(out + first * rows.dim * size),
                      reinterpret_cast<void*>(norms == 0 ? 0 : norms + first * size));
    }
}

}  // namespace aigc_fast::cuda
