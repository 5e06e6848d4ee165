// What the host and the kernels share: plain structures, passed to kernels by value. Pointers are device addresses.
// Nothing is included, so that nvcc, NVRTC and the host compiler all read this file.
#pragma once

#ifdef __CUDACC__
#define AIGC_FAST_HOST_DEVICE __host__ __device__
#else
#define AIGC_FAST_HOST_DEVICE
#endif

namespace aigc_fast {
namespace cuda {

enum Metric : int { kCosine, kInnerProduct, kPearson };

// A matrix in device memory, its strides in elements.
struct Rows {
    const void* data;
    long long row_stride;
    long long column_stride;
    unsigned rows;
    unsigned dim;
};

// Queries are searched in panels, transposed so that a block of threads copies its part as it lies in memory.
constexpr unsigned kLanes = 8;         // of the canonical score
constexpr unsigned kStepColumns = 16;  // columns that the scan takes at a time
constexpr unsigned kThreads = 256;     // of every kernel's blocks
constexpr unsigned kTileRows = 128;    // items of one tile of the scan
constexpr unsigned kFewQueries = 8;    // queries of a tile of the scan for few queries
constexpr unsigned kManyQueries = 64;  // and for many

// The int8 scans.
constexpr unsigned kCodeRows = 64;        // items of a block, which share a scale; a tile has two
constexpr unsigned kCodeColumns = 64;     // rows of codes are filled up to these
constexpr unsigned kTensorQueries = 128;  // queries of a tile of the tensor-core scan
constexpr unsigned kTensorStages = 3;     // parts of a tile that are in shared memory or on their way there
constexpr unsigned kTensorStride = 80;    // bytes from row to row there: eight rows of 16 bytes hit 32 banks
constexpr unsigned kTensorResident = 4;   // so many parts of a panel of queries stay in shared memory
constexpr unsigned kTensorPart = kTileRows * kTensorStride;

AIGC_FAST_HOST_DEVICE constexpr unsigned round_up(unsigned value, unsigned multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

// A query as the canonical score and the scan see it.
struct QueryInfo {
    double norm;
    double unit;    // score = unit * the scan's estimate
    float epsilon;  // |estimate - score / unit| <= epsilon * slack of the item
    int finite;     // no NaN, no infinity
};

// What the scan knows of an item.
struct Measure {
    float scale;
    float slack;
};

// One list of item ids a query, ascending; indptr == nullptr: no lists.
struct IdLists {
    const long long* indptr;
    const long long* ids;
};

// Which results a query may get.
struct Filter {
    IdLists exclude;
    IdLists allow;
    const unsigned char* allowed;  // a flag a row, for all queries; nullptr: all
    const double* thresholds;      // one a query; nullptr: none
    const double* after_scores;    // a page begins after (score, id); nullptr: no pages
    const long long* after_ids;
};

// What becomes of an item that a query may get.
enum Mode : int {
    kKeep,   // top-K: added to the query's candidates
    kCount,  // threshold, first pass: counted
    kFill,   // threshold, second pass: written to its place in the result
};

// A group of queries against all items.
struct Search {
    Rows items;
    Metric metric;
    int as_f64;        // scores are float64, else rounded to float32
    unsigned queries;  // of this group
    unsigned panel;    // queries of a tile: kFewQueries or kManyQueries; kTensorQueries for codes
    Mode mode;

    // One entry a query.
    double* values;  // [queries][round_up(dim, kLanes)]: canonical rows, filled up with zeros
    float* vectors;  // [panels][round_up(dim, kStepColumns)][panel]: unit vectors, filled up with zeros; nullptr: codes
    QueryInfo* info;
    float* cutoffs;          // the scan passes over what is certainly below; padded to whole panels
    Measure* measures;       // one an item
    const long long* names;  // ids of the items; nullptr: their rows

    Filter filter;

    // Items are scanned tile by tile in the order (position * tile_step) mod tiles, which is a sample of them from its
    // beginning on; tile_step and tiles have no common divisor.
    unsigned tiles;
    unsigned tile_step;

    // Top-K: `capacity` slots a query, the `kept` best first and in order. The last of k kept ones is what a result
    // must precede. `counts` may exceed `capacity`: then candidates were lost, and settle() does that wave again.
    unsigned k;
    unsigned capacity;
    double* scores;
    long long* ids;
    unsigned* kept;
    unsigned* counts;  // also of the hits of a threshold search
    // Threshold: where the hits of this group's queries go.
    const long long* indptr;
    void* hit_scores;
    long long* hit_ids;
};

// Positions [begin, end) of tiles.
struct Wave {
    unsigned begin;
    unsigned end;
};

struct TopKOutput {
    void* scores;  // float64 or float32, [queries][width]
    long long* ids;
    long long* counts;
    unsigned width;  // the caller's k, which may exceed the number of items
};

// 64 items of which item = scale * code + rest, |rest| <= residual, |scale * code| <= reach; all in units in which
// queries have norm one. Bit i is item i's.
struct alignas(16) CodeBlock {
    float scale;
    float inverse_scale;
    float residual;
    float reach;
    unsigned long long coded;      // its code describes it
    unsigned long long unbounded;  // no code does: a candidate for every query
};

// A query = scale * code + rest, |rest| <= sigma. The scan for few queries has codes of two levels, 254 * code + fine.
struct QueryCode {
    float scale;
    float sigma;   // with what float32 arithmetic may add
    float offset;  // what may be added to every estimate: subtracted from cutoffs
};

// What a scan found: an item that it cannot rule out.
struct Hit {
    unsigned row;
    float estimate;  // of score / unit; NaN: unbounded
};

struct Codes {
    unsigned width;          // bytes of a row of codes: code_width(dim)
    signed char* items;      // [round_up(items, kTileRows)][width]
    CodeBlock* blocks;       // [round_up(items, kTileRows) / kCodeRows]
    signed char* queries;    // [round_up(queries, panel)][width]
    signed char* fine;       // likewise; nullptr for the tensor-core scan
    QueryCode* query_codes;  // [round_up(queries, panel)]
    unsigned hit_capacity;   // top-K: so many hits of a wave a query. More are noticed, and the wave scored without
    Hit* hits;               // [queries][hit_capacity]
    unsigned* hit_counts;    // [queries]; settle_codes() leaves zeros
};

// What a block of threads of the tensor-core scan needs of shared memory.
AIGC_FAST_HOST_DEVICE constexpr unsigned tensor_shared_bytes(unsigned width) {
    return width / kCodeColumns <= kTensorResident ? (kTensorStages + width / kCodeColumns) * kTensorPart
                                                   : 2 * kTensorStages * kTensorPart;
}

AIGC_FAST_HOST_DEVICE constexpr unsigned code_width(unsigned dim) {
    return dim == 0 ? kCodeColumns : round_up(dim, kCodeColumns);
}

}  // namespace cuda
}  // namespace aigc_fast
