// The launches that a call takes, as the CPU's driver in cpp/search/search.cpp: prepare, scan in waves, settle, write.
// All of them go to one stream and nothing is waited for; memory comes from the caller.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "device.hpp"
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

// Items of a search, or some of them.
struct Segment {
    DeviceMatrix rows;
    const long long* names = nullptr;        // their ids; nullptr: the numbers of the rows
    const unsigned char* allowed = nullptr;  // a flag a row; nullptr: all
    Measure* measures = nullptr;             // made by measure(); nullptr: made by each search
};

// What a search is asked; device memory throughout, 0 where there is none.
struct Request {
    DeviceMatrix queries;
    std::vector<Segment> segments;  // at least one; the columns and elements of all are the same
    Metric metric = kCosine;
    std::size_t k = 0;  // 0 for all but top-K
    Filter filter{};    // entries of all queries; `allowed` is each segment's own
};

// How a request is cut to fit its workspace.
struct Plan {
    unsigned panel = 0;     // queries of a tile of the scan
    std::size_t group = 0;  // queries searched at a time
    unsigned k = 0;
    unsigned spare = 0;  // room for candidates beside the best k
    unsigned capacity = 0;
    std::size_t workspace = 0;  // bytes
};

// Throws OutOfMemory, naming the bytes, where not even one panel of queries fits.
Plan plan(const Request& request, std::size_t max_memory);

// What scans need to know of items, one entry a row; worth keeping where items are searched again.
void measure(const Stream& stream, const DeviceMatrix& rows, Metric metric, Measure* measures);

// For tests: small inputs take several waves. 0: the planner's own.
void override_waves(unsigned spare, unsigned growth);

void topk(const Stream& stream, const Request& request, const Plan& plan, Address workspace, const TopKOutput& output);

// Threshold in two passes, between which the caller learns indptr[queries] and allocates: `counts` and `indptr` have
// queries and queries + 1 entries. Both passes take the same workspace.
void count_hits(const Stream& stream, const Request& request, const Plan& plan, Address workspace, unsigned* counts,
                long long* indptr);
void fill_hits(const Stream& stream, const Request& request, const Plan& plan, Address workspace, unsigned* counts,
               const long long* indptr, void* scores, long long* ids);

// All pairs: [queries][items].
void similarity(const Stream& stream, const Request& request, const Plan& plan, Address workspace, Address scores);

// `norms` may be 0.
void normalize(const Stream& stream, const DeviceMatrix& rows, Address out, Address norms);

}  // namespace aigc_fast::cuda
