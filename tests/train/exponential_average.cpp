#include <support/catch.hpp>

#include <algorithm>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/layers/mlp.hpp>
#include <blip/train/exponential_average.hpp>
#include <blip/train/training_state.hpp>
#include <io/files.hpp>
#include <support/random_weights.hpp>

using namespace blip;

namespace {

template <class B>
void check_average(double tolerance) {
    using Network = Mlp<7, 9, B>;
    typename B::Engine engine;
    Weights<Network> weights(engine);
    test::randomize(weights, engine, {0, 0});
    ExponentialAverage<Network> average(engine, weights, 0.3);
    auto expected = test::parameter_values(weights, engine);
    CHECK(test::parameter_values(average.weights(), engine) == expected);
    for (int t = 0; t < 5; ++t) {
        test::randomize(weights, engine, {1, static_cast<std::uint64_t>(t)});
        average.update(engine, weights);
        double const m = std::min(0.3, (1.0 + t) / (10.0 + t));
        auto const now = test::parameter_values(weights, engine);
        for (std::size_t i = 0; i < expected.size(); ++i)
            expected[i] = m * expected[i] + (1 - m) * now[i];
        auto const found = test::parameter_values(average.weights(), engine);
        for (std::size_t i = 0; i < expected.size(); ++i)
            CHECK(found[i] == Approx(expected[i]).epsilon(tolerance).margin(tolerance));
    }
    CHECK(average.updates() == 5);
}

} // namespace

TEST_CASE("an average follows the weights, faster at the beginning") {
    check_average<Reference<double>>(1e-13);
    check_average<Cpu<float>>(1e-6);
}

TEST_CASE("an average takes the place of the weights and gives it back") {
    using B = Cpu<float>;
    using Network = Mlp<7, 9, B>;
    B::Engine engine(1);
    Weights<Network> weights(engine);
    test::randomize(weights, engine, {0, 0});
    ExponentialAverage<Network> average(engine, weights);
    test::randomize(weights, engine, {1, 0});
    average.update(engine, weights);
    auto const trained = test::parameter_values(weights, engine);
    auto const mean = test::parameter_values(average.weights(), engine);
    auto const* const place = weights.data();
    {
        AverageInPlace const exchanged(average, weights);
        CHECK(test::parameter_values(weights, engine) == mean);
        CHECK(weights->up.weight.data == weights.data());
    }
    CHECK(test::parameter_values(weights, engine) == trained);
    CHECK(test::parameter_values(average.weights(), engine) == mean);
    CHECK(weights.data() == place);
    CHECK_THROWS_AS(ExponentialAverage<Network>(engine, weights, 1), ArgumentError);
}

TEST_CASE("an average resumes where it was") {
    using B = Cpu<float>;
    using Network = Mlp<7, 9, B>;
    test::TemporaryFolder folder;
    B::Engine engine(1);
    Weights<Network> start(engine), next(engine);
    test::randomize(start, engine, {0, 0});
    test::randomize(next, engine, {1, 0});
    ExponentialAverage<Network> saved(engine, start), restored(engine, next);
    saved.update(engine, next);
    TrainingState<B> out(engine), in(engine);
    add_parts(out, "average", saved);
    add_parts(in, "average", restored);
    out.save(folder / "state");
    in.restore(folder / "state");
    saved.update(engine, start);
    restored.update(engine, start);
    CHECK(restored.updates() == 2);
    CHECK(test::parameter_values(restored.weights(), engine) ==
          test::parameter_values(saved.weights(), engine));
}
