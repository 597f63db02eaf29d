#include <support/catch.hpp>

#include <cmath>

#include <blip/layers/self_attention.hpp>
#include <support/check_layer.hpp>

using namespace blip;

template <class B>
using Small = SelfAttention<6, 3, B>;

namespace {

constexpr unsigned char mask[] = {1, 1, 1, 1, 0, 1, 0, 1, 1, 1};

/// Forward of one sequence batch through fixed weights.
std::vector<double> attend(std::vector<double> x, int batch, int length, SelfMask which) {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Small<B>> weights(engine);
    test::randomize(weights, engine, {11, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    Small<B>::Cache cache;
    auto const y = weights->forward({x.data(), batch, length}, cache, ctx, which);
    return {y.data, y.data + y.size()};
}

std::vector<double> part(std::vector<double> const& all, int first, int count) {
    return {all.begin() + first * 6, all.begin() + (first + count) * 6};
}

} // namespace

TEST_CASE("self-attention keeps the contract under every mask") {
    test::check_layer<6, Small>();
    test::check_layer<6, Small>({}, test::default_settings, SelfMask{Causal::yes});
    test::check_layer<6, Small>({}, test::default_settings, SelfMask{Causal::no, mask});
    test::check_layer<6, Small>({}, test::default_settings, SelfMask{Causal::yes, mask});
}

TEST_CASE("self-attention keeps the contract with dropout") {
    auto const settings = [](auto& layer) { layer.dropout = 0.3; };
    test::check_layer<6, Small>({.mode = Mode::train}, settings);
    test::check_layer<6, Small>({.mode = Mode::train}, settings, SelfMask{Causal::yes, mask});
}

TEST_CASE("attention dropout draws only in training") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Small<B>> weights(engine);
    test::randomize(weights, engine, {1, 0});
    weights->dropout = 0.5;
    Arena<B> arena;
    auto x = test::random_values(30, {2, 0});
    auto const run = [&](Mode mode, std::uint64_t seed, std::uint64_t draws) {
        Context<B> ctx{engine, arena, Keep::nothing, mode, {seed, 0}, draws};
        Small<B>::Cache cache;
        auto const y = weights->forward({x.data(), 1, 5}, cache, ctx);
        CHECK(ctx.draws == draws + (mode == Mode::train ? 1u : 0u));
        return std::vector<double>(y.data, y.data + y.size());
    };
    CHECK(run(Mode::evaluate, 1, 0) == run(Mode::evaluate, 2, 5));
    CHECK(run(Mode::train, 1, 3) == run(Mode::train, 1, 3));
    CHECK(run(Mode::train, 1, 3) != run(Mode::train, 1, 4));
    CHECK(run(Mode::train, 1, 3) != run(Mode::train, 2, 3));
    CHECK(run(Mode::train, 1, 3) != run(Mode::evaluate, 1, 3));
}

TEST_CASE("causal attention does not see the future") {
    auto const x = test::random_values(5 * 6, {3, 0});
    auto const whole = attend(x, 1, 5, {Causal::yes});
    for (int length = 1; length < 5; ++length)
        CHECK(part(whole, 0, length) == attend(part(x, 0, length), 1, length, {Causal::yes}));
    CHECK(part(whole, 4, 1) == part(attend(x, 1, 5, {}), 4, 1));
    CHECK(part(whole, 0, 4) != part(attend(x, 1, 5, {}), 0, 4));
}

TEST_CASE("a masked key is as good as absent") {
    auto x = test::random_values(5 * 6, {4, 0});
    unsigned char const last_hidden[] = {1, 1, 1, 1, 0};
    auto const masked = attend(x, 1, 5, {Causal::no, last_hidden});
    CHECK(part(masked, 0, 4) == attend(part(x, 0, 4), 1, 4, {}));
    for (std::size_t i = 24; i < 30; ++i)
        x[i] += 100;
    CHECK(part(attend(x, 1, 5, {Causal::no, last_hidden}), 0, 4) == part(masked, 0, 4));
}

TEST_CASE("items of a batch do not influence one another") {
    auto const x = test::random_values(2 * 5 * 6, {5, 0});
    auto const both = attend(x, 2, 5, {Causal::no, mask});
    CHECK(part(both, 0, 5) == attend(part(x, 0, 5), 1, 5, {Causal::no, mask}));
    CHECK(part(both, 5, 5) == attend(part(x, 5, 5), 1, 5, {Causal::no, mask + 5}));
}

TEST_CASE("self-attention tells its probabilities") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Small<B>> weights(engine);
    test::randomize(weights, engine, {6, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(2 * 5 * 6, {7, 0});
    Small<B>::Cache cache;
    weights->forward({x.data(), 2, 5}, cache, ctx, {Causal::yes, mask});
    std::vector<double> p(2 * 3 * 5 * 5);
    weights->probabilities(cache, ctx, {Causal::yes, mask}, p.data());
    for (std::size_t row = 0; row < 30; ++row) {
        std::size_t const item = row / 15, query = row % 5;
        double sum = 0;
        for (std::size_t key = 0; key < 5; ++key) {
            double const value = p[row * 5 + key];
            if (key > query || !mask[item * 5 + key])
                CHECK(value == 0);
            else
                CHECK(value > 0);
            sum += value;
        }
        CHECK(sum == Approx(1).epsilon(1e-14));
    }
}

TEST_CASE("a query that may see no key gets the output bias") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Small<B>> weights(engine);
    test::randomize(weights, engine, {8, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(12, {9, 0});
    unsigned char const nothing[] = {0, 0};
    Small<B>::Cache cache;
    auto const y = weights->forward({x.data(), 1, 2}, cache, ctx, {Causal::no, nothing});
    for (int i = 0; i < 12; ++i)
        CHECK(y.data[i] == weights->output.bias.data[i % 6]);
}
