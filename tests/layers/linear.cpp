#include <support/catch.hpp>

#include <blip/layers/linear.hpp>
#include <support/check_layer.hpp>

using namespace blip;

template <class B>
using Plain = Linear<6, 4, B>;
template <class B>
using Gelu = Linear<6, 4, B, Activation::gelu>;
template <class B>
using Relu = Linear<6, 4, B, Activation::relu>;

TEST_CASE("a linear layer keeps the contract with every activation") {
    test::check_layer<6, Plain>();
    test::check_layer<6, Gelu>();
    test::check_layer<6, Relu>();
}

TEST_CASE("a linear layer computes activation(x Wᵀ + b) row by row") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Linear<3, 2, B>> weights(engine);
    Weights<Linear<3, 2, B, Activation::relu>> rectified(engine);
    // W = [[1, 2, 3], [-4, -5, -6]], b = [10, 20]
    std::vector<double> const values{1, 2, 3, -4, -5, -6, 10, 20};
    test::set_parameters(weights, engine, values);
    test::set_parameters(rectified, engine, values);
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    std::vector<double> x{1, 0, 2, 3, 1, 4};
    Linear<3, 2, B>::Cache cache;
    auto const y = weights->forward({x.data(), 1, 2}, cache, ctx);
    CHECK(std::vector<double>(y.data, y.data + 4) == std::vector<double>{17, 4, 27, -21});
    CHECK((y.batch == 1 && y.length == 2));
    Linear<3, 2, B, Activation::relu>::Cache other;
    auto const z = rectified->forward({x.data(), 2, 1}, other, ctx);
    CHECK(std::vector<double>(z.data, z.data + 4) == std::vector<double>{17, 4, 27, 0});
    CHECK((z.batch == 2 && z.length == 1));
}

TEST_CASE("backward of a linear layer leaves nothing but its result in the arena") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Gelu<B>> weights(engine);
    Weights<Gelu<B>::Grad> grad(engine);
    test::randomize(weights, engine, {1, 2});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(18, {3, 4}), dy = test::random_values(12, {5, 6});
    Gelu<B>::Cache cache;
    weights->forward({x.data(), 1, 3}, cache, ctx);
    auto const before = arena.mark();
    weights->backward({dy.data(), 1, 3}, cache, *grad, ctx);
    CHECK(arena.mark().used - before.used == 192);
}
