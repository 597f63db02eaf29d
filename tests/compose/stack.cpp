#include <support/catch.hpp>

#include <blip/compose/post_norm.hpp>
#include <blip/compose/pre_norm.hpp>
#include <blip/compose/stack.hpp>
#include <blip/layers/self_attention.hpp>
#include <support/check_layer.hpp>

using namespace blip;

template <class B>
using Pre = PreNorm<4, SelfAttention<4, 2, B>, B>;
template <class B>
using Post = PostNorm<4, SelfAttention<4, 2, B>, B>;
template <class B>
using Stored = Stack<Pre<B>, 3>;
template <class B>
using LastAgain = Stack<Pre<B>, 3, 1>;
template <class B>
using LastTwoAgain = Stack<Pre<B>, 3, 2>;
template <class B>
using AllAgain = Stack<Pre<B>, 3, 3>;
template <class B>
using PostAgain = Stack<Post<B>, 3, 2>;

namespace {

auto const pre_settings = [](auto& stack) {
    for (auto& block : stack.blocks) {
        block.drop_path.probability = 0.2;
        block.branch.dropout = 0.3;
    }
};
auto const post_settings = [](auto& stack) {
    for (auto& block : stack.blocks)
        block.dropout.probability = block.branch.dropout = 0.2;
};

struct Outcome {
    std::vector<double> y, dx, gradient;
    std::size_t peak = 0;
    std::uint64_t draws = 0;
};

template <template <class> class Tested>
Outcome outcome(Mode mode, auto settings) {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Tested<B>> weights(engine);
    test::randomize(weights, engine, {1, 0});
    settings(*weights);
    Weights<typename Tested<B>::Grad> grad(engine);
    Arena<B> arena;
    Context<B> ctx{engine, arena, Keep::everything, mode, {9, 0}};
    auto x = test::random_values(6 * 5 * 4, {2, 0}), dy = test::random_values(6 * 5 * 4, {3, 0});
    typename Tested<B>::Cache cache;
    auto const y = weights->forward({x.data(), 6, 5}, cache, ctx);
    auto const draws = ctx.draws;
    auto const dx = weights->backward({dy.data(), 6, 5}, cache, *grad, ctx);
    CHECK(ctx.draws == draws);
    return {{y.data, y.data + y.size()},
            {dx.data, dx.data + dx.size()},
            test::parameter_values(grad, engine),
            arena.peak_bytes(),
            draws};
}

void check_same(Outcome const& a, Outcome const& b) {
    CHECK(a.y == b.y);
    CHECK(a.dx == b.dx);
    CHECK(a.gradient == b.gradient);
    CHECK(a.draws == b.draws);
}

} // namespace

TEST_CASE("a stack keeps the contract, stored or recomputed") {
    test::check_layer<4, Stored>();
    test::check_layer<4, LastAgain>();
    test::check_layer<4, AllAgain>({}, test::default_settings, SelfMask{Causal::yes});
}

TEST_CASE("a stack keeps the contract with dropout, stored or recomputed") {
    test::CheckOptions const options{.batch = 6, .mode = Mode::train};
    test::check_layer<4, Stored>(options, pre_settings);
    test::check_layer<4, LastAgain>(options, pre_settings);
    test::check_layer<4, AllAgain>(options, pre_settings);
    test::check_layer<4, PostAgain>(options, post_settings);
}

TEST_CASE("recomputing gives the same bits for less memory") {
    for (Mode mode : {Mode::evaluate, Mode::train}) {
        auto const stored = outcome<Stored>(mode, pre_settings);
        auto const last = outcome<LastAgain>(mode, pre_settings);
        auto const all = outcome<AllAgain>(mode, pre_settings);
        check_same(last, stored);
        check_same(all, stored);
        check_same(outcome<LastTwoAgain>(mode, pre_settings), stored);
        // The very last block runs again while all others are stored: alone it saves nothing.
        CHECK(outcome<LastTwoAgain>(mode, pre_settings).peak < stored.peak);
        CHECK(all.peak < outcome<LastTwoAgain>(mode, pre_settings).peak);
    }
}

TEST_CASE("without backward a stack needs the memory of one block") {
    using B = Reference<double>;
    auto const peak = []<class S>(S const*) {
        B::Engine engine;
        Weights<S> weights(engine);
        Arena<B> arena;
        Context<B> ctx{engine, arena, Keep::nothing};
        std::vector<double> x(40, 1.0);
        typename S::Cache cache;
        weights->forward({x.data(), 2, 5}, cache, ctx);
        return arena.peak_bytes();
    };
    CHECK(peak(static_cast<Stack<Pre<B>, 9>*>(nullptr)) ==
          peak(static_cast<Stack<Pre<B>, 2>*>(nullptr)));
}
