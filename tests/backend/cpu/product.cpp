#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include <blip/backend/cpu/product.hpp>

#include "backend/cpu/numbers.hpp"
#include "support/catch.hpp"

using namespace blip;
using blip::test::largest_difference;
using blip::test::numbers;

namespace {

struct Problem {
    std::size_t rows, columns, depth;
    std::vector<float> x, w, bias, residual;

    Problem(std::size_t m, std::size_t n, std::size_t k)
        : rows(m), columns(n), depth(k), x(numbers(m * k, 1)), w(numbers(n * k, 2)),
          bias(numbers(n, 3)), residual(numbers(m * n, 4)) {}

    /// gelu(x wᵀ + bias) + residual by plain loops.
    std::vector<double> expected() const {
        std::vector<double> y(rows * columns);
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t c = 0; c < columns; ++c) {
                double sum = bias[c];
                for (std::size_t k = 0; k < depth; ++k)
                    sum += static_cast<double>(x[r * depth + k]) * w[c * depth + k];
                y[r * columns + c] =
                    0.5 * sum * std::erfc(-sum / std::sqrt(2.0)) + residual[r * columns + c];
            }
        return y;
    }

    std::vector<float> run(cpu::Engine& engine, cpu::Right right, cpu::Left left, std::size_t first,
                           std::size_t count) const {
        std::size_t const stride = columns + 5;
        std::vector<float> y(count * stride, 77.0f);
        cpu::Result result;
        result.data = y.data();
        result.stride = stride;
        result.start = cpu::Start::bias;
        result.bias = bias.data();
        result.activation = Activation::gelu;
        result.residual = residual.data() + first * columns;
        result.residual_stride = columns;
        cpu::multiply(engine, count, columns, depth, left, right, result);
        std::vector<float> dense;
        for (std::size_t r = 0; r < count; ++r) {
            for (std::size_t c = columns; c < stride; ++c)
                REQUIRE(y[r * stride + c] == 77.0f);
            dense.insert(dense.end(), y.begin() + static_cast<std::ptrdiff_t>(r * stride),
                         y.begin() + static_cast<std::ptrdiff_t>(r * stride + columns));
        }
        return dense;
    }
};

std::vector<float> transposed(std::vector<float> const& a, std::size_t rows, std::size_t columns) {
    std::vector<float> t(a.size());
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < columns; ++c)
            t[c * rows + r] = a[r * columns + c];
    return t;
}

void check(std::size_t m, std::size_t n, std::size_t k) {
    INFO(m << " x " << n << " x " << k);
    Problem const p(m, n, k);
    cpu::Engine engine(3);
    std::vector<float> packed(cpu::packed_size(n, k));
    cpu::Right const rows{p.w.data(), k, cpu::RightOrder::column_rows};
    cpu::pack_panels(engine, rows, n, k, packed.data());
    cpu::Right const panels{packed.data(), 0, cpu::RightOrder::panels};
    cpu::Left const left{p.x.data(), k};
    std::vector<float> const y = p.run(engine, panels, left, 0, m);
    // Partial sums grow like the root of the depth, and so does the number of their roundings.
    REQUIRE(largest_difference(y, p.expected()) < 1e-6 + 2e-8 * static_cast<double>(k));
    REQUIRE(p.run(engine, rows, left, 0, m) == y);

    std::vector<float> const wt = transposed(p.w, n, k);
    REQUIRE(p.run(engine, {wt.data(), n, cpu::RightOrder::depth_rows}, left, 0, m) == y);
    std::vector<float> const xt = transposed(p.x, m, k);
    REQUIRE(p.run(engine, panels, {xt.data(), m, cpu::LeftOrder::depth_rows}, 0, m) == y);

    std::vector<float> wide(m * (k + 5));
    for (std::size_t r = 0; r < m; ++r)
        std::copy_n(p.x.data() + r * k, k, wide.data() + r * (k + 5));
    for (std::size_t threads : {1u, 16u}) {
        cpu::Engine others(threads);
        REQUIRE(p.run(others, panels, left, 0, m) == y);
        REQUIRE(p.run(others, panels, {xt.data(), m, cpu::LeftOrder::depth_rows}, 0, m) == y);
        REQUIRE(p.run(others, rows, {wide.data(), k + 5}, 0, m) == y);
    }
    std::vector<float> pieces;
    for (std::size_t first = 0, step = 1; first < m; first += step, ++step) {
        std::size_t const count = std::min(step, m - first);
        auto const part = p.run(engine, panels, {p.x.data() + first * k, k}, first, count);
        pieces.insert(pieces.end(), part.begin(), part.end());
    }
    REQUIRE(pieces == y);
}

} // namespace

TEST_CASE("A product equals plain loops, and its bits depend on no layout, split or thread") {
    for (std::size_t n : {1u, 2u, 31u, 33u, 64u, 222u})
        for (std::size_t k : {1u, 7u, 48u, 300u})
            for (std::size_t m : {1u, 3u, 6u, 7u, 13u, 29u, 40u})
                check(m, n, k);
    for (std::size_t m = 1; m <= 40; ++m)
        check(m, 100, 65);
    check(577, 222, 768);
    check(361, 96, 1100);
    check(3, 2500, 768);
    check(60, 2500, 100);
    check(60, 700, 900);
    check(640, 300, 800);
    // Several blocks of rows and of depths, with rows that lie well and rows that are copied.
    check(1300, 70, 1700);
    check(1300, 70, 1536);
    check(60, 100, 1024);
    check(40, 70, 512);
    check(40, 70, 5000);
}

TEST_CASE("A product without depth gives what it starts from") {
    check(5, 40, 0);
    check(20, 40, 0);
    check(700, 40, 0);
}

TEST_CASE("A product may add to its result, to its result and a bias, or start from zero") {
    Problem const p(19, 37, 600);
    cpu::Engine engine(2);
    for (cpu::Start start : {cpu::Start::zero, cpu::Start::result, cpu::Start::both}) {
        std::vector<float> y = p.residual;
        cpu::Result result;
        result.data = y.data();
        result.stride = p.columns;
        result.start = start;
        result.bias = p.bias.data();
        cpu::multiply(engine, p.rows, p.columns, p.depth, {p.x.data(), p.depth},
                      {p.w.data(), p.depth, cpu::RightOrder::column_rows}, result);
        std::vector<double> expected(y.size());
        for (std::size_t r = 0; r < p.rows; ++r)
            for (std::size_t c = 0; c < p.columns; ++c) {
                std::size_t const i = r * p.columns + c;
                double sum = start == cpu::Start::zero ? 0 : p.residual[i];
                if (start == cpu::Start::both)
                    sum += p.bias[c];
                for (std::size_t k = 0; k < p.depth; ++k)
                    sum += static_cast<double>(p.x[r * p.depth + k]) * p.w[c * p.depth + k];
                expected[i] = sum;
            }
        REQUIRE(largest_difference(y, expected) < 1e-5);
    }
}

TEST_CASE("The value before the activation is kept where asked for") {
    Problem const p(9, 50, 70);
    cpu::Engine engine(2);
    std::vector<float> y(9 * 50), u(9 * 50), plain(9 * 50);
    cpu::Result result;
    result.data = y.data();
    result.stride = 50;
    result.start = cpu::Start::bias;
    result.bias = p.bias.data();
    result.activation = Activation::relu;
    result.before_activation = u.data();
    result.before_stride = 50;
    cpu::Left const x{p.x.data(), 70};
    cpu::Right const w{p.w.data(), 70, cpu::RightOrder::column_rows};
    cpu::multiply(engine, 9, 50, 70, x, w, result);
    result.data = plain.data();
    result.activation = Activation::none;
    result.before_activation = nullptr;
    cpu::multiply(engine, 9, 50, 70, x, w, result);
    REQUIRE(u == plain);
    for (std::size_t i = 0; i < y.size(); ++i)
        REQUIRE(y[i] == (u[i] > 0 ? u[i] : 0.0f));
}
