#include <support/catch.hpp>

#include <numeric>

#include <blip/networks/captioner_network.hpp>
#include <support/check_layer.hpp>
#include <support/tiny_configs.hpp>

using namespace blip;

namespace {

constexpr int labels[] = {ignored_target, ignored_target, 0, 7, ignored_target, 4, 5,
                          ignored_target};

/// The captioner seen as a layer whose result is the loss of every position.
template <class C, class B>
struct RowLosses {
    using backend = B;
    using Network = CaptionerNetwork<C, B>;
    using Grad = RowLosses<C, typename B::gradient>;
    using Cache = typename Network::Cache;

    Network network;

    static constexpr auto fields() { return std::tuple{Field{"network", &RowLosses::network}}; }

    Tokens<1, B> forward(typename B::scalar* images, Cache& cache, Context<B>& ctx) const {
        network.loss({images, 2}, {test::tiny_ids, test::tiny_positions, test::tiny_mask, 2, 4},
                     labels, {}, cache, ctx);
        return {cache.loss.losses, 2, 4};
    }
};

template <class B>
using Stored = RowLosses<test::tiny<0, 0>, B>;
template <class B>
using Again = RowLosses<test::tiny<3, 2>, B>;

template <template <class> class Tested>
void check(Mode mode, auto settings) {
    // The pixels take part in the loss but are not differentiated: they are the same on both sides.
    static auto const pixels = test::random_values(2 * 108, {77, 0});
    test::check_contract<Tested>(
        {}, {.mode = mode, .cotangent = test::Cotangent::ones}, settings,
        []<class B>(Tested<B> const& layer, auto& cache, Context<B>& ctx, auto const&) {
            auto* images = ctx.take(std::ssize(pixels));
            B::upload(ctx.engine, images, pixels.data(), std::ssize(pixels));
            return layer.forward(images, cache, ctx);
        },
        []<class B>(Tested<B> const& layer, auto, auto& cache, auto& grad, Context<B>& ctx,
                    auto const&) {
            layer.network.backward(cache, grad.network, ctx);
            return std::vector<typename B::scalar*>{};
        });
}

template <class C>
std::vector<double> gradient(Mode mode, int calls, double& loss, std::size_t& peak) {
    using B = Reference<double>;
    using Network = CaptionerNetwork<C, B>;
    B::Engine engine;
    Weights<Network> weights(engine);
    test::randomize(weights, engine, {1, 0});
    test::drop_everywhere(*weights);
    Weights<typename Network::Grad> grad(engine);
    auto images = test::random_values(2 * 108, {2, 0});
    Arena<B> arena;
    for (int call = 0; call < calls; ++call) {
        Scope scope(arena);
        Context<B> ctx{engine, arena, Keep::everything, mode, {3, 0}};
        typename Network::Cache cache;
        loss = weights->loss({images.data(), 2},
                             {test::tiny_ids, test::tiny_positions, test::tiny_mask, 2, 4}, labels,
                             {}, cache, ctx);
        weights->backward(cache, *grad, ctx);
    }
    peak = arena.peak_bytes();
    return test::parameter_values(grad, engine);
}

} // namespace

TEST_CASE("the captioning loss keeps the contract") {
    check<Stored>(Mode::evaluate, test::default_settings);
    check<Again>(Mode::evaluate, test::default_settings);
    check<Again>(Mode::train, test::drop_everywhere);
}

TEST_CASE("recomputing a captioner changes no bit of its loss and gradient") {
    for (Mode mode : {Mode::evaluate, Mode::train}) {
        double stored = 0, again = 0;
        std::size_t more = 0, less = 0;
        CHECK(gradient<test::tiny<0, 0>>(mode, 1, stored, more) ==
              gradient<test::tiny<3, 2>>(mode, 1, again, less));
        CHECK(stored == again);
        CHECK(less < more);
    }
}

TEST_CASE("gradients of several calls add up") {
    double loss = 0;
    std::size_t peak = 0;
    auto once = gradient<test::tiny<0, 0>>(Mode::train, 1, loss, peak);
    auto const thrice = gradient<test::tiny<0, 0>>(Mode::train, 3, loss, peak);
    for (double& g : once)
        g *= 3;
    CHECK(test::detail::deviation(thrice, once) < 1e-13);
}
