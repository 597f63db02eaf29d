#include <support/catch.hpp>

#include <blip/layers/unit_rows.hpp>
#include <support/check_layer.hpp>

using namespace blip;

namespace {

template <class B>
using Rows = UnitRows<7, B>;

} // namespace

TEST_CASE("unit rows keep the contract") {
    test::check_layer<7, Rows>();
    // An ε above some of the rows' lengths: those are divided by ε alone.
    test::check_layer<7, Rows>({}, [](auto& layer) { layer.epsilon = 1.5; });
}

TEST_CASE("unit rows have length 1, and a row of zeros stays zero") {
    using B = Reference<double>;
    B::Engine engine;
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    std::vector<double> x{3, 4, 0, 0, 1e-30, 0};
    UnitRows<2, B>::Cache cache;
    auto const y = UnitRows<2, B>{}.forward({x.data(), 3, 1}, cache, ctx);
    CHECK(y.data[0] == Approx(0.6).epsilon(1e-15));
    CHECK(y.data[1] == Approx(0.8).epsilon(1e-15));
    CHECK((y.data[2] == 0 && y.data[3] == 0));
    CHECK(y.data[4] == Approx(1e-18).epsilon(1e-15));
}
