#include <support/catch.hpp>

#include <cmath>
#include <cstdint>
#include <iterator>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/networks/pretraining_network.hpp>
#include <support/training.hpp>

#if BLIP_HAS_GOLDEN_PRETRAIN_TRAIN
namespace {

using namespace blip;

constexpr char const* name_of_case = "pretrain_train";

template <class B>
void check(test::TrainingTolerance const& tolerance) {
    using Network = PretrainingNetwork<config::golden_pretrain_train, B>;
    auto const steps = test::golden_json(name_of_case)["steps"];
    test::check_training<Network>(
        name_of_case, tolerance, "queue_ptr", [&steps](auto const& network, auto& run) {
            run.options.rule = NegativeRule::momentum;
            auto const loss = [&](SmoothingRule rule) {
                return network.loss(run.images, run.text, *run.settings.enc_id,
                                    *run.settings.dec_id, run.state, run.options,
                                    {.smoothing = run.settings.label_smoothing, .rule = rule},
                                    run.cache, run.bench.context);
            };
            auto const& recorded = steps[run.number - 1];
            if (recorded.contains("loss_lm_with_torch_1_10_0"))
                CHECK(loss(SmoothingRule::torch_1_10).language_modeling ==
                      Approx(recorded["loss_lm_with_torch_1_10_0"].template get<double>())
                          .epsilon(run.tolerance.relative));
            run.cache = {};
            auto const losses = loss(SmoothingRule::ignore_padding);
            run.scalar(losses.contrastive, "loss_ita");
            run.scalar(losses.matching, "loss_itm");
            run.scalar(losses.language_modeling, "loss_lm");
            run.scalar(losses.total(), "loss_total");
            run.same(run.bench.get(run.cache.logits), "output.lm_logits");
        });
}

/// The recorded shares of the momentum distribution lie on one ramp.
void check_ramp() {
    auto const json = test::golden_json(name_of_case);
    auto const steps = json["steps"];
    if (steps.size() < 2)
        return;
    auto const alpha = [&](std::size_t i) { return steps[i]["alpha"].get<double>(); };
    double const rise = alpha(1) - alpha(0);
    if (!(rise > 0))
        return; // recorded after the ramp
    // Any ramp that rises as fast goes through them; one of ten times the length has an end.
    auto const first = std::llround(alpha(0) / rise);
    auto const length = first + 10 * std::ssize(steps);
    for (std::size_t i = 0; i < steps.size(); ++i)
        CHECK(alpha(i) == Approx(ramped_alpha(rise * static_cast<double>(length),
                                              first + static_cast<std::int64_t>(i), length))
                              .epsilon(1e-9));
}

} // namespace

TEST_CASE("recorded shares of the momentum distribution rise as the ramp does", "[golden]") {
    check_ramp();
}

TEST_CASE("three steps of pre-training agree with the authors' release", "[golden]") {
    SECTION("Reference<double>") {
        check<Reference<double>>(test::exact_training());
    }
    SECTION("Cpu<float>") {
        check<Cpu<float>>(test::float_training(name_of_case));
    }
}
#endif
