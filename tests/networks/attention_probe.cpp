#include <support/catch.hpp>

#include <numeric>

#include <blip/networks/attention_probe.hpp>
#include <support/check_layer.hpp>
#include <support/tiny_configs.hpp>

namespace {

using namespace blip;
using B = Reference<double>;
using C = test::tiny_text<0>;
using Again = test::tiny_text<2>;

/// Two texts about two pictures of three states.
template <class Config>
struct Case {
    B::Engine engine;
    Weights<TextEncoder<Config, B>> weights{engine};
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    std::vector<double> states = test::random_values(2 * 3 * C::encoder_width, {2, 0});
    TextInput<B> text{test::tiny_ids, test::tiny_positions, test::tiny_mask, 2, 4};
    EncoderStates<C::encoder_width, B> image{{states.data(), 2, 3}};

    Case() { test::randomize(weights, engine, {1, 0}); }
};

template <class Config>
std::vector<double> gradient_of(int layer, std::vector<double> const& cotangent) {
    Case<Config> c;
    AttentionProbe<TextEncoder<Config, B>> probe(*c.weights, layer);
    auto const last = probe.forward(c.text, Causal::no, c.image, c.ctx);
    std::vector<double> g(static_cast<std::size_t>(probe.size()));
    auto d = cotangent;
    probe.gradient({d.data(), last.batch, last.length}, g.data(), c.ctx);
    return g;
}

} // namespace

TEST_CASE("a probe gives what the network gives, at every layer and both directions") {
    for (Causal causal : {Causal::no, Causal::yes})
        for (int layer = 0; layer < C::depth; ++layer) {
            Case<C> c;
            TextEncoder<C, B>::Cache cache;
            auto const wanted = c.weights->forward(c.text, causal, cache, c.ctx, c.image);
            AttentionProbe<TextEncoder<C, B>> probe(*c.weights, layer);
            auto const found = probe.forward(c.text, causal, c.image, c.ctx);
            CHECK(std::equal(wanted.data, wanted.data + wanted.size(), found.data));
            std::vector<double> p(static_cast<std::size_t>(probe.size())), q(p.size());
            probe.attention(p.data(), c.ctx);
            auto const i = static_cast<std::size_t>(layer);
            c.weights->stack.blocks[i].cross.branch.probabilities(
                cache.stack.blocks[i].cross.branch, c.ctx, c.image, q.data());
            CHECK(p == q);
            CHECK(c.ctx.keep == Keep::everything);
        }
}

TEST_CASE("a probe's gradient follows what its attention does to the result") {
    // A value vector that is moved by d for one key moves what each query found by p d; so does
    // nothing else in the layer. The gradient of the probabilities says the same by g · p summed
    // over queries when the values themselves are what is scaled.
    auto const cotangent = test::random_values(2 * 4 * C::width, {3, 0});
    double const step = 1e-6;
    for (int layer = 0; layer < C::depth; ++layer) {
        auto const scaled = [&](double factor) {
            Case<C> c;
            auto& value =
                c.weights->stack.blocks[static_cast<std::size_t>(layer)].cross.branch.key_value;
            // Rows of the second half are the values'.
            for (int row = C::width; row < 2 * C::width; ++row) {
                for (int column = 0; column < C::encoder_width; ++column)
                    value.weight.data[row * C::encoder_width + column] *= factor;
                value.bias.data[row] *= factor;
            }
            TextEncoder<C, B>::Cache cache;
            auto const y = c.weights->forward(c.text, Causal::no, cache, c.ctx, c.image);
            return std::inner_product(cotangent.begin(), cotangent.end(), y.data, 0.0);
        };
        double const slope = (scaled(1 + step) - scaled(1 - step)) / (2 * step);
        Case<C> c;
        AttentionProbe<TextEncoder<C, B>> probe(*c.weights, layer);
        probe.forward(c.text, Causal::no, c.image, c.ctx);
        std::vector<double> p(static_cast<std::size_t>(probe.size()));
        probe.attention(p.data(), c.ctx);
        auto const g = gradient_of<C>(layer, cotangent);
        CHECK(test::detail::inner(g, p) == Approx(slope).epsilon(1e-7));
        CHECK(std::abs(slope) > 1e-3);
        // Recomputation is a matter of training; the probe does not know of it.
        CHECK(gradient_of<Again>(layer, cotangent) == g);
    }
}

TEST_CASE("a probe of a layer that is not there says which there are") {
    Case<C> const c;
    for (int layer : {-1, int{C::depth}})
        try {
            AttentionProbe<TextEncoder<C, B>> const probe(*c.weights, layer);
            FAIL("nothing was thrown");
        } catch (ArgumentError const& error) {
            CHECK(std::string(error.what()).find("layers 0 to 1") != std::string::npos);
        }
}
