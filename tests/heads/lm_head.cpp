#include <support/catch.hpp>

#include <tuple>

#include <blip/heads/lm_head.hpp>
#include <support/check_layer.hpp>

using namespace blip;

namespace {

/// The head together with the table that it borrows, so that both gradients are checked.
template <class B>
struct Owned {
    using backend = B;
    using Head = LmHead<9, 4, B>;
    using Grad = Owned<typename B::gradient>;
    using Cache = typename Head::Cache;

    Weight<B, 9, 4> table;
    Head head;

    static constexpr auto fields() {
        return std::tuple{Field{"table", &Owned::table}, Field{"head", &Owned::head}};
    }

    Tokens<9, B> forward(Tokens<4, B> x, Cache& cache, Context<B>& ctx) const {
        return head.forward(x, table, cache, ctx);
    }
    Tokens<4, B> backward(Tokens<9, B> dy, Cache const& cache, Grad& grad, Context<B>& ctx) const {
        return head.backward(dy, table, cache, grad.head, grad.table, ctx);
    }
};

} // namespace

TEST_CASE("the language-model head keeps the contract, the borrowed table included") {
    test::check_layer<4, Owned>();
}

TEST_CASE("the head's logits are table times hidden plus bias") {
    using B = Reference<double>;
    B::Engine engine;
    Weights<Owned<B>> weights(engine);
    test::randomize(weights, engine, {1, 0});
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(12, {2, 0});
    Owned<B>::Cache cache;
    auto const y = weights->forward({x.data(), 1, 3}, cache, ctx);
    for (int r = 0; r < 3; ++r)
        for (int v = 0; v < 9; ++v) {
            double wanted = weights->head.bias.data[v];
            for (int c = 0; c < 4; ++c)
                wanted += cache.hidden.data[r * 4 + c] * weights->table.data[v * 4 + c];
            CHECK(y.data[r * 9 + v] == Approx(wanted).epsilon(1e-14));
        }
}
