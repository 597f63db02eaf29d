#include <support/catch.hpp>

#include <string>
#include <vector>

#include <blip/compose/pre_norm.hpp>
#include <blip/compose/split_stack.hpp>
#include <blip/layers/linear.hpp>
#include <blip/layers/self_attention.hpp>
#include <support/check_layer.hpp>

using namespace blip;

namespace {

template <class B>
using Lower = PreNorm<4, SelfAttention<4, 2, B>, B>;
template <class B>
using Upper = PreNorm<4, Linear<4, 4, B>, B>;
template <int Recompute, class B>
using Split = SplitStack<Lower<B>, Upper<B>, 2, 5, Recompute>;

template <class B>
using Stored = Split<0, B>;
template <class B>
using UpperAgain = Split<2, B>;
template <class B>
using MostAgain = Split<4, B>;

template <template <class> class Tested>
std::vector<double> gradient() {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Tested<B>> weights(engine);
    test::randomize(weights, engine, {1, 0});
    Weights<typename Tested<B>::Grad> grad(engine);
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(40, {2, 0}), dy = test::random_values(40, {3, 0});
    typename Tested<B>::Cache cache;
    weights->forward({x.data(), 2, 5}, cache, ctx);
    weights->backward({dy.data(), 2, 5}, cache, *grad, ctx);
    return test::parameter_values(grad, engine);
}

} // namespace

TEST_CASE("a stack of two kinds keeps the contract") {
    test::check_layer<4, Stored>();
    test::check_layer<4, UpperAgain>();
    test::check_layer<4, MostAgain>();
}

TEST_CASE("recomputing any part of a split stack changes no bit") {
    auto const stored = gradient<Stored>();
    CHECK(gradient<UpperAgain>() == stored);
    CHECK(gradient<MostAgain>() == stored);
}

TEST_CASE("a split stack numbers its blocks through") {
    Stored<Reference<float>> stack;
    std::vector<std::string> norms;
    for (auto const& parameter : list_parameters(stack)) {
        if (parameter.path.ends_with("norm.scale"))
            norms.push_back(parameter.path);
    }
    CHECK(norms == std::vector<std::string>{"blocks.0.norm.scale", "blocks.1.norm.scale",
                                            "blocks.2.norm.scale", "blocks.3.norm.scale",
                                            "blocks.4.norm.scale"});
}
