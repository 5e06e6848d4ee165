// The canonical score's kernels: bit for bit what plain loops give, on every instruction set; they read no further
// than a row.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "canonical.hpp"
#include "check.hpp"
#include "dispatch/kernels.hpp"
#include "guarded_array.hpp"
#include "rows.hpp"

using namespace aigc_fast;
using test::GuardedArray;

namespace {

// Rows of kinds that take turns; the last one ends at the guard page.
template <class T>
void fill_rows(GuardedArray<T>& rows, std::size_t count, std::size_t dim, std::mt19937_64& random) {
    for (std::size_t i = 0; i < count; ++i)
        test::fill(rows.data() + i * dim, dim,
                   static_cast<test::Kind>(random() % static_cast<unsigned>(test::Kind::count)), random);
}

template <class T>
void check_pairs(const char* isa,
                 void (*pairs)(const T* const*, std::size_t, const double*, std::size_t, DotAndSquare*),
                 std::size_t dim, std::mt19937_64& random) {
    for (std::size_t count = 0; count <= 9; ++count) {
        GuardedArray<T> rows(count * dim);
        GuardedArray<double> query(dim);
        fill_rows(rows, count, dim, random);
        fill_rows(query, 1, dim, random);
        std::vector<const T*> pointers(count);
        for (std::size_t i = 0; i < count; ++i) pointers[i] = rows.data() + i * dim;
        std::vector<DotAndSquare> out(count);
        pairs(pointers.data(), count, query.data(), dim, out.data());
        for (std::size_t i = 0; i < count; ++i) {
            CHECK_CASE(test::same_bits(out[i].dot, test::dot(pointers[i], query.data(), dim)),
                       "%s, %zu bytes, dim %zu, row %zu of %zu", isa, sizeof(T), dim, i, count);
            CHECK_CASE(test::same_bits(out[i].square, test::dot(pointers[i], pointers[i], dim)),
                       "%s, %zu bytes, dim %zu, row %zu of %zu", isa, sizeof(T), dim, i, count);
        }
    }
}

void check_tile(const Kernels& kernels, std::size_t dim, std::mt19937_64& random) {
    GuardedArray<double> left(4 * dim);
    GuardedArray<double> right(4 * dim);
    fill_rows(left, 4, dim, random);
    fill_rows(right, 4, dim, random);
    const double* x[4];
    const double* q[4];
    for (std::size_t i = 0; i < 4; ++i) {
        x[i] = left.data() + i * dim;
        q[i] = right.data() + i * dim;
    }
    double out[16];
    kernels.score->tile_4x4(x, q, dim, out);
    for (std::size_t i = 0; i < 4; ++i)
        for (std::size_t j = 0; j < 4; ++j)
            CHECK_CASE(test::same_bits(out[4 * i + j], test::dot(x[i], q[j], dim)), "%s, dim %zu, pair %zu %zu",
                       kernels.isa, dim, i, j);
}

void check_cosines(const Kernels& kernels, std::size_t count, std::mt19937_64& random) {
    const double odd[] = {0.0, 1.0, 1e-300, 1e300, static_cast<double>(NAN)};
    std::uniform_real_distribution<double> any(-2.0, 2.0);
    GuardedArray<DotAndSquare> pairs(count);
    for (auto& pair : pairs) pair = {any(random), random() % 3 ? std::fabs(any(random)) : odd[random() % 5]};
    for (const double query_norm : {0.0, 0.3, 1.0, 1e150}) {
        GuardedArray<double> out(count);
        kernels.score->cosines(pairs.data(), count, query_norm, out.data());
        for (std::size_t i = 0; i < count; ++i) {
            const double norms = std::sqrt(pairs[i].square) * query_norm;
            const double expected = norms == 0.0 ? 0.0 : std::clamp(pairs[i].dot / norms, -1.0, 1.0);
            CHECK_CASE(test::same_bits(out[i], expected), "%s, pair %zu of %zu, query norm %g", kernels.isa, i, count,
                       query_norm);
        }
    }
}

template <class T>
void check_divide(const char* isa, void (*divide)(const double*, double, T*, std::size_t), std::size_t dim,
                  std::mt19937_64& random) {
    GuardedArray<double> x(dim);
    GuardedArray<T> y(dim);
    fill_rows(x, 1, dim, random);
    for (const double norm : {1.0, 3.0, 1e-40, 7e37, static_cast<double>(NAN)}) {
        divide(x.data(), norm, y.data(), dim);
        for (std::size_t j = 0; j < dim; ++j)
            CHECK_CASE(test::same_bits(static_cast<double>(y[j]), static_cast<double>(static_cast<T>(x[j] / norm))),
                       "%s, dim %zu, element %zu by %g", isa, dim, j, norm);
    }
}

}  // namespace

int main() {
    std::mt19937_64 random(1);
    for (const char* isa : available_isas()) {
        set_isa(isa);
        const Kernels& kernels = active_kernels();
        for (std::size_t dim = 0; dim <= 130; dim = dim < 70 ? dim + 1 : dim + 30) {
            check_pairs(isa, kernels.score->pairs_f32, dim, random);
            check_pairs(isa, kernels.score->pairs_f64, dim, random);
            check_tile(kernels, dim, random);
            check_cosines(kernels, dim, random);
            check_divide(isa, kernels.score->divide_to_f32, dim, random);
            check_divide(isa, kernels.score->divide_to_f64, dim, random);
        }
    }
    return test::result();
}
