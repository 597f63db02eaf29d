#include <support/catch.hpp>

#include <algorithm>

#include <blip/compose/post_norm.hpp>
#include <blip/layers/mlp.hpp>
#include <blip/layers/self_attention.hpp>
#include <support/check_layer.hpp>

using namespace blip;

template <class B>
using WithMlp = PostNorm<4, Mlp<4, 6, B>, B>;
template <class B>
using WithAttention = PostNorm<4, SelfAttention<4, 2, B>, B>;

TEST_CASE("a post-norm residual keeps the contract") {
    test::check_layer<4, WithMlp>();
    test::check_layer<4, WithAttention>({}, test::default_settings, SelfMask{Causal::yes});
}

TEST_CASE("a post-norm residual keeps the contract with dropout") {
    auto const settings = [](auto& layer) {
        layer.dropout.probability = 0.3;
        layer.branch.dropout = 0.2;
    };
    test::check_layer<4, WithAttention>({.mode = Mode::train}, settings);
}

TEST_CASE("a post-norm residual is norm(branch(x) + x)") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<WithMlp<B>> weights(engine);
    test::randomize(weights, engine, {1, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(6 * 4, {3, 0});
    Tokens<4, B> const input{x.data(), 2, 3};
    WithMlp<B>::Cache cache;
    auto const y = weights->forward(input, cache, ctx);
    Mlp<4, 6, B>::Cache mlp;
    auto const sum = weights->branch.forward(input, mlp, ctx);
    B::add(engine, sum.data, input.data, sum.data, sum.size());
    WithMlp<B>::Norm::Cache norm;
    auto const wanted = weights->norm.forward(sum, norm, ctx);
    CHECK(std::equal(wanted.data, wanted.data + 24, y.data));
}
