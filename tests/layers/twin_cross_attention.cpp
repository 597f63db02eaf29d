#include <support/catch.hpp>

#include <vector>

#include <blip/layers/twin_cross_attention.hpp>
#include <support/check_layer.hpp>

using namespace blip;

template <class B>
using Averaging = AveragingTwins<6, 2, 5, B>;
template <class B>
using Merging = MergingTwins<6, 2, 5, B>;

namespace {

constexpr int batch = 2, length = 3;
// The pictures may differ in how many states they have.
constexpr int first_states = 4, second_states = 3;
constexpr unsigned char mask[] = {1, 1, 0, 1, 0, 1, 1, 1};

template <class B>
EncoderStatesPair<5, B> states(auto const& x, unsigned char const* which) {
    return {{{x[1], batch, first_states}, which}, {{x[2], batch, second_states}}};
}

template <template <class> class Tested>
void check(test::CheckOptions options, auto settings, unsigned char const* which) {
    options.batch = batch;
    options.length = length;
    test::check_contract<Tested>(
        {batch * length * 6, batch * first_states * 5, batch * second_states * 5}, options,
        settings,
        [&]<class B>(Tested<B> const& layer, auto& cache, Context<B>& ctx, auto const& x) {
            return layer.forward({x[0], batch, length}, cache, ctx, states<B>(x, which));
        },
        [&]<class B>(Tested<B> const& layer, auto dy, auto const& cache, auto& grad,
                     Context<B>& ctx, auto const& x) {
            auto both = states<B>(x, which);
            for (auto* one : {&both.first, &both.second}) {
                one->gradient = ctx.template tokens<5>(batch, one->states.length);
                B::zero(ctx.engine, one->gradient.data, one->gradient.size());
            }
            auto const dx = layer.backward(dy, cache, grad, ctx, both);
            return std::vector{dx.data, both.first.gradient.data, both.second.gradient.data};
        });
}

auto const drop = [](auto& layer) { layer.first.dropout = layer.second.dropout = 0.3; };

template <template <class> class Tested>
std::vector<double> forward(bool swapped) {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Tested<B>> weights(engine);
    test::randomize(weights, engine, {1, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(18, {2, 0}), s = test::random_values(40, {3, 0});
    EncoderStates<5, B> const a{{s.data(), 1, 4}}, b{{s.data() + 20, 1, 4}};
    typename Tested<B>::Cache cache;
    auto const y =
        weights->forward({x.data(), 1, 3}, cache, ctx,
                         swapped ? EncoderStatesPair<5, B>{b, a} : EncoderStatesPair<5, B>{a, b});
    return {y.data, y.data + y.size()};
}

} // namespace

TEST_CASE("averaged twins keep the contract, for text and for both pictures' states") {
    check<Averaging>({}, test::default_settings, nullptr);
    check<Averaging>({}, test::default_settings, mask);
    check<Averaging>({.mode = Mode::train}, drop, mask);
}

TEST_CASE("merged twins keep the contract, for text and for both pictures' states") {
    check<Merging>({}, test::default_settings, nullptr);
    check<Merging>({}, test::default_settings, mask);
    check<Merging>({.mode = Mode::train}, drop, mask);
}

TEST_CASE("twins tell the first picture from the second") {
    CHECK(forward<Averaging>(false) != forward<Averaging>(true));
    CHECK(forward<Merging>(false) != forward<Merging>(true));
}

TEST_CASE("twins are two cross-attentions whose results are averaged or multiplied") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Merging<B>> weights(engine);
    test::randomize(weights, engine, {4, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(18, {5, 0}), s = test::random_values(40, {6, 0});
    Tokens<6, B> const text{x.data(), 1, 3};
    EncoderStatesPair<5, B> const both{{{s.data(), 1, 4}}, {{s.data() + 20, 1, 4}}};
    CrossAttention<6, 2, 5, B>::Cache one, two;
    auto const a = weights->first.forward(text, one, ctx, both.first);
    auto const b = weights->second.forward(text, two, ctx, both.second);
    Merging<B>::Cache merged;
    auto const y = weights->forward(text, merged, ctx, both);
    Averaging<B> const averaging{weights->first, weights->second};
    Averaging<B>::Cache averaged;
    auto const mean = averaging.forward(text, averaged, ctx, both);
    for (int r = 0; r < 3; ++r)
        for (int c = 0; c < 6; ++c) {
            double sum = weights->merge.bias.data[c];
            for (int k = 0; k < 6; ++k)
                sum += weights->merge.weight.data[c * 12 + k] * a.data[r * 6 + k] +
                       weights->merge.weight.data[c * 12 + 6 + k] * b.data[r * 6 + k];
            CHECK(y.data[r * 6 + c] == Approx(sum).epsilon(1e-12));
            CHECK(mean.data[r * 6 + c] ==
                  Approx((a.data[r * 6 + c] + b.data[r * 6 + c]) / 2).epsilon(1e-14));
        }
}
