#include <support/catch.hpp>

#include <algorithm>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/networks/text_encoder.hpp>
#include <support/check_layer.hpp>
#include <support/network.hpp>
#include <support/tiny_configs.hpp>

using namespace blip;

template <class B>
using Stored = TextEncoder<test::tiny_text<0>, B>;
template <class B>
using Again = TextEncoder<test::tiny_text<2>, B>;

namespace {

template <class B>
TextInput<B> text(int length = 4) {
    return {test::tiny_ids, test::tiny_positions, test::tiny_mask, 8 / length, length};
}

template <template <class> class Tested>
void check_multimodal(Causal causal, Mode mode, auto settings) {
    test::check_contract<Tested>(
        {2 * 3 * 8}, {.mode = mode}, settings,
        [=]<class B>(Tested<B> const& layer, auto& cache, Context<B>& ctx, auto const& x) {
            EncoderStates<8, B> const encoder{{x[0], 2, 3}};
            return layer.forward(text<B>(), causal, cache, ctx, encoder);
        },
        []<class B>(Tested<B> const& layer, auto dy, auto const& cache, auto& grad, Context<B>& ctx,
                    auto const& x) {
            EncoderStates<8, B> encoder{{x[0], 2, 3}};
            encoder.gradient = ctx.template tokens<8>(2, 3);
            B::zero(ctx.engine, encoder.gradient.data, encoder.gradient.size());
            layer.backward(dy, cache, grad, ctx, encoder);
            return std::vector{encoder.gradient.data};
        });
}

template <template <class> class Tested>
void check_unimodal(Causal causal, Mode mode, auto settings) {
    test::check_contract<Tested>(
        {}, {.mode = mode}, settings,
        [=]<class B>(Tested<B> const& layer, auto& cache, Context<B>& ctx, auto const&) {
            return layer.forward(text<B>(), causal, cache, ctx);
        },
        []<class B>(Tested<B> const& layer, auto dy, auto const& cache, auto& grad, Context<B>& ctx,
                    auto const&) {
            layer.backward(dy, cache, grad, ctx);
            return std::vector<typename B::scalar*>{};
        });
}

} // namespace

TEST_CASE("the text encoder keeps the contract in mode multimodal") {
    check_multimodal<Stored>(Causal::no, Mode::evaluate, test::default_settings);
    check_multimodal<Stored>(Causal::yes, Mode::evaluate, test::default_settings);
    check_multimodal<Again>(Causal::yes, Mode::train, test::drop_everywhere);
}

TEST_CASE("the text encoder keeps the contract in mode text") {
    check_unimodal<Stored>(Causal::no, Mode::evaluate, test::default_settings);
    check_unimodal<Again>(Causal::yes, Mode::train, test::drop_everywhere);
}

TEST_CASE("text alone leaves cross-attention untouched") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Stored<B>> weights(engine);
    test::randomize(weights, engine, {1, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto dy = test::random_values(48, {2, 0});
    Stored<B>::Cache cache;
    weights->forward(text<B>(), Causal::no, cache, ctx);
    Weights<Stored<B>::Grad> grad(engine);
    weights->backward({dy.data(), 2, 4}, cache, *grad, ctx);
    for (auto const& p : list_parameters(*grad)) {
        bool const zero = std::all_of(p.data, p.data + p.size, [](double g) { return g == 0; });
        INFO(p.path);
        CHECK(zero == (p.path.find(".cross.") != std::string::npos));
    }
}

TEST_CASE("a causal text encoder does not see the future") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Stored<B>> weights(engine);
    test::randomize(weights, engine, {3, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    Stored<B>::Cache whole, start;
    auto const all = weights->forward({test::tiny_ids, test::tiny_positions, nullptr, 1, 4},
                                      Causal::yes, whole, ctx);
    auto const two = weights->forward({test::tiny_ids, test::tiny_positions, nullptr, 1, 2},
                                      Causal::yes, start, ctx);
    CHECK(std::equal(two.data, two.data + 12, all.data));
}

namespace {

/// First states of two texts, alone where nothing is kept, and as the beginnings of all states.
template <class B>
void check_first_states(int looked_at) {
    test::Bench<B> bench;
    Weights<Stored<B>> weights(bench.engine);
    test::randomize(weights, bench.engine, {5, 0});
    auto const text = bench.text({9, 4, 0, 7, 9, 4, 5, 1}, {1, 1, 1, 1, 1, 1, 1, 0}, 2);
    std::vector<double> numbers(static_cast<std::size_t>(looked_at) * 3 * 8);
    for (std::size_t i = 0; i < numbers.size(); ++i)
        numbers[i] = random_uniform({6, 0}, i) - 0.5;
    EncoderStates<8, B> const encoder{{bench.put(numbers), looked_at, 3}};
    auto first = [&](Keep keep) {
        auto& ctx = bench.context;
        ctx.keep = keep;
        typename Stored<B>::Cache cache;
        typename Stored<B>::X states;
        auto const found = looked_at == 0
                               ? weights->forward_first(text, cache, states, ctx)
                               : weights->forward_first(text, cache, states, ctx, encoder);
        REQUIRE(found.batch == 2);
        REQUIRE(found.length == 1);
        // What is not computed is not there.
        REQUIRE((states.data == nullptr) == (keep == Keep::nothing));
        return bench.get(found);
    };
    auto const alone = first(Keep::nothing), begun = first(Keep::everything);
    CHECK(alone == begun);
    CHECK(alone.front() != alone.back());
}

} // namespace

TEST_CASE("first states that are computed alone are those of whole texts") {
    for (int const looked_at : {0, 1, 2}) {
        check_first_states<Reference<double>>(looked_at);
        check_first_states<Cpu<float>>(looked_at);
    }
}
