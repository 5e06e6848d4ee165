// The scans' promises, as properties, on every instruction set: each score lies within the bounds that the scan gives,
// and every row that can reach the cutoff is reported. Random and adversarial rows, up to 5,000 columns.
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "canonical.hpp"
#include "check.hpp"
#include "dispatch/kernels.hpp"
#include "guarded_array.hpp"
#include "index/item_codes.hpp"
#include "rows.hpp"
#include "scan/bf16_round.hpp"
#include "search/cascade_scanner.hpp"
#include "search/code_scanner.hpp"
#include "search/f32_scanner.hpp"

using namespace aigc_fast;
using test::GuardedArray;
using test::Kind;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::size_t kAllCopies = std::numeric_limits<std::size_t>::max();

template <class T>
constexpr DType dtype_of = sizeof(T) == 4 ? DType::f32 : DType::f64;

template <class T>
struct Rows {
    Rows(std::size_t count, std::size_t dim) : count(count), dim(dim), values(count * dim) {}
    Matrix matrix() const {
        return {values.data(),
                dtype_of<T>,
                count,
                dim,
                static_cast<std::ptrdiff_t>(dim * sizeof(T)),
                static_cast<std::ptrdiff_t>(sizeof(T))};
    }
    T* row(std::size_t i) { return values.data() + i * dim; }

    std::size_t count;
    std::size_t dim;
    GuardedArray<T> values;
};

// Queries and items, their canonical scores, and what the tests say when something is wrong.
template <class T>
struct Problem {
    Problem(std::size_t query_count, std::size_t item_count, std::size_t dim, Metric metric, Kind kind,
            std::mt19937_64& random)
        : queries(query_count, dim), items(item_count, dim), metric(metric), kind(kind) {
        for (std::size_t i = 0; i < query_count; ++i)
            test::fill(queries.row(i), dim, i % 3 == 2 ? Kind::normal : kind, random);
        for (std::size_t i = 0; i < item_count; ++i) {
            const auto any = static_cast<Kind>(random() % static_cast<unsigned>(Kind::count));
            test::fill(items.row(i), dim, i % 4 == 3 ? any : kind, random);
            // Some items point where a query does, or against it: the largest scores.
            if (i % 5 == 4)
                for (std::size_t j = 0; j < dim; ++j)
                    items.row(i)[j] = queries.row(i % query_count)[j] * T(i % 2 ? -2 : 1);
        }
        std::vector<std::vector<double>> rows;
        for (std::size_t i = 0; i < item_count; ++i) rows.push_back(test::canonical(items.row(i), dim, metric));
        for (std::size_t q = 0; q < query_count; ++q) {
            const std::vector<double> query = test::canonical(queries.row(q), dim, metric);
            for (std::size_t i = 0; i < item_count; ++i)
                scores.push_back(test::score(rows[i], query, metric, sizeof(T) == sizeof(double)));
        }
    }
    double score(std::size_t query, std::size_t item) const { return scores[query * items.count + item]; }
    double largest_score(std::size_t query) const {
        double largest = -std::numeric_limits<double>::infinity();
        for (std::size_t i = 0; i < items.count; ++i)
            if (score(query, i) > largest) largest = score(query, i);  // never NaN
        return largest;
    }

    Rows<T> queries;
    Rows<T> items;
    Metric metric;
    Kind kind;
    std::vector<double> scores;
};

// Scans all items and returns the (query, item) pairs that the driver would go on with, after checking their bounds.
template <class T, class Scanner>
std::set<std::pair<std::size_t, std::size_t>> scan_all(const Problem<T>& problem, const QueryGroup& group,
                                                       const Scanner& scanner, const float* cutoffs,
                                                       std::size_t block_rows, const char* what) {
    std::set<std::pair<std::size_t, std::size_t>> reported;
    auto worker = scanner.worker(block_rows);
    const std::size_t count = problem.items.count;
    std::vector<std::unique_ptr<GuardedArray<Hit>>> room;  // exactly what one step may report
    for (std::size_t panel = 0; panel < scanner.panels(); ++panel)
        room.push_back(std::make_unique<GuardedArray<Hit>>(scanner.tile_hits(panel)));
    for (std::size_t begin = 0; begin < count; begin += block_rows) {
        const std::size_t end = std::min(begin + block_rows, count);
        scanner.load(worker, begin, end);
        for (std::size_t panel = 0; panel < scanner.panels(); ++panel) {
            GuardedArray<Hit>& hits = *room[panel];
            const std::size_t capacity = hits.size();
            for (std::size_t row = 0; row < end - begin;) {
                std::size_t hit_count = 0;
                const std::size_t next = scanner.scan(worker, panel, cutoffs, row, hits.data(), capacity, &hit_count);
                CHECK(next > row && next <= end - begin && hit_count <= capacity);
                if (next <= row) return reported;
                row = next;
                for (std::size_t i = 0; i < hit_count; ++i) {
                    const std::size_t query = scanner.panel_begin(panel) + hits[i].query;
                    CHECK(query < group.count());
                    Bounds bounds;
                    if (query >= group.count() || !group.valid(query) ||
                        !scanner.bounds(worker, query, hits[i], &bounds))
                        continue;
                    const std::size_t item = begin + hits[i].row;
                    CHECK_CASE(reported.emplace(query, item).second, "%s: reported twice", what);
                    const double score = problem.score(query, item);
                    const long double in_units = static_cast<long double>(score) / group.unit(query);
                    const bool within = std::isnan(score) || (in_units >= static_cast<long double>(bounds.lower) &&
                                                              in_units <= static_cast<long double>(bounds.upper));
                    CHECK_CASE(within,
                               "%s, dim %zu, %s, metric %d: query %zu item %zu scores %.17Lg, bounds %.9g to %.9g",
                               what, problem.items.dim, name_of(problem.kind), static_cast<int>(problem.metric), query,
                               item, in_units, static_cast<double>(bounds.lower), static_cast<double>(bounds.upper));
                }
            }
        }
        for (const std::uint32_t row : worker.unbounded)
            for (std::size_t query = 0; query < group.count(); ++query)
                if (group.valid(query)) reported.emplace(query, begin + row);
    }
    return reported;
}

template <class T, class Scanner>
void check_scanner(const Problem<T>& problem, const QueryGroup& group, const Scanner& scanner, std::size_t block_rows,
                   const char* what) {
    const std::size_t padded = group.count() + kCutoffPadding;
    GuardedArray<float> cutoffs(padded);
    std::fill(cutoffs.begin(), cutoffs.end(), kInfinity);
    for (std::size_t q = 0; q < group.count(); ++q)
        if (group.valid(q)) cutoffs[q] = -kInfinity;
    const auto everything = scan_all(problem, group, scanner, cutoffs.data(), block_rows, what);
    for (std::size_t q = 0; q < group.count(); ++q)
        for (std::size_t i = 0; i < problem.items.count; ++i)
            if (!std::isnan(problem.score(q, i)))
                CHECK_CASE(everything.count({q, i}) == 1, "%s, dim %zu, %s: item %zu not offered to query %zu", what,
                           problem.items.dim, name_of(problem.kind), i, q);
    // Cutoffs at scores that occur, and at the largest: whoever reaches them must be there.
    for (const std::size_t item : {std::size_t{0}, problem.items.count / 2, problem.items.count}) {
        std::vector<double> wanted(group.count());
        for (std::size_t q = 0; q < group.count(); ++q) {
            wanted[q] = item < problem.items.count ? problem.score(q, item) : problem.largest_score(q);
            if (group.valid(q) && !std::isnan(wanted[q])) cutoffs[q] = group.at_least(q, wanted[q]);
        }
        const auto reached = scan_all(problem, group, scanner, cutoffs.data(), block_rows, what);
        for (std::size_t q = 0; q < group.count(); ++q)
            for (std::size_t i = 0; i < problem.items.count; ++i)
                if (problem.score(q, i) >= wanted[q])
                    CHECK_CASE(reached.count({q, i}) == 1, "%s, dim %zu, %s: item %zu reaches the cutoff of query %zu",
                               what, problem.items.dim, name_of(problem.kind), i, q);
    }
    // Cutoffs that nothing reaches: rows of ordinary length are ruled out, so the scan does its work.
    std::fill(cutoffs.begin(), cutoffs.end(), 2.0f);
    const bool ordinary = problem.kind == Kind::normal && problem.items.dim >= 8 && problem.items.dim <= 1000;
    if (problem.metric != Metric::inner_product && ordinary)
        for (const auto& [query, item] : scan_all(problem, group, scanner, cutoffs.data(), block_rows, what))
            CHECK_CASE(item % 4 == 3, "%s: item %zu of query %zu cannot score 2", what, item, query);
}

// Orthonormal columns at random, as many as there are dimensions and at most one less than a basis has; then zeros.
std::vector<float> random_basis(std::size_t dim, std::mt19937_64& random) {
    std::vector<std::vector<double>> directions;
    std::normal_distribution<double> normal;
    while (directions.size() < std::min(dim, kBasisColumns - 1)) {
        std::vector<double> direction(dim);
        for (double& x : direction) x = normal(random);
        for (int pass = 0; pass < 2; ++pass)
            for (const auto& other : directions) {
                const double along = std::inner_product(direction.begin(), direction.end(), other.begin(), 0.0);
                for (std::size_t j = 0; j < dim; ++j) direction[j] -= along * other[j];
            }
        // A little short, so that rounding leaves the norm of the basis at most 1.
        const double length =
            std::sqrt(std::inner_product(direction.begin(), direction.end(), direction.begin(), 0.0)) * (1.0 + 1e-6);
        for (double& x : direction) x /= length;
        directions.push_back(direction);
    }
    std::vector<float> basis(dim * kBasisColumns);
    for (std::size_t column = 0; column < directions.size(); ++column)
        for (std::size_t j = 0; j < dim; ++j)
            basis[j * kBasisColumns + column] = static_cast<float>(directions[column][j]);
    return basis;
}

// The items' codes in a given space, in arrays of exactly the size that they must have.
template <class T>
struct Codes {
    Codes(const Problem<T>& problem, bool centred, bool rotated, const std::vector<float>* basis = nullptr)
        : reader(problem.items.matrix()),
          code_dim(basis != nullptr ? kBasisColumns : reader.dim()),
          mean(code_dim),
          codes(code_blocks(reader.rows()) * code_block_bytes(code_dim)),
          scale(code_blocks(reader.rows())),
          residual(code_blocks(reader.rows())),
          reach(code_blocks(reader.rows())),
          kinds(reader.rows()) {
        for (std::size_t j = 0; j < code_dim; ++j) mean[j] = 0.03f * static_cast<float>(j % 3);
        CodeSpace space{centred ? mean.data() : nullptr, rotated};
        if (basis != nullptr) {
            space.basis = basis->data();
            space.columns = kBasisColumns;
        }
        encode_items(reader, nullptr, problem.metric, space, 1, codes.data(), scale.data(), residual.data(),
                     reach.data(), kinds.data(), {});
        for (std::size_t i = 0; i < reader.rows(); ++i)
            if (kinds[i] == RowKind::unbounded) unbounded.push_back(static_cast<std::uint32_t>(i));
        view = {problem.metric,
                reader.rows(),
                reader.dim(),
                space,
                false,
                codes.data(),
                scale.data(),
                residual.data(),
                reach.data(),
                kinds.data(),
                unbounded.data(),
                unbounded.size(),
                0,
                nullptr};
    }
    RowReader reader;
    std::size_t code_dim;
    GuardedArray<float> mean;
    GuardedArray<std::uint8_t> codes;
    GuardedArray<float> scale;
    GuardedArray<float> residual;
    GuardedArray<float> reach;
    GuardedArray<RowKind> kinds;
    std::vector<std::uint32_t> unbounded;
    ItemCodes view;
};

// Heads bound scores from above only.
struct HeadScanner : CodeScanner {
    using CodeScanner::CodeScanner;
    bool bounds(const Worker& worker, std::size_t query, const Hit& hit, Bounds* bounds) const {
        const bool real = CodeScanner::bounds(worker, query, hit, bounds);
        bounds->lower = -kInfinity;
        return real;
    }
};

// A cascade after its survey: rows that came first are reported where scans pass over them.
class SurveyedScanner : public CascadeScanner {
  public:
    SurveyedScanner(const QueryGroup& group, const RowReader& items, Metric metric, const Kernels& kernels,
                    const ItemCodes& codes)
        : CascadeScanner(group, items, metric, kernels, codes, kAllCopies, 1, nullptr) {
        const std::vector<float> cutoffs(group.count() + kCutoffPadding, -kInfinity);
        Worker all = worker(kCodeRows);
        first_ = survey(all, 5, cutoffs.data(), 2);
        CHECK(first_.size() == std::min<std::size_t>(5, items.rows()));
    }
    std::size_t tile_hits(std::size_t panel) const { return CascadeScanner::tile_hits(panel) + first_.size(); }
    std::size_t scan(Worker& worker, std::size_t panel, const float* cutoffs, std::size_t row, Hit* hits,
                     std::size_t capacity, std::size_t* hit_count) const {
        const std::size_t next =
            CascadeScanner::scan(worker, panel, cutoffs, row, hits, capacity - first_.size(), hit_count);
        for (Hit hit : first_) {
            hit.row -= static_cast<std::uint32_t>(worker.first_block * kCodeRows);
            Bounds of;
            if (hit.row >= row && hit.row < next && bounds(worker, 0, hit, &of) && !(of.upper < cutoffs[0]))
                hits[(*hit_count)++] = hit;
        }
        return next;
    }

  private:
    std::vector<Hit> first_;
};

// Each row lies within `residual` of its code, whose length is at most `reach`: what the bounds are made of.
template <class T, class Code>
void check_code(Problem<T>& problem, std::size_t i, const Code& code, float residual_bound, float reach_bound,
                const char* what) {
    const std::size_t dim = problem.items.dim;
    const std::vector<double> row = test::canonical(problem.items.row(i), dim, problem.metric);
    long double square = 0.0L;
    for (const double x : row) square += static_cast<long double>(x) * x;
    const bool scaled = problem.metric != Metric::inner_product && square > 0.0L;
    const long double norm = scaled ? std::sqrt(square) : 1.0L;
    long double residual = 0.0L;
    long double reach = 0.0L;
    for (std::size_t j = 0; j < dim; ++j) {
        const long double coded = code(j);
        residual += (row[j] / norm - coded) * (row[j] / norm - coded);
        reach += coded * coded;
    }
    CHECK_CASE(std::sqrt(residual) <= residual_bound && std::sqrt(reach) <= reach_bound,
               "%s, dim %zu, %s, metric %d: row %zu lies %.9Lg from its code, bound %.9g; reaches %.9Lg, bound %.9g",
               what, dim, name_of(problem.kind), static_cast<int>(problem.metric), i, std::sqrt(residual),
               static_cast<double>(residual_bound), std::sqrt(reach), static_cast<double>(reach_bound));
}

template <class T>
void check_int8_codes(Problem<T>& problem) {
    const Codes<T> codes(problem, false, false);
    const std::size_t dim = problem.items.dim;
    for (std::size_t i = 0; i < problem.items.count; ++i) {
        if (codes.kinds[i] == RowKind::unbounded || codes.kinds[i] == RowKind::never) continue;
        const std::size_t block = i / kCodeRows;
        const std::uint8_t* code = codes.codes.data() + block * code_block_bytes(dim) + i % kCodeRows * kCodeGroup;
        const auto value = [&](std::size_t j) {
            const int c = code[j / kCodeGroup * kCodeGroup * kCodeRows + j % kCodeGroup] - 128;
            return static_cast<long double>(codes.scale[block]) * c;
        };
        check_code(problem, i, value, codes.residual[block], codes.reach[block], "int8");
    }
}

template <class T>
void check_bf16_codes(Problem<T>& problem, const Kernels& kernels) {
    const RowReader rows(problem.items.matrix());
    const CodeSpace plain;
    RowEncoder encoder(rows, problem.metric, kernels, plain);
    GuardedArray<std::uint8_t> codes(code_block_bytes(2 * rows.dim()));
    for (std::size_t begin = 0; begin < rows.rows(); begin += kCodeRows) {
        RowKind kinds[kCodeRows];
        const std::size_t count = std::min(kCodeRows, rows.rows() - begin);
        const CodeBlock block = encoder.encode(*kernels.bf16, begin, count, codes.data(), kinds);
        for (std::size_t i = 0; i < count; ++i) {
            const auto value = [&](std::size_t j) {
                std::uint16_t code;
                std::memcpy(&code, codes.data() + (j / 2 * kCodeRows + i) * kCodeGroup + j % 2 * 2, sizeof code);
                // The scan would take subnormal codes for zero.
                CHECK_CASE((code & 0x7f80u) != 0 || (code & 0x7fffu) == 0, "%s: code %x", name_of(problem.kind),
                           unsigned{code});
                return static_cast<long double>(float_of(code));
            };
            if (kinds[i] == RowKind::coded) check_code(problem, begin + i, value, block.residual, block.reach, "bf16");
        }
    }
}

template <class T>
void check_problem(const Kernels& kernels, std::size_t query_count, std::size_t dim, Metric metric, Kind kind,
                   std::mt19937_64& random) {
    Problem<T> problem(query_count, 37, dim, metric, kind, random);
    const RowReader queries(problem.queries.matrix());
    const RowReader items(problem.items.matrix());
    std::vector<std::size_t> indices(query_count);
    std::iota(indices.begin(), indices.end(), std::size_t{0});
    const QueryGroup group(queries, indices, metric, *kernels.score, 1);
    check_int8_codes(problem);
    check_scanner(problem, group, F32Scanner(group, items, metric, *kernels.f32, 1), 25, "f32");
    check_scanner(problem, group, CodeScanner(group, items, metric, kernels, *kernels.int8, nullptr, kAllCopies, 1), 32,
                  "int8");
    if (kernels.bf16 != nullptr) {
        check_bf16_codes(problem, kernels);
        check_scanner(problem, group, CodeScanner(group, items, metric, kernels, *kernels.bf16, nullptr, kAllCopies, 1),
                      32, "bf16");
    }
    for (const bool centred : {false, true})
        for (const bool rotated : {false, true}) {
            if (centred && metric == Metric::inner_product) continue;
            const Codes<T> codes(problem, centred, rotated);
            check_scanner(problem, group,
                          CodeScanner(group, items, metric, kernels, *kernels.int8, &codes.view, kAllCopies, 1), 32,
                          rotated ? "int8 rotated" : "int8 codes");
        }
    const bool centred = metric != Metric::inner_product && dim % 2 == 0;
    const bool rotated = query_count % 2 == 0;
    const std::vector<float> basis = random_basis(dim, random);
    const Codes<T> codes(problem, centred, rotated);
    const Codes<T> heads(problem, centred, rotated, &basis);
    const Head head{heads.view, 1.0f};
    ItemCodes both = codes.view;
    both.head = &head;
    both.by_row = true;
    GuardedArray<std::uint8_t> code_rows(code_blocks(items.rows()) * both.block_bytes());
    both.codes = code_rows.data();
    lay_out_rows(codes.view, 1, code_rows.data());
    check_scanner(problem, group, CodeScanner(group, items, metric, kernels, *kernels.int8, &both, kAllCopies, 1), 32,
                  "int8 codes by row");
    check_scanner(problem, group, HeadScanner(group, items, metric, kernels, *kernels.int8, &heads.view, kAllCopies, 1),
                  32, "heads");
    check_scanner(problem, group, CascadeScanner(group, items, metric, kernels, both, kAllCopies, 1, nullptr), 32,
                  "cascade");
    if (query_count == 1)
        check_scanner(problem, group, SurveyedScanner(group, items, metric, kernels, both), 32, "cascade, surveyed");
}

// The norms that `measure` takes, over all lengths that scans promise anything for.
void check_norms(const Kernels& kernels, std::size_t dim, Kind kind, std::mt19937_64& random) {
    GuardedArray<float> row(dim);
    for (int exponent = -59; exponent <= 59; ++exponent) {
        test::fill(row.data(), dim, kind, random);
        for (float& x : row) x = std::ldexp(x / std::sqrt(static_cast<float>(dim)), exponent);
        long double square = 0.0L;
        for (const float x : row) square += static_cast<long double>(x) * x;
        const long double norm = std::sqrt(square);
        if (norm < 0x1p-60L || norm > 0x1p60L) continue;
        float scale;
        float slack;
        kernels.f32->measure({row.data(), 0, 1, dim, &scale, &slack}, Metric::inner_product);
        CHECK_CASE(std::fabs(slack - norm) <= norm * (norm_error(dim) + 0x1p-23L),
                   "dim %zu, %s: norm %.9g, should be %.9Lg", dim, name_of(kind), static_cast<double>(slack), norm);
    }
}

}  // namespace

int main() {
    std::mt19937_64 random(2);
    constexpr Metric metrics[] = {Metric::cosine, Metric::inner_product, Metric::pearson};
    for (const char* isa : available_isas()) {
        set_isa(isa);
        const Kernels& kernels = active_kernels();
        for (const std::size_t dim : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 67, 100})
            for (const Metric metric : metrics)
                for (std::size_t kind = 0; kind < static_cast<std::size_t>(Kind::count); ++kind) {
                    const std::size_t query_count = 1 + (dim + kind) % 14;
                    check_problem<float>(kernels, query_count, dim, metric, static_cast<Kind>(kind), random);
                    check_problem<double>(kernels, query_count, dim, metric, static_cast<Kind>(kind), random);
                }
        for (const std::size_t dim : {1, 15, 16, 63, 64, 65, 129, 768, 5000})
            for (const Kind kind : {Kind::normal, Kind::equal, Kind::almost_equal, Kind::spike, Kind::sparse})
                check_norms(kernels, dim, kind, random);
        // Every number of queries: kernels for few, narrow, full and several panels.
        for (std::size_t query_count = 1; query_count <= 40; ++query_count)
            check_problem<float>(kernels, query_count, 21, Metric::cosine, Kind::normal, random);
        for (const std::size_t dim : {513, 1031, 5000})
            for (std::size_t kind = 0; kind < static_cast<std::size_t>(Kind::count); ++kind) {
                const Metric metric = metrics[(dim + kind) % 3];
                check_problem<float>(kernels, 1 + kind % 3, dim, metric, static_cast<Kind>(kind), random);
                check_problem<double>(kernels, 2, dim, metrics[(dim + kind + 1) % 3], static_cast<Kind>(kind), random);
            }
    }
    return test::result();
}
