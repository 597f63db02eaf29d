#include <support/catch.hpp>

#include <cmath>
#include <tuple>
#include <vector>

#include <blip/layers/linear.hpp>
#include <blip/losses/classification.hpp>
#include <support/check_layer.hpp>

using namespace blip;

namespace {

constexpr int labels[] = {2, 0, 1, 1};

/// A product and the loss of its rows.
template <class B>
struct Losses {
    using backend = B;
    using Grad = Losses<typename B::gradient>;
    Linear<4, 3, B> product;

    static constexpr auto fields() { return std::tuple{Field{"product", &Losses::product}}; }

    struct Cache {
        typename Linear<4, 3, B>::Cache product;
        typename ClassificationLoss<B>::Cache loss;
    };

    Tokens<1, B> forward(Tokens<4, B> x, Cache& cache, Context<B>& ctx) const {
        ClassificationLoss<B>{}.forward(product.forward(x, cache.product, ctx), labels, cache.loss,
                                        ctx);
        return {cache.loss.losses, x.batch, 1};
    }
    Tokens<4, B> backward(Tokens<1, B>, Cache const& cache, Grad& grad, Context<B>& ctx) const {
        return product.backward(ClassificationLoss<B>{}.template backward<3>(cache.loss),
                                cache.product, grad.product, ctx);
    }
};

} // namespace

TEST_CASE("the classification loss keeps the contract") {
    test::check_layer<4, Losses>({.batch = 4, .length = 1, .cotangent = test::Cotangent::ones});
}

TEST_CASE("the classification loss is a mean of log probabilities and refuses wrong labels") {
    using B = Reference<double>;
    B::Engine engine;
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    std::vector<double> x{0, 0, 1, 3};
    Tokens<2, B> const logits{x.data(), 2, 1};
    ClassificationLoss<B>::Cache cache;
    ClassificationLoss<B> const loss;
    int const right[] = {0, 1};
    loss.forward(logits, right, cache, ctx);
    CHECK(loss.total(cache, ctx) ==
          Approx((std::log(2.0) + std::log(1 + std::exp(-2.0))) / 2).epsilon(1e-14));
    int const outside[] = {0, 2}, negative[] = {-1, 0};
    CHECK_THROWS_AS(loss.forward(logits, outside, cache, ctx), ArgumentError);
    CHECK_THROWS_AS(loss.forward(logits, negative, cache, ctx), ArgumentError);
    CHECK_THROWS_AS(loss.forward(logits, std::span(right, 1), cache, ctx), ArgumentError);
}
