// All kernels, one set for each type of element. The file is always compiled with -fmad=false, since the canonical
// score fuses where it says so.
#include "dense.cuh"
#include "few_scan.cuh"
#include "settle_codes.cuh"
#include "threshold.cuh"

using namespace aigc_fast::cuda;

#define AIGC_FAST_KERNEL extern "C" __global__ void __launch_bounds__(kThreads, 2)

// At least two blocks of a scan share a multiprocessor, so that one computes while another waits for memory.
#define AIGC_FAST_KERNELS(name, Element, Out)                                                                          \
    AIGC_FAST_KERNEL prepare_queries_##name(const Search search, const Rows queries) {                                 \
        prepare_queries<Element>(search, queries);                                                                     \
    }                                                                                                                  \
    AIGC_FAST_KERNEL measure_items_##name(const Search search) {                                                       \
        measure_items<Element>(search.items, search.metric, search.measures);                                          \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(kThreads, 2) scan_few_##name(const Search search, const Wave wave) {  \
        scan<Element, kFewQueries / kWarps>(search, wave);                                                             \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(kThreads, 2) scan_many_##name(const Search search, const Wave wave) { \
        scan<Element, kManyQueries / kWarps>(search, wave);                                                            \
    }                                                                                                                  \
    AIGC_FAST_KERNEL settle_##name(const Search search, const Wave wave) { settle<Element>(search, wave); }            \
    AIGC_FAST_KERNEL code_items_##name(const Search search, const Codes codes) { code_items<Element>(search, codes); } \
    extern "C" __global__ void __launch_bounds__(kThreads, 1)                                                          \
        scan_tensor_##name(const Search search, const Codes codes, const Wave wave, unsigned tiles_of_block) {         \
        scan_tensor<Element>(search, codes, wave, tiles_of_block);                                                     \
    }                                                                                                                  \
    AIGC_FAST_KERNEL settle_codes_##name(const Search search, const Codes codes, const Wave wave) {                    \
        settle_codes_of<Element>(search, codes, wave);                                                                 \
    }                                                                                                                  \
    AIGC_FAST_KERNEL normalize_##name(const Rows rows, Out* out, Out* norms) { normalize<Element>(rows, out, norms); } \
    AIGC_FAST_KERNEL similarity_##name(const Search search, void* scores) { similarity<Element>(search, scores); }

AIGC_FAST_KERNELS(f32, float, float)
AIGC_FAST_KERNELS(f64, double, double)
AIGC_FAST_KERNELS(f16, Half, float)
AIGC_FAST_KERNELS(bf16, BFloat16, float)
AIGC_FAST_KERNELS(i8, signed char, float)

AIGC_FAST_KERNEL code_queries(const Search search, const Codes codes) { code_queries_of(search, codes); }
AIGC_FAST_KERNEL scan_tensor(const Search search, const Codes codes, const Wave wave, unsigned tiles_of_block) {
    scan_tensor<void>(search, codes, wave, tiles_of_block);
}
extern "C" __global__ void __launch_bounds__(kThreads, 4)
    scan_codes_1(const Search search, const Codes codes, const Wave wave, unsigned tiles_of_block) {
    scan_codes<1>(search, codes, wave, tiles_of_block);
}
AIGC_FAST_KERNEL scan_codes_4(const Search search, const Codes codes, const Wave wave, unsigned tiles_of_block) {
    scan_codes<4>(search, codes, wave, tiles_of_block);
}
AIGC_FAST_KERNEL write_topk(const Search search, const TopKOutput output) { write_topk_of(search, output); }
AIGC_FAST_KERNEL add_counts(const unsigned* counts, unsigned queries, long long* indptr) {
    add_counts_of(counts, queries, indptr);
}
AIGC_FAST_KERNEL sort_hits_f32(const long long* indptr, float* scores, long long* ids) {
    sort_hits(indptr, scores, ids);
}
AIGC_FAST_KERNEL sort_hits_f64(const long long* indptr, double* scores, long long* ids) {
    sort_hits(indptr, scores, ids);
}
