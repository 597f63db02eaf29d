#include <support/catch.hpp>

#include <algorithm>
#include <tuple>
#include <vector>

#include <blip/networks/pretraining_network.hpp>
#include <blip/networks/retrieval_network.hpp>
#include <support/check_layer.hpp>
#include <support/tiny_configs.hpp>

using namespace blip;

namespace {

struct sizes : test::tiny<1, 1> {
    static constexpr int projection = 5, queue = 6;
};

constexpr int batch = 3, length = 4;
constexpr std::int64_t ids[] = {4, 9, 4};

TokenBatch texts() {
    return {
        {1, 4, 0, 7, 1, 5, 5, 10, 1, 8, 2, 2}, {1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0, 0}, batch, length};
}

/// Teacher and queue of numbers that do not take part in the derivative.
template <class Network>
struct Fixed {
    using B = typename Network::backend;
    typename B::Engine engine{};
    Weights<Network> weights;
    MomentumState<Network> state;

    Fixed() : weights(engine), state(engine, start(), {8, 0}) {
        std::vector<std::int64_t> const queued{4, 1, 9, 9, unknown_picture, 2};
        state.queue.restore(queued, 0);
    }
    Weights<Network>& start() {
        test::randomize(weights, engine, {7, 0});
        return weights;
    }
};

AlignmentOptions options(bool retrieval) {
    // With α = 0 the targets do not depend on the temperature, through which none of their
    // gradient flows by design.
    AlignmentOptions o{.alpha = 0,
                       .rule = retrieval ? NegativeRule::online : NegativeRule::momentum,
                       .negatives = Negatives{{1, 0, 1}, {1, 2, 1}}};
    if (retrieval)
        o.ids = ids;
    return o;
}

template <class Network, class B>
AlignmentLosses run(Network const& network, typename Network::Images images,
                    MomentumState<Network> const& state, AlignmentOptions const& o,
                    typename Network::Cache& cache, Context<B>& ctx) {
    if constexpr (Network::task == Task::pre_training) {
        auto const losses =
            network.loss(images, texts(), 2, 3, state, o, LanguageModelingOptions{}, cache, ctx);
        return {losses.contrastive, losses.matching};
    } else {
        return network.loss(images, texts(), 2, state, o, cache, ctx);
    }
}

/// An objective as a layer whose result is the loss of every row of every part.
template <class Network>
struct RowLosses {
    using backend = typename Network::backend;
    using B = backend;
    using Grad = RowLosses<typename Network::Grad>;
    using Cache = typename Network::Cache;

    Network network;

    static constexpr auto fields() { return std::tuple{Field{"network", &RowLosses::network}}; }

    Tokens<1, B> forward(typename B::scalar* images, Cache& cache, Context<B>& ctx) const {
        static Fixed<Network> fixed;
        constexpr bool retrieval = Network::task != Task::pre_training;
        run(network, {images, batch}, fixed.state, options(retrieval), cache, ctx);
        int const count = 5 * batch + (retrieval ? 0 : batch * length);
        auto const all = ctx.template tokens<1>(count, 1);
        B::copy(ctx.engine, all.data, cache.alignment.contrastive.losses, 2 * batch);
        B::copy(ctx.engine, all.data + 2 * batch, cache.alignment.matching_loss.losses, 3 * batch);
        if constexpr (!retrieval)
            B::copy(ctx.engine, all.data + 5 * batch, cache.language_modeling.losses,
                    batch * length);
        return all;
    }
};

template <class B>
using Retrieval = RowLosses<RetrievalNetwork<sizes, B>>;
template <class B>
using Tied = RowLosses<PretrainingNetwork<sizes, B, share::all_but_self_attention>>;
template <class B>
using OwnCross = RowLosses<PretrainingNetwork<sizes, B, share::all_but_cross_attention>>;
template <class B>
using OneText = RowLosses<PretrainingNetwork<sizes, B, share::everything>>;
template <class B>
using TwoTexts = RowLosses<PretrainingNetwork<sizes, B, share::nothing>>;

template <template <class> class Tested>
void check(Mode mode, auto settings) {
    static auto const pixels = test::random_values(batch * 108, {77, 0});
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

} // namespace

TEST_CASE("the retrieval objective keeps the contract") {
    check<Retrieval>(Mode::evaluate, test::default_settings);
    check<Retrieval>(Mode::train, test::drop_everywhere);
}

TEST_CASE("pre-training keeps the contract whatever encoder and decoder share") {
    check<Tied>(Mode::train, test::drop_everywhere);
    check<OwnCross>(Mode::evaluate, test::default_settings);
    check<OneText>(Mode::evaluate, test::default_settings);
    check<TwoTexts>(Mode::evaluate, test::default_settings);
}

namespace {

using B = Reference<double>;
using Network = RetrievalNetwork<sizes, B>;

/// The objective of one random model, as a function of what is varied.
struct Bench {
    B::Engine engine;
    Weights<Network> weights{engine};
    Arena<B> arena;
    std::vector<double> pixels = test::random_values(batch * 108, {77, 0});

    Bench() {
        test::randomize(weights, engine, {5, 0});
        weights->temperature.data[0] = 0.07;
    }
    AlignmentLosses losses(AlignmentOptions const& o, Network::Cache& cache,
                           TokenBatch const& text = texts()) {
        MomentumState<Network> state(engine, weights, {1, 0});
        Context<B> ctx{engine, arena, Keep::everything, Mode::evaluate, {3, 0}};
        return weights->loss({pixels.data(), batch}, text, 2, state, o, cache, ctx);
    }
};

} // namespace

TEST_CASE("drawn negatives are never equal pictures, and given ones are taken") {
    Bench bench;
    Network::Cache cache;
    auto o = options(true);
    o.negatives.reset();
    auto const drawn = bench.losses(o, cache);
    auto const chosen = cache.alignment.negatives;
    for (std::size_t b = 0; b < batch; ++b) {
        CHECK(ids[b] != ids[static_cast<std::size_t>(chosen.image_for_text[b])]);
        CHECK(ids[b] != ids[static_cast<std::size_t>(chosen.text_for_image[b])]);
    }
    o.negatives = chosen;
    CHECK(bench.losses(o, cache).total() == drawn.total());
    o.negatives->image_for_text[0] = batch;
    CHECK_THROWS_WITH(bench.losses(o, cache),
                      "image-text objective: the given negatives must be 3 numbers from 0 to 2");
}

TEST_CASE("a batch of one picture has no negatives") {
    Bench bench;
    Network::Cache cache;
    auto o = options(true);
    o.negatives.reset();
    static constexpr std::int64_t same[] = {4, 4, 4};
    o.ids = same;
    CHECK_THROWS_AS(bench.losses(o, cache), ArgumentError);
    o.ids = std::span(ids).first(2);
    CHECK_THROWS_AS(bench.losses(o, cache), ArgumentError);
}

TEST_CASE("a batch's order does not change its losses") {
    Bench bench;
    Network::Cache cache;
    auto const straight = bench.losses(options(true), cache);
    // Pictures, texts, ids and negatives turned by one place: item i becomes item i + 1.
    Bench turned;
    std::rotate(turned.pixels.begin(), turned.pixels.end() - 108, turned.pixels.end());
    auto text = texts();
    std::rotate(text.ids.begin(), text.ids.end() - length, text.ids.end());
    std::rotate(text.mask.begin(), text.mask.end() - length, text.mask.end());
    auto o = options(true);
    static constexpr std::int64_t turned_ids[] = {4, 4, 9};
    o.ids = turned_ids;
    auto const turn = [](std::vector<int> chosen) {
        for (int& i : chosen)
            i = (i + 1) % batch;
        std::rotate(chosen.begin(), chosen.end() - 1, chosen.end());
        return chosen;
    };
    o.negatives = Negatives{turn({1, 0, 1}), turn({1, 2, 1})};
    auto const other = turned.losses(o, cache, text);
    CHECK(other.contrastive == Approx(straight.contrastive).epsilon(1e-13));
    CHECK(other.matching == Approx(straight.matching).epsilon(1e-13));
}

TEST_CASE("a step clamps the temperature and moves the teacher") {
    Bench bench;
    auto& weights = bench.weights;
    MomentumState<Network> state(bench.engine, weights, {1, 0});
    auto& online = weights->encoder.embedding.norm.scale.data[2];
    auto const before = online;
    online = before + 1;
    weights->temperature.data[0] = 0.7;
    state.begin_step(bench.engine, weights, 0.75);
    CHECK(weights->temperature.data[0] == 0.5);
    CHECK(state.teacher->encoder.embedding.norm.scale.data[2] == Approx(before + 0.25));
    weights->temperature.data[0] = -1;
    state.begin_step(bench.engine, weights);
    CHECK(weights->temperature.data[0] == 0.001);
    CHECK(state.teacher->encoder.embedding.norm.scale.data[2] ==
          Approx(0.995 * (before + 0.25) + 0.005 * (before + 1)));
}
