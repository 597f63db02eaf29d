#include <support/catch.hpp>

#include <blip/backend/reference/reference.hpp>
#include <blip/layers/repeat_items.hpp>
#include <support/random_weights.hpp>

using namespace blip;

namespace {

using B = Reference<double>;
constexpr int counts[] = {2, 0, 3};

} // namespace

TEST_CASE("items are repeated one after another") {
    B::Engine engine;
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(3 * 2 * 4, {1, 0});
    auto const y = repeat_items(Tokens<4, B>{x.data(), 3, 2}, counts, ctx);
    REQUIRE((y.batch == 5 && y.length == 2));
    constexpr std::size_t sources[] = {0, 0, 2, 2, 2};
    for (int i = 0; i < 5; ++i)
        for (std::size_t c = 0; c < 8; ++c)
            CHECK(y.items(i, 1).data[c] == x[sources[i] * 8 + c]);
}

TEST_CASE("the backward of repeating is its transpose") {
    B::Engine engine;
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(3 * 2 * 4, {2, 0}), u = test::random_values(5 * 2 * 4, {3, 0});
    auto const y = repeat_items(Tokens<4, B>{x.data(), 3, 2}, counts, ctx);
    auto const dx = repeat_items_backward(Tokens<4, B>{u.data(), 5, 2}, counts, ctx);
    REQUIRE((dx.batch == 3 && dx.length == 2));
    double forward = 0, backward = 0;
    for (std::ptrdiff_t i = 0; i < y.size(); ++i)
        forward += u[static_cast<std::size_t>(i)] * y.data[i];
    for (std::ptrdiff_t i = 0; i < dx.size(); ++i)
        backward += dx.data[i] * x[static_cast<std::size_t>(i)];
    CHECK(forward == Approx(backward).epsilon(1e-14));
    for (std::size_t c = 0; c < 8; ++c)
        CHECK(dx.items(1, 1).data[c] == 0);
}

TEST_CASE("repeating needs a count for every item") {
    B::Engine engine;
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto x = test::random_values(3 * 2 * 4, {4, 0});
    constexpr int negative[] = {1, -1, 1};
    CHECK_THROWS_AS(repeat_items(Tokens<4, B>{x.data(), 2, 2}, counts, ctx), ArgumentError);
    CHECK_THROWS_AS(repeat_items(Tokens<4, B>{x.data(), 3, 2}, negative, ctx), ArgumentError);
}
