// The launches that a call takes, as the CPU's driver in cpp/search/search.cpp: describe the items, prepare the
// queries, scan in waves, settle, write. All of them go to one stream and nothing is waited for; memory comes from the
// caller.
#pragma once

#include "device.hpp"
#include "plan.hpp"

namespace aigc_fast::cuda {

// What scans need to know of items; worth keeping where items are searched again.
void describe(const Stream& stream, const DeviceMatrix& rows, Metric metric, const Description& description);

void topk(const Stream& stream, const Request& request, const Plan& plan, Address workspace, const TopKOutput& output);

// Threshold in two passes, between which the caller learns indptr[queries] and allocates:
// `counts` and `indptr` have queries and queries + 1 entries. Both passes take the same plan and workspace.
void count_hits(const Stream& stream, const Request& request, const Plan& plan, Address workspace, unsigned* counts,
                long long* indptr);
void fill_hits(const Stream& stream, const Request& request, const Plan& plan, Address workspace, unsigned* counts,
               const long long* indptr, void* scores, long long* ids);

// All pairs: [queries][items].
void similarity(const Stream& stream, const Request& request, const Plan& plan, Address workspace, Address scores);

// `norms` may be 0.
void normalize(const Stream& stream, const DeviceMatrix& rows, Address out, Address norms);

}  // namespace aigc_fast::cuda
