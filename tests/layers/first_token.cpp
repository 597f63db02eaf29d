#include <support/catch.hpp>

#include <tuple>
#include <vector>

#include <blip/layers/first_token.hpp>
#include <support/check_layer.hpp>

using namespace blip;

namespace {

/// The selection as a layer; its weight only gives the check something to vary.
template <class B>
struct First {
    using backend = B;
    using Grad = First<typename B::gradient>;
    struct Cache {};
    Parameter<B, 1> unused;

    static constexpr auto fields() { return std::tuple{Field{"unused", &First::unused}}; }

    Tokens<4, B> forward(Tokens<4, B> x, Cache&, Context<B>& ctx) const {
        return first_tokens(x, ctx);
    }
    Tokens<4, B> backward(Tokens<4, B> dy, Cache const&, Grad&, Context<B>& ctx) const {
        auto const dx = ctx.template tokens<4>(dy.batch, 3);
        B::zero(ctx.engine, dx.data, dx.size());
        add_to_first_tokens(dy, dx, ctx);
        return dx;
    }
};

} // namespace

TEST_CASE("the first state of every sequence, and its gradient") {
    test::check_layer<4, First>({.batch = 5, .length = 3});
    using B = Reference<double>;
    B::Engine engine;
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    std::vector<double> x{1, 2, 3, 4, 5, 6};
    auto const y = first_tokens(Tokens<1, B>{x.data(), 2, 3}, ctx);
    CHECK((y.batch == 2 && y.length == 1 && y.data[0] == 1 && y.data[1] == 4));
}
