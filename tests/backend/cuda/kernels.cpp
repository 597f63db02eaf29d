#include "support/catch.hpp"

#include <limits>

#include <blip/backend/reference/reference.hpp>

#include "compare.hpp"
#include "emulated.hpp"

namespace {

using namespace blip;
using namespace blip::test;

static_assert(Backend<Emulated<float, 1>> && Backend<Emulated<double, 4>>);

template <class B>
Results results(std::vector<int> const& widths, int rows) {
    Bench<B> bench;
    bench.everything(widths, rows);
    return bench.results;
}

} // namespace

TEST_CASE("CUDA kernels in a group of one compute what the reference does") {
    std::vector<int> const widths{1, 4, 7, 40};
    auto const expected = results<Reference<double>>(widths, 9);
    CHECK(first_difference(results<Emulated<double, 1>>(widths, 9), expected, 1e-13) == "");
    CHECK(first_difference(results<Emulated<float, 1>>(widths, 9), expected, 3e-6) == "");
}

TEST_CASE("CUDA kernels in a group of four threads compute what the reference does") {
    std::vector<int> const widths{3, 10};
    auto const expected = results<Reference<double>>(widths, 6);
    CHECK(first_difference(results<Emulated<double, 4>>(widths, 6), expected, 1e-13) == "");
}

TEST_CASE("The comparison of kernels notices a wrong number and an unwritten one") {
    Results const expected{{"x", {1.0, 2.0}}};
    CHECK(first_difference({{"x", {1.0, 2.0}}}, expected, 1e-13).empty());
    CHECK_FALSE(first_difference({{"x", {1.0, 2.1}}}, expected, 1e-13).empty());
    double const nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_FALSE(first_difference({{"x", {nan, 2.0}}}, expected, 1e-13).empty());
}

TEST_CASE("Not-a-number scores stay visible in CUDA attention") {
    using B = Emulated<float, 1>;
    float const nan = std::numeric_limits<float>::quiet_NaN();
    float q = nan, k = 1, v = 1, out = 0;
    B::Engine engine;
    B::attention(engine, {.items = 1, .heads = 1, .head_width = 1, .queries = 1, .keys = 1},
                 {&q, 1, 1}, {&k, 1, 1}, {&v, 1, 1}, {&out, 1, 1}, nullptr);
    CHECK(std::isnan(out));
}
