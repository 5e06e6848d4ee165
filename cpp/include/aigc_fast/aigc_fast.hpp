// Exact cosine, inner-product and Pearson search over rows: the public C++ API.
//
// Every score that leaves this library is the canonical score (docs/architecture.md): one definition, the same
// bits on every instruction set, thread count and batch size. Order: score descending, then id ascending.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace aigc_fast {

enum class DType : std::uint8_t { f32, f64, f16, bf16, i8 };
enum class Metric : std::uint8_t { cosine, inner_product, pearson };

// A matrix that the caller owns; strides are in bytes and may be anything, also negative or zero.
struct Matrix {
    const void* data = nullptr;
    DType dtype = DType::f32;
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::ptrdiff_t row_stride = 0;
    std::ptrdiff_t col_stride = 0;
};

// Scores are float64 where one side is float64, float32 otherwise.
inline bool scores_are_f64(const Matrix& a, const Matrix& b) { return a.dtype == DType::f64 || b.dtype == DType::f64; }

// One list of item ids a query, each list ascending. indptr == nullptr means "no lists".
struct IdLists {
    const std::int64_t* indptr = nullptr;
    const std::int64_t* ids = nullptr;
};

// Which items a query may get. Everything here applies to top-K and threshold alike. Items are named by their rows.
struct Filter {
    IdLists exclude;                            // never these
    IdLists allow;                              // only these, query by query; or
    const std::int64_t* allow_ids = nullptr;    // only these (ascending, distinct), for all queries
    std::size_t allow_count = 0;                // their number
    const std::uint32_t* removed_at = nullptr;  // an index's rows: only where this is above `version`
    std::uint32_t version = 0;
    std::size_t removed_count = 0;           // how many rows that leaves out
    const double* after_score = nullptr;     // a page: only what comes after (score, id) in the order,
    const std::int64_t* after_id = nullptr;  // one pair a query
};

struct ItemCodes;  // int8 codes of the items, for faster scans: see index/item_codes.hpp

// What a search chose and did.
struct SearchReport {
    const char* way = "";  // "direct", "f32", "dense", "bf16", "int8" or "cascade"
    const char* isa = "";
    int threads = 0;
    std::size_t block_rows = 0;
    double direct_cost = 0.0;  // the planner's estimates, nanoseconds of one core
    double f32_cost = 0.0;
    double dense_cost = 0.0;
    double bf16_cost = 0.0;
    double int8_cost = 0.0;
    double cascade_cost = 0.0;
    std::atomic<std::uint64_t> hits{0};        // rows that a scan could not rule out when it saw them
    std::atomic<std::uint64_t> head_pairs{0};  // of queries and rows whose heads a cascade scanned
    std::atomic<std::uint64_t> head_hits{0};   // of these, those that the heads could not rule out
    std::atomic<std::uint64_t> scored{0};      // canonical scores computed
    double scan_seconds = 0.0;
    double score_seconds = 0.0;
};

struct SearchOptions {
    Metric metric = Metric::cosine;
    Filter filter;
    int num_threads = 0;                // 0: the library's default
    const std::int64_t* ids = nullptr;  // the items' ids, in results and in the order; null: row numbers
    const ItemCodes* codes = nullptr;   // of the same items and metric, or none
    SearchReport* report = nullptr;     // filled where it is given
    std::function<void()> checkpoint;   // called by the calling thread between blocks of rows; may throw
};

// The k best items of each query. `thresholds` (one a query, in score units, inclusive) may be null. `scores` has
// nq*k float or double slots (see scores_are_f64), `ids` nq*k, `counts` nq. Missing: id -1, score -infinity.
// Throws std::invalid_argument for 2^32 items or more.
void topk(const Matrix& queries, const Matrix& items, std::size_t k, const double* thresholds,
          const SearchOptions& options, void* scores, std::int64_t* ids, std::int64_t* counts);

// A vector whose new elements are left unwritten: several threads are about to write them.
template <class T>
struct UnwrittenAllocator : std::allocator<T> {
    template <class U>
    struct rebind {
        using other = UnwrittenAllocator<U>;
    };
    template <class U, class... Values>
    void construct(U* at, Values&&... values) {
        if constexpr (sizeof...(Values) == 0)
            ::new (static_cast<void*>(at)) U;
        else
            ::new (static_cast<void*>(at)) U(std::forward<Values>(values)...);
    }
};
template <class T>
using UnwrittenVector = std::vector<T, UnwrittenAllocator<T>>;

// All items whose score reaches the query's threshold, as CSR with rows in the library's order.
struct ThresholdHits {
    std::vector<std::int64_t> indptr;
    UnwrittenVector<std::int64_t> ids;
    UnwrittenVector<double> scores;  // already rounded to float32 where scores are float32
};
ThresholdHits threshold(const Matrix& queries, const Matrix& items, const double* thresholds,
                        const SearchOptions& options);

// All canonical scores, row-major; a row with NaN or an infinity scores NaN with everything.
void similarity(const Matrix& a, const Matrix& b, Metric metric, int num_threads, void* scores);

// Rows divided by their Euclidean norm, zero rows kept. `out` (rows*cols) and `norms` (rows, may be null) are float,
// or double for a float64 input.
void normalize(const Matrix& x, int num_threads, void* out, void* norms);

// The instruction set in use; set_isa throws std::invalid_argument for one this machine or build lacks.
const char* isa();
std::vector<const char*> available_isas();
void set_isa(const char* name);

// Threads used where the caller names none: AIGC_FAST_NUM_THREADS, else the CPUs this process may use (affinity,
// cgroup quota).
int default_num_threads();
void set_default_num_threads(int count);

}  // namespace aigc_fast
