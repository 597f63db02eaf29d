#include <support/catch.hpp>

#include <cmath>

#include <blip/layers/layer_norm.hpp>
#include <support/check_layer.hpp>

using namespace blip;

template <class B>
using Norm = LayerNorm<7, B>;

TEST_CASE("layer norm keeps the contract") {
    test::check_layer<7, Norm>();
    test::check_layer<7, Norm>({}, [](auto& layer) { layer.epsilon = 0.1; });
}

TEST_CASE("layer norm of a sum keeps the contract, and its gradient is that of both summands") {
    test::check_contract<Norm>(
        {2 * 3 * 7, 2 * 3 * 7}, {.batch = 2, .length = 3}, test::default_settings,
        []<class B>(Norm<B> const& layer, auto& cache, Context<B>& ctx, auto const& x) {
            return layer.forward_sum({x[0], 2, 3}, {x[1], 2, 3}, cache, ctx);
        },
        [](auto const& layer, auto dy, auto const& cache, auto& grad, auto& ctx, auto const&) {
            auto const dx = layer.backward(dy, cache, grad, ctx);
            return std::vector{dx.data, dx.data};
        });
}

TEST_CASE("layer norm divides by the biased deviation, epsilon under the root") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<LayerNorm<4, B>> weights(engine);
    test::set_parameters(weights, engine, {1, 2, 3, 4, 10, 20, 30, 40});
    weights->epsilon = 0.75;
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    // Mean 4, biased variance 5: √(5 + 0.75) divides.
    std::vector<double> x{1, 3, 5, 7};
    LayerNorm<4, B>::Cache cache;
    auto const y = weights->forward({x.data(), 1, 1}, cache, ctx);
    double const root = std::sqrt(5.75);
    CHECK(y.data[0] == Approx(-3 / root * 1 + 10));
    CHECK(y.data[1] == Approx(-1 / root * 2 + 20));
    CHECK(y.data[2] == Approx(1 / root * 3 + 30));
    CHECK(y.data[3] == Approx(3 / root * 4 + 40));
}

TEST_CASE("layer norm of a sum equals layer norm after a sum") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Norm<B>> weights(engine);
    test::randomize(weights, engine, {1, 1});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto a = test::random_values(14, {2, 1}), b = test::random_values(14, {2, 2});
    auto sum = a;
    for (std::size_t i = 0; i < sum.size(); ++i)
        sum[i] += b[i];
    Norm<B>::Cache first, second;
    auto const fused = weights->forward_sum({a.data(), 2, 1}, {b.data(), 2, 1}, first, ctx);
    auto const plain = weights->forward({sum.data(), 2, 1}, second, ctx);
    CHECK(test::detail::deviation({fused.data, fused.data + 14}, {plain.data, plain.data + 14}) <
          1e-14);
}
