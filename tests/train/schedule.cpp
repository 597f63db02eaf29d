#include <support/catch.hpp>

#include <cmath>
#include <cstdint>

#include <blip/losses/contrastive.hpp>
#include <blip/train/schedule.hpp>
#include <support/golden.hpp>

using namespace blip;

namespace {

void check_rate(double ours, nlohmann::json const& expected) {
    CHECK(std::abs(ours - expected.get<double>()) <= 1e-15 * std::abs(expected.get<double>()));
}

} // namespace

TEST_CASE("the cosine of fine-tuning follows the authors' recipes", "[golden]") {
    auto const json = test::golden_json("schedules");
    REQUIRE(!json["cosine"].empty());
    for (auto const& recipe : json["cosine"]) {
        INFO(recipe["name"].get<std::string>());
        CosineByEpoch const rate{.initial = recipe["init_lr"].get<double>(),
                                 .floor = recipe["min_lr"].get<double>(),
                                 .epochs = recipe["max_epoch"].get<std::int64_t>(),
                                 .steps_per_epoch = 7};
        std::int64_t epoch = 0;
        for (auto const& expected : recipe["lr_per_epoch"]) {
            check_rate(rate(7 * epoch), expected);
            check_rate(rate(7 * epoch + 6), expected);
            ++epoch;
        }
        CHECK(epoch == rate.epochs);
        CHECK(rate(7 * epoch) == rate.floor);
        CHECK(rate(70 * epoch) == rate.floor);
    }
}

TEST_CASE("warm-up and decay of pre-training follow the authors' recipes", "[golden]") {
    auto const json = test::golden_json("schedules");
    REQUIRE(!json["warmup"].empty());
    for (auto const& recipe : json["warmup"]) {
        WarmupStepDecay const rate{.initial = recipe["init_lr"].get<double>(),
                                   .warmup_steps = recipe["warmup_steps"].get<std::int64_t>(),
                                   .warmup_rate = recipe["warmup_lr"].get<double>(),
                                   .steps_per_epoch = 1'000'000};
        for (std::size_t i = 0; i < recipe["steps"].size(); ++i)
            check_rate(rate(recipe["steps"][i].get<std::int64_t>()), recipe["lr"][i]);
    }
    REQUIRE(!json["step_decay"].empty());
    for (auto const& recipe : json["step_decay"]) {
        WarmupStepDecay const rate{.initial = recipe["init_lr"].get<double>(),
                                   .floor = recipe["min_lr"].get<double>(),
                                   .decay = recipe["decay_rate"].get<double>(),
                                   .warmup_steps = 0,
                                   .steps_per_epoch = 10};
        for (std::size_t i = 0; i < recipe["epochs"].size(); ++i) {
            auto const epoch = recipe["epochs"][i].get<std::int64_t>();
            check_rate(rate(10 * epoch), recipe["lr"][i]);
            check_rate(rate(10 * epoch + 9), recipe["lr"][i]);
        }
    }
}

TEST_CASE("a warm-up longer than the first epoch ends with it") {
    WarmupStepDecay const rate{.initial = 1,
                               .floor = 0,
                               .decay = 0.5,
                               .warmup_steps = 100,
                               .warmup_rate = 0,
                               .steps_per_epoch = 10};
    CHECK(rate(0) == 0);
    CHECK(rate(9) == Approx(0.09));
    CHECK(rate(10) == Approx(0.5));
    CHECK(rate(20) == Approx(0.25));
}

TEST_CASE("warm-up and cosine a step") {
    WarmupCosine const rate{.peak = 2, .floor = 1, .warmup_steps = 4, .steps = 14};
    CHECK(rate(0) == 0.5);
    CHECK(rate(3) == 2);
    CHECK(rate(4) == 2);
    CHECK(rate(9) == Approx(1.5));
    CHECK(rate(14) == Approx(1));
    CHECK(rate(1000) == Approx(1));
    CHECK(WarmupCosine{.peak = 3, .steps = 10}(0) == 3);
    CHECK(Constant{.rate = 0.25}(1'000'000'000'000) == 0.25);
    Schedule const any = rate;
    CHECK(any(3) == 2);
}

TEST_CASE("schedules refuse what has no meaning") {
    CHECK_THROWS_AS(CosineByEpoch{.epochs = 0}(0), ArgumentError);
    CHECK_THROWS_AS(CosineByEpoch{.steps_per_epoch = 0}(0), ArgumentError);
    CHECK_THROWS_AS(CosineByEpoch{}(-1), ArgumentError);
    CHECK_THROWS_AS(WarmupStepDecay{.steps_per_epoch = 0}(0), ArgumentError);
    CHECK_THROWS_AS((WarmupCosine{.warmup_steps = 5, .steps = 5}(0)), ArgumentError);
}
