#include <support/catch.hpp>

#include <blip/compose/pre_norm.hpp>
#include <blip/layers/mlp.hpp>
#include <blip/layers/self_attention.hpp>
#include <support/check_layer.hpp>

using namespace blip;

template <class B>
using WithMlp = PreNorm<4, Mlp<4, 6, B>, B>;
template <class B>
using WithAttention = PreNorm<4, SelfAttention<4, 2, B>, B>;

TEST_CASE("a pre-norm residual keeps the contract") {
    test::check_layer<4, WithMlp>();
    test::check_layer<4, WithAttention>({}, test::default_settings, SelfMask{Causal::yes});
}

TEST_CASE("a pre-norm residual keeps the contract with drop path") {
    auto const settings = [](auto& layer) {
        layer.drop_path.probability = 0.4;
        layer.branch.dropout = 0.2;
    };
    test::check_layer<4, WithAttention>({.batch = 8, .mode = Mode::train}, settings);
}

TEST_CASE("a dropped branch leaves x, a kept one is x + branch(norm(x)) / (1 - p)") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<WithMlp<B>> weights(engine);
    test::randomize(weights, engine, {1, 0});
    weights->drop_path.probability = 0.75;
    Arena<B> arena;
    Context<B> ctx{engine, arena, Keep::everything, Mode::train, {2, 0}};
    auto x = test::random_values(32 * 4, {3, 0});
    Tokens<4, B> const input{x.data(), 32, 1};
    WithMlp<B>::Cache cache;
    auto const y = weights->forward(input, cache, ctx);
    WithMlp<B>::Norm::Cache norm;
    Mlp<4, 6, B>::Cache mlp;
    auto const branch = weights->branch.forward(weights->norm.forward(input, norm, ctx), mlp, ctx);
    int dropped = 0;
    for (int item = 0; item < 32; ++item) {
        double const factor = y.data[item * 4] == input.data[item * 4] ? 0 : 4;
        dropped += factor == 0;
        for (int i = item * 4; i < item * 4 + 4; ++i)
            CHECK(y.data[i] == Approx(x[static_cast<std::size_t>(i)] + factor * branch.data[i]));
    }
    CHECK((dropped > 0 && dropped < 32));
}
