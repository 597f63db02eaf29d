#include <support/catch.hpp>

#include <algorithm>
#include <cmath>
#include <set>

#include <blip/layers/dropout.hpp>
#include <support/check_layer.hpp>

using namespace blip;
using R = Reference<double>;

template <class B>
using Element = Dropout<B>;

namespace {

auto probability(double p) {
    return [p](auto& layer) { layer.probability = p; };
}

/// One call on ones: what each number is multiplied by.
template <class Layer>
std::vector<double> factors(double p, int batch, int length, RandomKey random,
                            std::uint64_t draws) {
    R::Engine engine;
    Arena<R> arena;
    Context<R> ctx{engine, arena, Keep::everything, Mode::train, random, draws};
    std::vector<double> x(static_cast<std::size_t>(batch * length * 3), 1.0);
    Layer const layer{p};
    typename Layer::Cache cache;
    auto const y = layer.forward(Tokens<3, R>{x.data(), batch, length}, cache, ctx);
    return {y.data, y.data + y.size()};
}

} // namespace

TEST_CASE("dropout keeps the contract in training and in evaluation") {
    test::check_layer<3, Element>({.mode = Mode::train}, probability(0.4));
    test::check_layer<3, DropPath>({.batch = 16, .length = 2, .mode = Mode::train},
                                   probability(0.4));
    test::check_layer<3, Element>({}, probability(0.4));
    test::check_layer<3, Element>({.mode = Mode::train}, probability(0));
}

TEST_CASE("dropout hands its input through where it does not act") {
    R::Engine engine;
    Arena<R> arena;
    std::vector<double> x(6, 1.0);
    auto const check = [&](double p, Mode mode) {
        Context<R> ctx{engine, arena, Keep::everything, mode};
        Dropout<R>::Cache cache;
        Dropout<R> const layer{p};
        Dropout<R>::Grad grad;
        CHECK(layer.forward(Tokens<3, R>{x.data(), 1, 2}, cache, ctx).data == x.data());
        CHECK(layer.backward(Tokens<3, R>{x.data(), 1, 2}, cache, grad, ctx).data == x.data());
        CHECK(ctx.draws == 0);
    };
    check(0.5, Mode::evaluate);
    check(0, Mode::train);
}

TEST_CASE("dropout scales what it keeps, at the rate it was given") {
    for (double p : {0.1, 0.5, 0.9}) {
        auto const all = factors<Dropout<R>>(p, 100, 100, {7, 0}, 0);
        double kept = 0;
        for (double f : all) {
            if (f != 0) {
                CHECK(f == Approx(1 / (1 - p)).epsilon(1e-15));
                ++kept;
            }
        }
        double const n = static_cast<double>(all.size());
        // Six standard deviations of a binomial count.
        CHECK(std::abs(kept - n * (1 - p)) < 6 * std::sqrt(n * p * (1 - p)));
    }
}

TEST_CASE("drop path decides for whole items") {
    int const batch = 2000, length = 4;
    auto const all = factors<DropPath<R>>(0.3, batch, length, {7, 0}, 0);
    double kept = 0;
    for (auto item = all.begin(); item != all.end(); item += 3 * length) {
        CHECK(std::all_of(item, item + 3 * length, [&](double f) { return f == *item; }));
        kept += *item != 0;
    }
    CHECK(std::abs(kept - batch * 0.7) < 6 * std::sqrt(batch * 0.3 * 0.7));
}

TEST_CASE("dropout replays from its key and draws anew in each call") {
    auto const first = factors<Dropout<R>>(0.5, 4, 8, {7, 0}, 0);
    CHECK(factors<Dropout<R>>(0.5, 4, 8, {7, 0}, 0) == first);
    std::set<std::vector<double>> different{first};
    different.insert(factors<Dropout<R>>(0.5, 4, 8, {7, 0}, 1));
    different.insert(factors<Dropout<R>>(0.5, 4, 8, {8, 0}, 0));
    different.insert(factors<Dropout<R>>(0.5, 4, 8, {7, 1}, 0));
    CHECK(different.size() == 4);
}
