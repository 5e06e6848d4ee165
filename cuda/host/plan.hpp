// How a request is searched: by float32 rows or by int8 codes, how many queries at a time, with which memory.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "driver.hpp"
#include "kernels/search.h"

namespace aigc_fast::cuda {

// A matrix in device memory.
struct DeviceMatrix {
    Address data = 0;
    std::string element;       // f32, f64, f16, bf16 or i8
    long long row_stride = 0;  // in elements, as is:
    long long column_stride = 0;
    std::size_t rows = 0;
    std::size_t dim = 0;
};

// What a scan knows of items beside their rows: codes where there are any, else measures.
struct Description {
    signed char* codes = nullptr;  // [rows in whole tiles][code_width(dim)]
    CodeBlock* blocks = nullptr;
    Measure* measures = nullptr;
};

// Items of a search, or some of them.
struct Segment {
    DeviceMatrix rows;
    const long long* names = nullptr;        // their ids; nullptr: the numbers of the rows
    const unsigned char* allowed = nullptr;  // a flag a row; nullptr: all
    Description stored;                      // made by describe(); empty: made by each search
};

enum class Task { topk, threshold, similarity };

// What a search is asked; device memory throughout, nullptr where there is none.
struct Request {
    DeviceMatrix queries;
    std::vector<Segment> segments;  // at least one; the columns and elements of all are the same
    Metric metric = kCosine;
    Task task = Task::topk;
    std::size_t k = 0;  // of top-K
    Filter filter{};    // entries of all queries; `allowed` is each segment's own
};

struct Plan {
    bool coded = false;     // the int8 scan, else float32
    unsigned panel = 0;     // queries of a tile of the scan
    std::size_t group = 0;  // queries searched at a time
    unsigned k = 0;
    unsigned spare = 0;  // room for candidates beside the best k
    unsigned capacity = 0;
    unsigned hits = 0;          // room for what an int8 scan of a wave finds
    std::size_t workspace = 0;  // bytes
};

// Throws OutOfMemory, naming the bytes, where not even one query fits.
Plan plan(const Request& request, std::size_t max_memory);

// Room in a workspace: all that a group of queries needs, and the description of one segment that has none.
struct Workspace {
    Search search{};
    Codes codes{};
    Description description;
};
Workspace lay_out(const Request& request, const Plan& plan, Address workspace);

// Bytes and layout of a stored description.
std::size_t description_bytes(std::size_t rows, std::size_t dim);
Description description_at(Address memory, std::size_t rows, std::size_t dim);

// Throws std::invalid_argument where a matrix is too large for the kernels' indices.
void check_size(const char* what, std::size_t rows, std::size_t dim);

std::size_t rows_of(const Request& request);
bool scores_are_f64(const Request& request);

// Each wave sees growth - 1 times the tiles that were seen before.
unsigned growth(const Plan& plan);

// Tiles of a block of threads of the int8 scans.
unsigned tiles_of_block(std::size_t tiles, std::size_t panels);

// For tests: small inputs take the ways of large ones. 0, or -1 for `coded`: the planner's own.
struct PlanOverride {
    int coded = -1;
    unsigned spare = 0;
    unsigned growth = 0;
    unsigned hits = 0;
    unsigned panel = 0;
    unsigned tiles = 0;  // of a block of threads
};
void override_plan(const PlanOverride& override);

}  // namespace aigc_fast::cuda
