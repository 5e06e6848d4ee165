#include "index/code_space.hpp"

#include "scan/rotate.hpp"

namespace aigc_fast {

void CodeSpace::project_item(float* x, std::size_t dim, const Int8ScanKernels& kernels) const {
    if (mean != nullptr)
        for (std::size_t j = 0; j < dim; ++j) x[j] -= mean[j];
    if (rotated) kernels.rotate(x, dim);
}

double CodeSpace::project_query(double* q, std::size_t dim) const {
    double along_mean = 0.0;
    if (mean != nullptr)
        for (std::size_t j = 0; j < dim; ++j) along_mean += static_cast<double>(mean[j]) * q[j];
    if (rotated) rotate(q, dim);
    return along_mean;
}

}  // namespace aigc_fast
