#include <support/catch.hpp>

#include <blip/layers/mlp.hpp>
#include <support/check_layer.hpp>

using namespace blip;

template <class B>
using Small = Mlp<5, 9, B>;

TEST_CASE("an MLP keeps the contract") {
    test::check_layer<5, Small>();
}

TEST_CASE("an MLP is down(gelu(up(x)))") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Mlp<1, 2, B>> weights(engine);
    // up: [1, -1] x + [0, 0]; down: [2, 3] h + 0.5
    test::set_parameters(weights, engine, {1, -1, 0, 0, 2, 3, 0.5});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    double x = 1;
    Mlp<1, 2, B>::Cache cache;
    auto const y = weights->forward({&x, 1, 1}, cache, ctx);
    // gelu(1) = Φ(1), gelu(-1) = -Φ(-1) = Φ(1) - 1
    double const phi = 0.8413447460685429;
    CHECK(y.data[0] == Approx(2 * phi + 3 * (phi - 1) + 0.5).epsilon(1e-15));
}
