// The space in which rows are coded: less a common mean, and turned by an orthogonal transform, where that makes the
// codes more exact. Scores do not change: (x - m).q + m.q = x.q, and a rotation keeps every dot product.
//
// A head is a space of fewer dimensions: the coordinates B x along some directions, and the length of what they leave,
// sqrt(|x|^2 - |B x|^2). For any B with a norm of at most 1, I - B'B is positive semidefinite, and Cauchy-Schwarz says
//     x.q  =  (B x).(B q) + x'(I - B'B) q  <=  (B x).(B q) + sqrt(|x|^2 - |B x|^2) sqrt(|q|^2 - |B q|^2)
// The right side is a dot product again, of vectors as long as x and q. So codes of such vectors bound scores from
// above, by the same scan and the same proof, and rule most rows out where the directions hold most of their length.
#pragma once

#include <cstddef>

#include "scan/int8.hpp"

namespace aigc_fast {

struct CodeSpace {
    const float* mean = nullptr;  // code_dim of them, or none
    bool rotated = false;
    const float* basis = nullptr;  // of a head: B' [dim][columns], the last column zero (it makes room for the length)
    std::size_t columns = 0;

    std::size_t code_dim(std::size_t dim) const { return basis != nullptr ? columns : dim; }

    // Heads only: the coordinates and lengths of the first `count` of 16 rows, `stride` floats apart, into
    // out[16][columns].
    void project_heads(const float* rows, std::size_t count, std::size_t stride, std::size_t dim,
                       const Int8ScanKernels& kernels, float* out) const;
    // Takes the mean from a row (code_dim floats) and turns it.
    void project_item(float* x, std::size_t dim, const Int8ScanKernels& kernels) const;
    // Returns m.q and turns a query.
    double project_query(double* q, std::size_t dim) const;

    // What float32 may have changed in a row (or in a query's coordinates along a basis), relative to its length.
    float item_rounding(std::size_t dim) const;
    float query_rounding(std::size_t dim) const;
};

}  // namespace aigc_fast
