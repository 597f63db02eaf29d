#include <cmath>
#include <cstddef>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>

#include "backend/cpu/numbers.hpp"
#include "support/catch.hpp"

using namespace blip;
using blip::test::doubles;
using blip::test::largest_difference;
using blip::test::numbers;

namespace {

using Host = Cpu<float>;
using Exact = Reference<double>;

template <class B>
Matrix<B> rows(std::vector<typename B::scalar>& x, std::ptrdiff_t count, int columns,
               std::ptrdiff_t stride) {
    return {x.data(), count, columns, stride};
}

/// Runs `verb` with both backends on the same numbers and compares every array afterwards.
template <class Verb>
void check(Verb verb, std::vector<std::vector<float>> arrays, double tolerance = 1e-5) {
    std::vector<std::vector<double>> expected;
    for (auto const& array : arrays)
        expected.push_back(doubles(array));
    auto single = arrays;
    Host::Engine engine(3), alone(1);
    Exact::Engine plain;
    verb.template operator()<Host>(engine, arrays);
    verb.template operator()<Host>(alone, single);
    verb.template operator()<Exact>(plain, expected);
    for (std::size_t i = 0; i < arrays.size(); ++i) {
        INFO("array " << i);
        REQUIRE(largest_difference(arrays[i], expected[i]) < tolerance);
        REQUIRE(arrays[i] == single[i]);
    }
}

std::size_t product(std::ptrdiff_t a, std::ptrdiff_t b) {
    return static_cast<std::size_t>(a * b);
}

} // namespace

TEST_CASE("Linear and its derivatives equal the reference") {
    for (int m : {1, 3, 20, 130})
        for (int out : {1, 33, 200})
            for (int in : {1, 48, 130})
                for (Activation activation : {Activation::none, Activation::gelu}) {
                    INFO(m << " rows, " << in << " -> " << out);
                    std::ptrdiff_t const xs = in + 2, ys = out + 1;
                    check(
                        [&]<class B>(typename B::Engine& engine, auto& a) {
                            WeightView<B> const w{a[1].data(), out, in, Layout::rows};
                            auto const x = rows<B>(a[0], m, in, xs);
                            auto const y = rows<B>(a[3], m, out, ys);
                            B::linear(engine, x, w, a[2].data(), activation, y, a[4].data());
                            B::linear_backward_weight(engine, rows<B>(a[5], m, out, ys), x,
                                                      a[6].data(), a[7].data());
                            B::linear_backward_input(engine, rows<B>(a[5], m, out, ys), w,
                                                     rows<B>(a[8], m, in, xs));
                            B::activation_backward(engine, activation, a[4].data(), a[9].data(),
                                                   a[9].data(), std::ptrdiff_t{m} * out);
                        },
                        {numbers(product(m, xs), 1), numbers(product(out, in), 2),
                         numbers(product(out, 1), 3), numbers(product(m, ys), 4),
                         numbers(product(m, out), 5), numbers(product(m, ys), 6),
                         numbers(product(out, in), 7), numbers(product(out, 1), 8),
                         numbers(product(m, xs), 9), numbers(product(m, out), 10)});
                }
}

TEST_CASE("Packed weights give the bits of unpacked ones, and unpack to themselves") {
    Host::Engine engine(2);
    for (int out : {1, 32, 75})
        for (int in : {1, 16, 300})
            for (int m : {1, 5, 50}) {
                auto w = numbers(product(out, in), 1);
                auto x = numbers(product(m, in), 2);
                auto g = numbers(product(m, out), 3);
                WeightView<Host> view{nullptr, out, in, Layout::panels};
                auto memory = Host::allocate(static_cast<std::size_t>(Host::stored_size(view)) * 4);
                view.data = static_cast<float*>(memory.data());
                Host::pack(engine, w.data(), view);
                std::vector<float> back(w.size());
                Host::unpack(engine, view, back.data());
                REQUIRE(back == w);
                WeightView<Host> const plain{w.data(), out, in, Layout::rows};
                std::vector<float> a(g.size()), b(g.size()), da(x.size()), db(x.size());
                auto const rx = rows<Host>(x, m, in, in);
                auto const rg = rows<Host>(g, m, out, out);
                Host::linear(engine, rx, view, nullptr, Activation::none,
                             rows<Host>(a, m, out, out), nullptr);
                Host::linear(engine, rx, plain, nullptr, Activation::none,
                             rows<Host>(b, m, out, out), nullptr);
                REQUIRE(a == b);
                Host::linear_backward_input(engine, rg, view, rows<Host>(da, m, in, in));
                Host::linear_backward_input(engine, rg, plain, rows<Host>(db, m, in, in));
                REQUIRE(da == db);
            }
}

TEST_CASE("Layer normalisation and its backward equal the reference") {
    for (int m : {1, 9, 200})
        for (int width : {1, 15, 16, 48, 100, 768})
            for (bool residual : {false, true}) {
                INFO(m << " rows of " << width);
                std::ptrdiff_t const stride = width + 3;
                check(
                    [&]<class B>(typename B::Engine& engine, auto& a) {
                        auto const x = rows<B>(a[0], m, width, stride);
                        B::layer_norm(engine, x, residual ? a[1].data() : nullptr, a[2].data(),
                                      a[3].data(), 1e-3, rows<B>(a[4], m, width, stride),
                                      a[5].data(), a[6].data());
                        B::layer_norm_backward(engine, rows<B>(a[7], m, width, stride),
                                               rows<B>(a[5], m, width, width), a[2].data(),
                                               a[6].data(), rows<B>(a[8], m, width, stride),
                                               a[9].data(), a[10].data());
                        // Without anything kept, and in place.
                        B::layer_norm(engine, x, residual ? a[1].data() : nullptr, a[2].data(),
                                      a[3].data(), 1e-3, x, nullptr, nullptr);
                    },
                    {numbers(product(m, stride), 1), numbers(product(m, stride), 2),
                     numbers(product(width, 1), 3), numbers(product(width, 1), 4),
                     numbers(product(m, stride), 5), numbers(product(m, width), 6),
                     numbers(product(m, 2), 7), numbers(product(m, stride), 8),
                     numbers(product(m, stride), 9), numbers(product(width, 1), 10),
                     numbers(product(width, 1), 11)},
                    4e-5);
            }
}

TEST_CASE("Cross entropy and its derivative equal the reference") {
    for (int classes : {1, 2, 31, 1030, 30524})
        for (double smoothing : {0.0, 0.1}) {
            INFO(classes << " classes");
            constexpr int m = 6;
            std::ptrdiff_t const stride = classes + 2;
            std::vector<int> const targets{0, classes - 1, -100, classes / 2, 0, -1};
            auto logits = numbers(product(m, stride), 1);
            for (float& z : logits)
                z *= 12;
            auto weights = numbers(m, 2);
            auto uniform = numbers(m, 3);
            weights[3] = 0;
            uniform[4] = 0;
            check(
                [&]<class B>(typename B::Engine& engine, auto& a) {
                    auto const z = rows<B>(a[0], m, classes, stride);
                    B::cross_entropy(engine, z, targets.data(), a[1].data(), a[2].data(), smoothing,
                                     a[3].data(), rows<B>(a[4], m, classes, stride));
                    B::cross_entropy(engine, z, targets.data(), a[1].data(), a[2].data(), smoothing,
                                     a[3].data(), Matrix<B>{});
                    B::cross_entropy(engine, z, targets.data(), a[1].data(), a[2].data(), smoothing,
                                     a[3].data(), z);
                },
                {logits, weights, uniform, std::vector<float>(m), numbers(logits.size(), 4)}, 4e-6);
        }
}

TEST_CASE("Embedding, patches and prepended rows equal the reference") {
    constexpr int m = 23, width = 37, vocabulary = 40;
    std::vector<int> ids(m), positions(m);
    for (int i = 0; i < m; ++i) {
        ids[static_cast<std::size_t>(i)] = i * 7 % 11;
        positions[static_cast<std::size_t>(i)] = i % 5;
    }
    check(
        [&]<class B>(typename B::Engine& engine, auto& a) {
            WeightView<B> const table{a[0].data(), vocabulary, width, Layout::rows};
            B::embed(engine, ids.data(), positions.data(), table, a[1].data(),
                     rows<B>(a[2], m, width, width + 1));
            B::embed_backward(engine, ids.data(), positions.data(), 7,
                              rows<B>(a[3], m, width, width + 1), a[4].data(), a[5].data());
        },
        {numbers(vocabulary * width, 1), numbers(5 * width, 2), numbers(m * (width + 1), 3),
         numbers(m * (width + 1), 4), numbers(vocabulary * width, 5), numbers(5 * width, 6)});
    check(
        [&]<class B>(typename B::Engine& engine, auto& a) {
            B::patches(engine, a[0].data(), 2, 12, 4, a[1].data());
            B::patches_backward(engine, a[2].data(), 2, 12, 4, a[3].data());
        },
        {numbers(2 * 3 * 144, 1), numbers(2 * 3 * 144, 2), numbers(2 * 3 * 144, 3),
         numbers(2 * 3 * 144, 4)});
    constexpr int count = 3, length = 20;
    check(
        [&]<class B>(typename B::Engine& engine, auto& a) {
            B::prepend(engine, a[0].data(), a[1].data(), a[2].data(), count, length, width,
                       a[3].data());
            B::prepend_backward(engine, a[4].data(), count, length, width, a[5].data(), a[6].data(),
                                a[7].data());
        },
        {numbers(count * length * width, 1), numbers(width, 2), numbers((length + 1) * width, 3),
         numbers(count * (length + 1) * width, 4), numbers(count * (length + 1) * width, 5),
         numbers(count * length * width, 6), numbers(width, 7), numbers((length + 1) * width, 8)});
}

TEST_CASE("An embedding table kept as panels reads like its rows") {
    Host::Engine engine(2);
    auto table = numbers(70 * 50, 1);
    auto positions = numbers(3 * 50, 2);
    WeightView<Host> view{nullptr, 70, 50, Layout::panels};
    auto memory = Host::allocate(static_cast<std::size_t>(Host::stored_size(view)) * 4);
    view.data = static_cast<float*>(memory.data());
    Host::pack(engine, table.data(), view);
    std::vector<int> const ids{0, 31, 32, 69}, where{2, 0, 1, 1};
    std::vector<float> a(4 * 50), b(4 * 50);
    Host::embed(engine, ids.data(), where.data(), view, positions.data(), rows<Host>(a, 4, 50, 50));
    Host::embed(engine, ids.data(), where.data(), {table.data(), 70, 50, Layout::rows},
                positions.data(), rows<Host>(b, 4, 50, 50));
    REQUIRE(a == b);
}

TEST_CASE("Sums, dropout and moved rows equal the reference") {
    std::vector<int> const index{4, 0, 9, 3};
    check(
        [&]<class B>(typename B::Engine& engine, auto& a) {
            B::add(engine, a[0].data(), a[1].data(), a[2].data(), 100003);
            B::add(engine, a[0].data(), a[1].data(), a[0].data(), 100003);
            B::scale(engine, a[0].data(), 0.3, a[8].data(), 100003);
            B::scale(engine, a[2].data(), -2.5, a[2].data(), 100001);
            B::dropout(engine, a[1].data(), 100003, 5, 0.25, {3, 4}, a[3].data());
            auto const many = rows<B>(a[4], 10, 33, 35);
            B::gather_rows(engine, many, index.data(), rows<B>(a[5], 4, 33, 34));
            B::scatter_rows(engine, rows<B>(a[6], 4, 33, 34), index.data(), many);
            B::zero(engine, a[7].data(), 50);
            B::copy(engine, a[7].data() + 60, a[6].data(), 20);
        },
        {numbers(100003, 1), numbers(100003, 2), numbers(100003, 3), numbers(100003, 4),
         numbers(350, 5), numbers(136, 6), numbers(136, 7), numbers(100, 8), numbers(100003, 9)},
        1e-6);
}

TEST_CASE("Numbers survive the way to the backend and back") {
    Host::Engine engine(2);
    std::vector<double> const from{0.5, -2.25, 3};
    std::vector<float> there(3);
    std::vector<double> back(3);
    Host::upload(engine, there.data(), from.data(), 3);
    Host::download(engine, back.data(), static_cast<float const*>(there.data()), 3);
    REQUIRE(back == from);
}

TEST_CASE("Verbs of contrastive learning equal the reference") {
    for (int m : {1, 5, 70})
        for (int width : {1, 15, 16, 100, 3000}) {
            INFO(m << " rows of " << width);
            std::ptrdiff_t const stride = width + 3;
            std::vector<int> ids, key_ids;
            for (int r = 0; r < m; ++r)
                ids.push_back(r / 3);
            for (int c = 0; c < width; ++c)
                key_ids.push_back(c % 2 ? -100 : c / 4);
            auto scores = numbers(product(m, stride), 3);
            for (float& s : scores)
                s *= 8;
            check(
                [&]<class B>(typename B::Engine& engine, auto& a) {
                    auto const x = rows<B>(a[0], m, width, stride);
                    auto const unit = rows<B>(a[1], m, width, stride);
                    B::normalize_rows(engine, x, 1e-12, unit, a[2].data());
                    B::normalize_rows_backward(engine, rows<B>(a[3], m, width, stride), unit,
                                               a[2].data(), 1e-12, rows<B>(a[4], m, width, stride));
                    auto const z = rows<B>(a[5], m, width, stride);
                    auto const t = rows<B>(a[6], m, width, stride);
                    B::soft_targets(engine, z, ids.data(), key_ids.data(), 0.4, t);
                    B::soft_cross_entropy(engine, z, t, 0.25, a[7].data(),
                                          rows<B>(a[8], m, width, stride));
                    B::soft_cross_entropy(engine, z, t, 1, a[9].data(), z);
                    B::transpose(engine, x, rows<B>(a[10], width, m, m + 2));
                },
                {numbers(product(m, stride), 1), numbers(product(m, stride), 2),
                 numbers(product(m, 1), 4), numbers(product(m, stride), 5),
                 numbers(product(m, stride), 6), scores, numbers(product(m, stride), 7),
                 numbers(product(m, 1), 8), numbers(product(m, stride), 9),
                 numbers(product(m, 1), 10), numbers(product(width, m + 2), 11)},
                2e-5);
        }
}

TEST_CASE("Division by a learned number and its derivative equal the reference") {
    for (std::size_t n : {1u, 17u, 5000u})
        check(
            [n]<class B>(typename B::Engine& engine, auto& a) {
                auto const count = static_cast<std::ptrdiff_t>(n);
                B::divide(engine, a[0].data(), a[1].data(), a[2].data(), count);
                B::divide_backward(engine, a[3].data(), a[2].data(), a[1].data(), a[4].data(),
                                   a[5].data(), count);
            },
            {numbers(n, 1), {0.07f}, numbers(n, 2), numbers(n, 3), numbers(n, 4), {0.5f}}, 3e-5);
}

TEST_CASE("Averaging and AdamW equal the reference") {
    for (std::size_t n : {1u, 16u, 100003u}) {
        auto second = numbers(n, 4);
        for (float& v : second)
            v *= v;
        check(
            [n]<class B>(typename B::Engine& engine, auto& a) {
                auto const count = static_cast<std::ptrdiff_t>(n);
                AdamWStep const step{
                    .shrink = 0.9995, .step_size = 0.01, .root_correction = 0.04, .epsilon = 1e-8};
                B::adamw(engine, step, a[0].data(), a[1].data(), a[2].data(), a[3].data(), count);
                B::average(engine, a[3].data(), 0.995, a[4].data(), count);
            },
            {numbers(n, 1), numbers(n, 2), second, numbers(n, 3), numbers(n, 5)});
    }
}

TEST_CASE("The sum of squares equals the reference's, with any number of threads the same bits") {
    for (std::size_t n : {0u, 1u, 15u, 17u, 511u, 513u, 65536u, 65555u, 1000003u}) {
        INFO(n << " numbers");
        auto const x = numbers(n, 1);
        auto const count = static_cast<std::ptrdiff_t>(n);
        Reference<float>::Engine plain;
        Cpu<float>::Engine one(1), three(3);
        double const expected = Reference<float>::sum_of_squares(plain, x.data(), count);
        double const found = Cpu<float>::sum_of_squares(one, x.data(), count);
        CHECK(found == Approx(expected).epsilon(1e-6));
        CHECK(Cpu<float>::sum_of_squares(three, x.data(), count) == found);
    }
}
