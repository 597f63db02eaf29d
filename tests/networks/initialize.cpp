#include <support/catch.hpp>

#include <algorithm>
#include <cmath>

#include <blip/backend/reference/reference.hpp>
#include <blip/networks/initialize.hpp>
#include <blip/networks/matching_network.hpp>
#include <support/random_weights.hpp>
#include <support/tiny_configs.hpp>

namespace {

using namespace blip;
using B = Reference<double>;

struct sizes {
    struct vision {
        static constexpr int image = 16, patch = 8, width = 24, depth = 1, heads = 3, hidden = 32;
        static constexpr int recompute = 0;
    };
    struct text {
        static constexpr int vocabulary = 2000, positions = 16, width = 24, depth = 1, heads = 3;
        static constexpr int hidden = 32, encoder_width = 24, recompute = 0;
    };
    static constexpr int projection = 10;
};
using Network = MatchingNetwork<sizes, B>;

std::vector<double> initialized(std::uint64_t seed) {
    B::Engine engine;
    Weights<Network> weights(engine);
    initialize(weights, engine, seed);
    return test::parameter_values(weights, engine);
}

} // namespace

TEST_CASE("fresh weights follow the authors' distributions and the seed") {
    B::Engine engine;
    Weights<Network> weights(engine);
    initialize(weights, engine, 3);
    auto const spread = [](double const* values, std::ptrdiff_t count) {
        double squares = 0;
        for (std::ptrdiff_t i = 0; i < count; ++i)
            squares += values[i] * values[i];
        return std::sqrt(squares / static_cast<double>(count));
    };
    // 48,000 numbers: the deviation is known to a third of a per cent.
    CHECK(spread(weights->encoder.embedding.words.data, 2000 * 24) == Approx(0.02).epsilon(0.02));
    // Uniform within 1/√in has deviation 1/√(3 in).
    CHECK(spread(weights->vision.embedding.projection.weight.data, 24 * 3 * 64) ==
          Approx(1 / std::sqrt(3.0 * 192)).epsilon(0.05));
    double const bound = 1 / std::sqrt(24.0);
    double most = 0;
    for (int i = 0; i < 2 * 24; ++i)
        most = std::max(most, std::abs(weights->matching.weight.data[i]));
    CHECK(most <= bound);
    CHECK(most > bound / 2);
    CHECK(std::abs(weights->matching.bias.data[0]) > 0);
    CHECK(weights->encoder.embedding.norm.scale.data[5] == 1);
    CHECK(weights->encoder.embedding.norm.shift.data[5] == 0);
    CHECK(weights->vision.stack.blocks[0].mlp.branch.up.bias.data[3] == 0);
    CHECK(initialized(3) == initialized(3));
    CHECK(initialized(3) != initialized(4));
}
