#include <support/catch.hpp>

#include <algorithm>

#include <blip/layers/cross_attention.hpp>
#include <support/check_layer.hpp>

using namespace blip;

template <class B>
using Small = CrossAttention<6, 2, 5, B>;

namespace {

constexpr int batch = 2, length = 3, states = 4;
constexpr unsigned char mask[] = {1, 1, 0, 1, 0, 1, 1, 1};

/// `each`: texts that look at one item.
void check(test::CheckOptions options, auto settings, unsigned char const* which, int each = 1) {
    options.batch = batch * each;
    options.length = length;
    test::check_contract<Small>(
        {batch * each * length * 6, batch * states * 5}, options, settings,
        [&]<class B>(Small<B> const& layer, auto& cache, Context<B>& ctx, auto const& x) {
            return layer.forward({x[0], batch * each, length}, cache, ctx,
                                 {{x[1], batch, states}, which});
        },
        [&]<class B>(Small<B> const& layer, auto dy, auto const& cache, auto& grad, Context<B>& ctx,
                     auto const& x) {
            auto const gradient = ctx.template tokens<5>(batch, states);
            B::zero(ctx.engine, gradient.data, gradient.size());
            auto const dx =
                layer.backward(dy, cache, grad, ctx, {{x[1], batch, states}, which, gradient});
            return std::vector{dx.data, gradient.data};
        });
}

} // namespace

TEST_CASE("cross-attention keeps the contract, for text and for the states it looks at") {
    check({}, test::default_settings, nullptr);
    check({}, test::default_settings, mask);
    check(
        {.mode = Mode::train}, [](auto& layer) { layer.dropout = 0.3; }, mask);
    check({}, test::default_settings, mask, 3);
}

TEST_CASE("texts that share states give what each gives alone") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Small<B>> weights(engine);
    test::randomize(weights, engine, {8, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(6 * length * 6, {9, 0});
    auto s = test::random_values(batch * states * 5, {10, 0});
    Tokens<6, B> const texts{x.data(), 6, length};
    Tokens<5, B> const all{s.data(), batch, states};
    Small<B>::Cache cache;
    auto const together = weights->forward(texts, cache, ctx, {all, mask});
    for (int i = 0; i < 6; ++i) {
        auto const y = weights->forward(texts.items(i, 1), cache, ctx,
                                        {all.items(i / 3, 1), mask + i / 3 * states});
        CHECK(std::equal(y.data, y.data + y.size(), together.items(i, 1).data));
    }
    CHECK_THROWS_AS(weights->forward(texts.items(0, 5), cache, ctx, {all, mask}), ArgumentError);
}

TEST_CASE("cross-attention adds to the gradient of the states, or leaves it out") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Small<B>> weights(engine);
    test::randomize(weights, engine, {1, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(18, {2, 0}), s = test::random_values(20, {3, 0});
    auto dy = test::random_values(18, {4, 0});
    Tokens<6, B> const text{x.data(), 1, 3}, dtext{dy.data(), 1, 3};
    auto const run = [&](double start, bool wanted) {
        std::vector<double> gradient(20, start);
        EncoderStates<5, B> encoder{{s.data(), 1, 4}};
        if (wanted)
            encoder.gradient = {gradient.data(), 1, 4};
        Small<B>::Cache cache;
        Weights<Small<B>::Grad> grad(engine);
        weights->forward(text, cache, ctx, encoder);
        auto const dx = weights->backward(dtext, cache, *grad, ctx, encoder);
        return std::tuple{gradient, std::vector<double>(dx.data, dx.data + 18),
                          test::parameter_values(grad, engine)};
    };
    auto const [from_zero, dx, grad] = run(0, true);
    auto const [from_ten, same_dx, same_grad] = run(10, true);
    auto const [untouched, dx_alone, grad_alone] = run(10, false);
    CHECK(untouched == std::vector<double>(20, 10.0));
    CHECK((dx == same_dx && dx == dx_alone && grad == same_grad && grad == grad_alone));
    for (std::size_t i = 0; i < 20; ++i)
        CHECK(from_ten[i] == Approx(from_zero[i] + 10).epsilon(1e-14));
}

TEST_CASE("cross-attention ignores masked states and tells its probabilities") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Small<B>> weights(engine);
    test::randomize(weights, engine, {5, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(batch * length * 6, {6, 0});
    auto s = test::random_values(batch * states * 5, {7, 0});
    EncoderStates<5, B> const encoder{{s.data(), batch, states}, mask};
    auto const forward = [&] {
        Small<B>::Cache cache;
        auto const y = weights->forward({x.data(), batch, length}, cache, ctx, encoder);
        return std::vector<double>(y.data, y.data + y.size());
    };
    Small<B>::Cache cache;
    weights->forward({x.data(), batch, length}, cache, ctx, encoder);
    std::vector<double> p(batch * 2 * length * states);
    weights->probabilities(cache, ctx, encoder, p.data());
    for (std::size_t row = 0; row < batch * 2 * length; ++row) {
        double sum = 0;
        for (std::size_t key = 0; key < states; ++key) {
            double const value = p[row * states + key];
            CHECK((value == 0) == (mask[row / (2 * length) * states + key] == 0));
            sum += value;
        }
        CHECK(sum == Approx(1).epsilon(1e-14));
    }
    auto const before = forward();
    for (std::size_t i : {2u, 4u})
        for (std::size_t c = 0; c < 5; ++c)
            s[i * 5 + c] = 1e3;
    CHECK(forward() == before);
    s[0] += 1;
    CHECK(forward() != before);
}

TEST_CASE("the gradient of attention probabilities times them is what the heads' results give") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Small<B>> weights(engine);
    test::randomize(weights, engine, {5, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    constexpr int each = 2, texts = batch * each, asked = each * length, heads = 2, width = 3;
    auto x = test::random_values(texts * length * 6, {6, 0});
    auto s = test::random_values(batch * states * 5, {7, 0});
    auto d = test::random_values(texts * length * 6, {8, 0});
    EncoderStates<5, B> const encoder{{s.data(), batch, states}};
    Small<B>::Cache cache;
    weights->forward({x.data(), texts, length}, cache, ctx, encoder);
    std::vector<double> p(batch * heads * asked * states), g(p.size());
    weights->probabilities(cache, ctx, encoder, p.data());
    weights->probability_gradient({d.data(), texts, length}, cache, ctx, encoder, g.data());
    // What a head found is linear in its probabilities.
    for (int item = 0; item < batch; ++item)
        for (int head = 0; head < heads; ++head)
            for (int row = 0; row < asked; ++row) {
                double by_probabilities = 0, by_channels = 0;
                for (int key = 0; key < states; ++key) {
                    auto const at = static_cast<std::size_t>(
                        ((item * heads + head) * asked + row) * states + key);
                    by_probabilities += p[at] * g[at];
                }
                for (int c = 0; c < width; ++c) {
                    auto const at =
                        static_cast<std::size_t>((item * asked + row) * 6 + head * width + c);
                    by_channels += d[at] * cache.attended.data[at];
                }
                CHECK(by_probabilities == Approx(by_channels).margin(1e-14));
            }
    CHECK(test::detail::largest(g) > 0);
}
