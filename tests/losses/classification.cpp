#include <support/catch.hpp>

#include <cmath>
#include <tuple>
#include <vector>

#include <blip/losses/classification.hpp>
#include <support/check_layer.hpp>

using namespace blip;

namespace {

/// Scores to the loss of every row, as a layer (with a weight, because a layer has one).
template <class B>
struct Scores {
    using backend = B;
    using Grad = Scores<typename B::gradient>;
    using Cache = typename ClassificationLoss<B>::Cache;

    double unused = 0;

    static constexpr auto fields() { return std::tuple{Field{"unused", &Scores::unused}}; }
};

constexpr int labels[] = {1, 0, 2, 1};

} // namespace

TEST_CASE("the classification loss's gradient is its derivative") {
    test::check_contract<Scores>(
        {12}, {.cotangent = test::Cotangent::ones}, test::default_settings,
        []<class B>(Scores<B> const&, auto& cache, Context<B>& ctx, auto const& x) {
            ClassificationLoss<B>::forward(Tokens<3, B>{x[0], 4, 1}, labels, cache, ctx);
            return Tokens<1, B>{cache.losses, 4, 1};
        },
        []<class B>(Scores<B> const&, auto, auto const& cache, auto&, Context<B>&, auto const&) {
            return std::vector{ClassificationLoss<B>::template backward<3>(cache).data};
        });
}

TEST_CASE("the classification loss is a plain mean") {
    using B = Reference<double>;
    B::Engine engine;
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    // A matching head that does not look at the picture: 1 of 3 fits, so it says log-odds log(1/2).
    std::vector<double> logits;
    for (int i = 0; i < 3; ++i) {
        logits.push_back(std::log(2));
        logits.push_back(0);
    }
    ClassificationLoss<B>::Cache cache;
    std::vector<int> const match{1, 0, 0};
    ClassificationLoss<B>::forward(Tokens<2, B>{logits.data(), 3, 1}, match, cache, ctx);
    CHECK(ClassificationLoss<B>::total(cache, ctx) ==
          Approx(std::log(3) - 2 * std::log(2) / 3).epsilon(1e-14)); // H(1/3) = 0.6365
    auto const run = [&](std::vector<int> const& l) {
        ClassificationLoss<B>::forward(Tokens<2, B>{logits.data(), 3, 1}, l, cache, ctx);
    };
    CHECK_THROWS_WITH(run({1, 2, 0}), "classification loss: label 2 is not one of the 2 classes");
    CHECK_THROWS_AS(run({1, -1, 0}), ArgumentError);
    CHECK_THROWS_AS(run({1, 0}), ArgumentError);
}
