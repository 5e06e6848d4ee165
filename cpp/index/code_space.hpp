// The space in which rows are coded: less a common mean, and turned by an orthogonal transform, where that makes the
// codes more exact. Scores do not change: (x - m).q + m.q = x.q, and a rotation keeps every dot product.
#pragma once

#include <cstddef>

#include "scan/int8.hpp"

namespace aigc_fast {

struct CodeSpace {
    const float* mean = nullptr;  // dim of them, or none
    bool rotated = false;

    void project_item(float* x, std::size_t dim, const Int8ScanKernels& kernels) const;

    // Projects a query in place and returns m.q.
    double project_query(double* q, std::size_t dim) const;
};

}  // namespace aigc_fast
