#include <support/catch.hpp>

#include <blip/config/presets.hpp>
#include <blip/networks/answer_network.hpp>
#include <support/check_layer.hpp>
#include <support/tiny_configs.hpp>

using namespace blip;

namespace {

// Two questions of at most four tokens with two and one answers of three tokens.
constexpr int answer_ids[] = {9, 3, 1, 9, 2, 0, 9, 8, 5};
constexpr int answer_positions[] = {0, 1, 2, 0, 1, 2, 0, 1, 2};
constexpr unsigned char answer_mask[] = {1, 1, 1, 1, 1, 0, 1, 1, 1};
constexpr int labels[] = {9, 3, 1, 9, 2, ignored_target, 9, 8, 5};
constexpr int per_question[] = {2, 1};
constexpr double weights[] = {0.3, 0.7, 1};

/// How the answerer is trained.
struct Way {
    LanguageModelingOptions options;
    bool masked;
};
constexpr Way authors{{.reduction = Reduction::sum_per_item}, true};
constexpr Way old_authors{{.reduction = Reduction::sum_per_item, .rule = SmoothingRule::torch_1_10},
                          true};
constexpr Way port{{.smoothing = 0.05}, false};

template <class B>
AnswerTargets<B> targets(bool masked) {
    AnswerTargets<B> answers{.text = {answer_ids, answer_positions, answer_mask, 3, 3},
                             .labels = labels,
                             .per_question = per_question,
                             .weights = weights};
    if (masked)
        answers.question_mask = test::tiny_mask;
    return answers;
}

template <class B>
TextInput<B> questions() {
    return {test::tiny_ids, test::tiny_positions, test::tiny_mask, 2, 4};
}

/// The answerer seen as a layer whose result is the loss of every position.
template <class C, class B>
struct RowLosses {
    using backend = B;
    using Network = AnswerNetwork<C, B>;
    using Grad = RowLosses<C, typename B::gradient>;
    using Cache = typename Network::Cache;

    Network network;

    static constexpr auto fields() { return std::tuple{Field{"network", &RowLosses::network}}; }

    Tokens<1, B> forward(typename B::scalar* images, Way const& way, Cache& cache,
                         Context<B>& ctx) const {
        network.loss({images, 2}, questions<B>(), targets<B>(way.masked), way.options, cache, ctx);
        return {cache.loss.losses, 3, 3};
    }
};

template <class B>
using Stored = RowLosses<test::tiny<0, 0>, B>;
template <class B>
using Again = RowLosses<test::tiny<3, 2>, B>;

template <template <class> class Tested>
void check(Mode mode, Way const& way, auto settings) {
    static auto const pixels = test::random_values(2 * 108, {77, 0});
    test::check_contract<Tested>(
        {}, {.mode = mode, .cotangent = test::Cotangent::ones}, settings,
        [&way]<class B>(Tested<B> const& layer, auto& cache, Context<B>& ctx, auto const&) {
            auto* images = ctx.take(std::ssize(pixels));
            B::upload(ctx.engine, images, pixels.data(), std::ssize(pixels));
            return layer.forward(images, way, cache, ctx);
        },
        []<class B>(Tested<B> const& layer, auto, auto& cache, auto& grad, Context<B>& ctx,
                    auto const&) {
            layer.network.backward(cache, grad.network, ctx);
            return std::vector<typename B::scalar*>{};
        });
}

} // namespace

TEST_CASE("the answering loss keeps the contract") {
    check<Stored>(Mode::evaluate, authors, test::default_settings);
    check<Stored>(Mode::evaluate, old_authors, test::default_settings);
    check<Stored>(Mode::evaluate, port, test::default_settings);
    check<Again>(Mode::train, authors, test::drop_everywhere);
}

TEST_CASE("the answer decoder looks at states as wide as the text") {
    using C = config::answer_decoder<test::tiny_text<0>>;
    STATIC_REQUIRE(TextConfig<C>);
    STATIC_REQUIRE(C::encoder_width == C::width);
    // VQA base at 480 pixels, spec section 6.3.
    CHECK(count_parameters<AnswerNetwork<config::base<480>, Reference<float>>>() == 361478972);
}

TEST_CASE("the answering loss weighs answers and divides by the questions") {
    using B = Reference<double>;
    using Network = AnswerNetwork<test::tiny<0, 0>, B>;
    B::Engine engine;
    Weights<Network> network(engine);
    test::randomize(network, engine, {5, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto images = test::random_values(2 * 108, {6, 0});
    Network::Cache cache;
    auto loss = [&](AnswerTargets<B> const& answers, LanguageModelingOptions const& options) {
        return network->loss({images.data(), 2}, questions<B>(), answers, options, cache, ctx);
    };
    double const weighted = loss(targets<B>(true), authors.options);
    auto const items = LanguageModelingLoss<B>{}.per_item(cache.loss, ctx);
    auto plain = targets<B>(true);
    plain.weights = {};
    loss(plain, authors.options);
    auto const unweighted = LanguageModelingLoss<B>{}.per_item(cache.loss, ctx);
    double sum = 0;
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(items[i] == Approx(weights[i] * unweighted[i]).epsilon(1e-13));
        sum += weights[i] * unweighted[i];
    }
    CHECK(weighted == Approx(sum).epsilon(1e-13));

    auto wrong = targets<B>(true);
    constexpr int three[] = {2, 2};
    wrong.per_question = three;
    CHECK_THROWS_AS(loss(wrong, {}), ArgumentError);
    wrong = targets<B>(true);
    wrong.weights = std::span(weights).first(2);
    CHECK_THROWS_AS(loss(wrong, {}), ArgumentError);
    wrong = targets<B>(true);
    wrong.question_mask = wrong.question_mask.first(3);
    CHECK_THROWS_AS(loss(wrong, {}), ArgumentError);
}
