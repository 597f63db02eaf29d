#include <support/catch.hpp>

#include <array>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/layers/linear.hpp>
#include <blip/layers/mlp.hpp>
#include <blip/model/golden_shapes.hpp>
#include <blip/train/adamw.hpp>
#include <support/network.hpp>
#include <support/random_weights.hpp>

using namespace blip;

namespace {

template <int Count, class B>
struct Numbers {
    using backend = B;
    using Grad = Numbers<Count, typename B::gradient>;

    Parameter<B, Count> values;

    static constexpr auto fields() { return std::tuple{Field{"values", &Numbers::values}}; }
};

template <int Count, class B>
void check_trajectory(std::string const& name, nlohmann::json const& json, double tolerance) {
    test::GoldenTensors const in("schedules", "inputs.safetensors");
    test::GoldenTensors const expected("schedules", "expected.safetensors");
    test::Bench<B> bench;
    using Network = Numbers<Count, B>;
    Weights<Network> weights(bench.engine);
    Weights<typename Network::Grad> gradient(bench.engine);
    test::set_parameters(weights, bench.engine, in[name + ".start"].values);
    AdamW<Network> optimizer(bench.engine, {.beta1 = json["betas"][0].get<double>(),
                                            .beta2 = json["betas"][1].get<double>(),
                                            .epsilon = json["eps"].get<double>(),
                                            .weight_decay = json["weight_decay"].get<double>()});
    auto const gradients = in[name + ".gradients"].values;
    auto const row = [](std::vector<double> const& all, std::size_t r) {
        auto const from = all.begin() + static_cast<std::ptrdiff_t>(r) * Count;
        return std::vector<double>(from, from + Count);
    };
    std::size_t step = 0;
    for (auto const& rate : json["lr_per_step"]) {
        INFO(name << ", step " << step + 1);
        test::set_parameters(gradient, bench.engine, row(gradients, step));
        optimizer.step(bench.engine, weights, gradient, rate.get<double>());
        auto const compare = [&](auto const& ours, std::string const& what) {
            CHECK(test::relative_difference(test::parameter_values(ours, bench.engine),
                                            row(expected[name + "." + what].values, step)) <
                  tolerance);
        };
        compare(weights, "values");
        compare(optimizer.first_moment(), "first_moment");
        compare(optimizer.second_moment(), "second_moment");
        ++step;
    }
    CHECK(optimizer.steps() == static_cast<std::int64_t>(step));
}

} // namespace

TEST_CASE("AdamW follows PyTorch's trajectories", "[golden]") {
    test::GoldenTensors const in("schedules", "inputs.safetensors");
    auto const json = test::golden_json("schedules");
    REQUIRE(!json["adamw"].empty());
    for (auto const& run : json["adamw"]) {
        auto const name = "adamw" + std::to_string(run["index"].get<int>());
        REQUIRE(in[name + ".start"].shape[0] == test::golden_schedules_count);
        check_trajectory<test::golden_schedules_count, Reference<double>>(name, run, 1e-12);
        check_trajectory<test::golden_schedules_count, Cpu<float>>(name, run, 1e-4);
    }
}

TEST_CASE("AdamW refuses what it cannot use") {
    using Network = Linear<3, 2, Cpu<float>>;
    Cpu<float>::Engine engine(1);
    CHECK_THROWS_AS(AdamW<Network>(engine, {.beta1 = 1}), ArgumentError);
    CHECK_THROWS_AS(AdamW<Network>(engine, {.epsilon = 0}), ArgumentError);
    CHECK_THROWS_AS(AdamW<Network>(engine, {.weight_decay = -1}), ArgumentError);
    AdamW<Network> optimizer(engine);
    Weights<Network> packed(engine, Layout::panels), gradient(engine);
    CHECK_THROWS_AS(optimizer.step(engine, packed, gradient, 0.1), ArgumentError);
    CHECK(optimizer.steps() == 0);
}

TEST_CASE("AdamW gives the same bits with any number of threads") {
    using Network = Linear<300, 400, Cpu<float>>;
    auto const run = [](std::size_t threads) {
        Cpu<float>::Engine engine(threads);
        Weights<Network> weights(engine), gradient(engine);
        AdamW<Network> optimizer(engine);
        test::randomize(weights, engine, {1, 0});
        for (std::uint64_t step = 0; step < 3; ++step) {
            test::randomize(gradient, engine, {2, step});
            optimizer.step(engine, weights, gradient, 1e-3);
        }
        return test::parameter_values(weights, engine);
    };
    CHECK(run(1) == run(3));
}

namespace {

using Group = Mlp<6, 10, Cpu<float>>;

/// The weights after three steps, by parameter, from the same start with the same gradients.
std::map<std::string, std::vector<float>> trained(ParameterRules const& rules, double rate = 1e-2,
                                                  double decay = 0.5) {
    Cpu<float>::Engine engine(2);
    Weights<Group> weights(engine), gradient(engine);
    test::randomize(weights, engine, {1, 0});
    AdamW<Group> optimizer(engine, {.weight_decay = decay}, rules);
    for (std::uint64_t step = 0; step < 3; ++step) {
        test::randomize(gradient, engine, {2, step});
        optimizer.step(engine, weights, gradient, rate);
    }
    std::map<std::string, std::vector<float>> values;
    for (auto const& p : list_parameters(*weights)) {
        values[p.path].assign(p.data, p.data + p.size);
    }
    return values;
}

} // namespace

TEST_CASE("AdamW treats every parameter as its rule says, to the bit") {
    auto const rules = [](std::string_view path, std::span<int const> shape) {
        if (path == "up.bias")
            return ParameterRule{.rate = 0};
        if (path == "down.weight")
            return ParameterRule{.rate = 0.25};
        return decay_matrices_only(path, shape);
    };
    auto const mixed = trained(rules);
    CHECK(mixed.at("up.weight") == trained({}).at("up.weight"));
    CHECK(mixed.at("up.bias") == trained({}, 0).at("up.bias"));
    CHECK(mixed.at("down.weight") == trained({}, 0.25e-2).at("down.weight"));
    CHECK(mixed.at("down.bias") == trained({}, 1e-2, 0).at("down.bias"));
    CHECK(mixed.at("down.bias") != trained({}).at("down.bias"));
    CHECK(trained([](auto, auto) { return ParameterRule{}; }) == trained({}));
    CHECK_THROWS_AS(trained([](auto, auto) { return ParameterRule{.rate = -1}; }), ArgumentError);
}

TEST_CASE("rates fall layer by layer towards the input") {
    LayerwiseRates const rates{.factor = 0.5, .vision_depth = 4, .text_depth = 2};
    std::array const matrix{3, 3}, vector{3, 1};
    auto const rate = [&](char const* path) { return rates(path, matrix).rate; };
    CHECK(rate("vision.embedding.class_token") == 0.0625);
    CHECK(rate("vision.stack.blocks.0.attention.norm.scale") == 0.125);
    CHECK(rate("vision.stack.blocks.3.mlp.branch.up.weight") == 1);
    CHECK(rate("vision.norm.scale") == 1);
    CHECK(rate("decoder.body.embedding.words") == 0.25);
    CHECK(rate("decoder.body.stack.blocks.0.mlp.norm.shift") == 0.5);
    CHECK(rate("decoder.head.bias") == 1);
    CHECK(rates("temperature", vector).decay);
    CHECK(!LayerwiseRates{.decay_matrices_only = true}("temperature", vector).decay);
    CHECK(decay_matrices_only("vision.embedding.positions", std::array{1, 5, 8}).decay);
    CHECK(!decay_matrices_only("vision.embedding.class_token", std::array{1, 1, 8}).decay);
}
