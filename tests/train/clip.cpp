#include <support/catch.hpp>

#include <cmath>
#include <limits>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/layers/mlp.hpp>
#include <blip/train/clip.hpp>
#include <support/random_weights.hpp>

using namespace blip;

namespace {

template <class B>
void check_clipping(double tolerance) {
    using Gradient = Mlp<11, 23, B>;
    typename B::Engine engine;
    Weights<Gradient> gradient(engine);
    test::randomize(gradient, engine, {1, 0});
    auto const before = test::parameter_values(gradient, engine);
    double squares = 0;
    for (double const x : before)
        squares += x * x;
    double const norm = std::sqrt(squares);
    CHECK(gradient_norm(engine, gradient) == Approx(norm).epsilon(tolerance));

    CHECK(clip_gradient(engine, gradient, 2 * norm) == Approx(norm).epsilon(tolerance));
    CHECK(test::parameter_values(gradient, engine) == before);
    CHECK(clip_gradient(engine, gradient, std::numeric_limits<double>::infinity()) ==
          Approx(norm).epsilon(tolerance));
    CHECK(test::parameter_values(gradient, engine) == before);

    CHECK(clip_gradient(engine, gradient, norm / 4) == Approx(norm).epsilon(tolerance));
    auto const after = test::parameter_values(gradient, engine);
    for (std::size_t i = 0; i < before.size(); ++i)
        CHECK(after[i] ==
              Approx(before[i] * (norm / 4) / (norm + 1e-6)).epsilon(tolerance).margin(1e-12));
}

} // namespace

TEST_CASE("clipping shortens a gradient to the largest norm, and no other") {
    check_clipping<Reference<double>>(1e-12);
    check_clipping<Cpu<float>>(1e-5);
}

TEST_CASE("a gradient that is not finite is reported and left alone") {
    using B = Cpu<float>;
    B::Engine engine(2);
    for (float const bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        Weights<Linear<40, 50, B>> gradient(engine);
        test::randomize(gradient, engine, {1, 0});
        gradient->weight.data[1234] = bad;
        float const other = gradient->weight.data[7];
        CHECK(!std::isfinite(clip_gradient(engine, gradient, 1e-3)));
        CHECK(gradient->weight.data[7] == other);
    }
    Weights<Linear<4, 5, B>> gradient(engine);
    CHECK(clip_gradient(engine, gradient, 1) == 0);
    CHECK_THROWS_AS(clip_gradient(engine, gradient, 0), ArgumentError);
    CHECK_THROWS_AS(clip_gradient(engine, gradient, std::nan("")), ArgumentError);
}
