#include <support/catch.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/config/presets.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/caption_objective.hpp>
#include <blip/models/captioner.hpp>
#include <blip/train/adamw.hpp>
#include <support/objective.hpp>
#include <support/tiny_models.hpp>

namespace {

using namespace blip;
using test::outcome;

using C = test::tiny_model;
using Trainer = CaptionObjective<C, Cpu<float>>;

CaptionBatch tiny_batch() {
    return {test::noise(3), {"word8 word9", "word10 word11 a word12", "word13"}};
}

ObjectiveOptions<Cpu<float>> dropping(std::uint64_t seed = 3) {
    ObjectiveOptions<Cpu<float>> options;
    options.drop_path = 0.4;
    options.dropout = 0.1;
    options.seed = seed;
    return options;
}

template <class Objective = Trainer>
Objective fresh(ObjectiveOptions<Cpu<float>> const& options = dropping(),
                CaptionTraining const& how = {.prompt = "a photo of "}) {
    return Objective::from_scratch({}, test::tiny_words(), {.size = 24}, options, how);
}

std::vector<CaptionBatch> in_parts(CaptionBatch const& batch, std::size_t first) {
    auto const rest = batch.captions.size() - first;
    auto const middle = batch.captions.begin() + static_cast<std::ptrdiff_t>(first);
    return {{items_of(batch.pixels, 0, first), {batch.captions.begin(), middle}},
            {items_of(batch.pixels, first, rest), {middle, batch.captions.end()}}};
}

} // namespace

TEST_CASE("a captioner trained from scratch says what it was taught") {
    ObjectiveOptions<Cpu<float>> options;
    options.dropout = 0;
    auto trainer = fresh(options);
    auto const batch = tiny_batch();
    AdamW<Trainer::Network> optimizer(trainer.engine());
    Captioner<C, Cpu<float>> const captioner(trainer.shared());
    auto const loss = [&] { return trainer.step(batch).total(); };
    double const first = loss();
    for (int i = 0; i < 150; ++i) {
        optimizer.step(trainer.engine(), trainer.weights(), trainer.gradient(), 3e-3);
        loss();
    }
    CHECK(loss() < first / 4);
    CHECK(trainer.steps() == 152);
    // The captioner was built before: it sees the weights as they are now.
    auto const captions =
        captioner.generate(batch.pixels, {.prompt = "a photo of ", .min_length = 0});
    for (std::size_t i = 0; i < captions.size(); ++i)
        CHECK(captions[i].front().text == batch.captions[i]);
    CHECK(trainer.peak_bytes() > 0);
    trainer.for_each_state([](auto const&...) { FAIL("there is nothing beside the weights"); });
}

TEST_CASE("the weights of training from scratch are the seed's") {
    auto const weights = [](std::optional<std::uint64_t> fresh_seed, std::uint64_t seed) {
        ObjectiveOptions<Cpu<float>> options;
        options.fresh_seed = fresh_seed;
        options.seed = seed;
        auto trainer = fresh(options);
        CHECK(trainer.settings().pad_id == trainer.tokenizer().vocabulary().special().pad);
        return test::parameter_values(trainer.weights(), trainer.engine());
    };
    CHECK(weights({}, 1) == weights(1, 2));
    CHECK(weights({}, 1) != weights({}, 2));
}

TEST_CASE("captions in parts give the losses and gradients of the whole batch") {
    using B = Reference<double>;
    ObjectiveOptions<B> options;
    options.dropout = 0;
    auto const batch = tiny_batch();
    for (double const hidden : {0.0, 0.5}) {
        auto trainer =
            CaptionObjective<C, B>::from_scratch({}, test::tiny_words(), {.size = 24}, options,
                                                 {.prompt = "a photo of ", .word_dropout = hidden});
        for (auto const rule : {SmoothingRule::ignore_padding, SmoothingRule::torch_1_10}) {
            auto const step = [&](std::span<CaptionBatch const> parts) {
                trainer.resume_at(7); // the same words are hidden
                return outcome(trainer, parts, {.rule = rule});
            };
            auto const whole = step(std::span(&batch, 1));
            for (std::size_t const first : {std::size_t{1}, std::size_t{2}})
                CHECK(test::relative_difference(step(in_parts(batch, first)), whole) < 1e-12);
        }
    }
}

TEST_CASE("word dropout hides words from a captioner in training, named by seed and step") {
    auto const batch = tiny_batch();
    auto const run = [&](double hidden, std::uint64_t seed, std::int64_t step) {
        ObjectiveOptions<Cpu<float>> options;
        options.dropout = 0;
        options.fresh_seed = 1;
        options.seed = seed;
        auto trainer = fresh(options, {.prompt = "a photo of ", .word_dropout = hidden});
        trainer.resume_at(step);
        return outcome(trainer, std::span(&batch, 1));
    };
    auto const plain = run(0, 1, 0);
    CHECK(plain == run(0, 2, 3));
    CHECK(run(0.5, 1, 0) != plain);
    CHECK(run(0.5, 1, 0) == run(0.5, 1, 0));
    CHECK(run(0.5, 1, 0) != run(0.5, 2, 0));
    CHECK(run(0.5, 1, 0) != run(0.5, 1, 1));
    for (double const none : {-0.1, 1.0})
        CHECK_THROWS_AS(run(none, 1, 0), ArgumentError);
}

TEST_CASE("recomputed blocks give a captioner's training the same bits for less memory") {
    auto const batch = tiny_batch();
    auto const run = [&]<class Config>(std::type_identity<Config>) {
        auto trainer = fresh<CaptionObjective<Config, Cpu<float>>>();
        auto all = outcome(trainer, in_parts(batch, 1));
        auto const second = outcome(trainer, std::span(&batch, 1));
        all.insert(all.end(), second.begin(), second.end());
        return std::pair{all, trainer.peak_bytes()};
    };
    auto const [kept, memory] = run(std::type_identity<C>{});
    auto const [again, less] = run(std::type_identity<config::recomputed<C>>{});
    CHECK(kept == again);
    CHECK(less < memory);
}

TEST_CASE("a captioner's training gives the same bits with any number of threads") {
    auto const run = [](std::size_t threads) {
        auto options = dropping();
        options.engine = Cpu<float>::Engine(threads);
        auto trainer = fresh(options);
        return outcome(trainer, in_parts(tiny_batch(), 2));
    };
    CHECK(run(1) == run(3));
}

TEST_CASE("a captioner's training resumed draws what it would have drawn") {
    auto const batch = tiny_batch();
    auto trainer = fresh();
    auto const first = outcome(trainer, std::span(&batch, 1));
    auto const second = outcome(trainer, std::span(&batch, 1));
    CHECK(first != second); // other units are dropped
    auto resumed = fresh();
    resumed.resume_at(1);
    CHECK(outcome(resumed, std::span(&batch, 1)) == second);
    resumed.resume_at(0);
    CHECK(outcome(resumed, std::span(&batch, 1)) == first);
}

TEST_CASE("dropout and stochastic depth of a captioner act in training and are named by the seed") {
    auto const batch = tiny_batch();
    auto const run = [&](double dropout, double drop_path, std::uint64_t seed) {
        auto options = dropping(seed);
        options.fresh_seed = 1;
        options.dropout = dropout;
        options.drop_path = drop_path;
        auto trainer = fresh(options);
        CHECK(trainer.settings().hidden_dropout == dropout);
        return outcome(trainer, std::span(&batch, 1));
    };
    auto const plain = run(0, 0, 1);
    CHECK(plain == run(0, 0, 2));
    CHECK(run(0.1, 0, 1) != plain);
    CHECK(run(0.1, 0, 1) != run(0.1, 0, 2));
    CHECK(run(0, 0.5, 1) != plain);
    CHECK(run(0, 0.5, 1) != run(0, 0.5, 2));
    // By default the settings say it, and those of the authors say 0.1.
    ObjectiveOptions<Cpu<float>> options;
    options.fresh_seed = 1;
    options.seed = 1;
    auto trainer = fresh(options);
    CHECK(outcome(trainer, std::span(&batch, 1)) == run(0.1, 0, 1));
    // Parts draw on their own: two equal ones differ.
    CaptionBatch const twice[] = {batch, batch};
    options = dropping();
    auto both = fresh(options);
    auto once = fresh(options);
    CHECK(outcome(both, std::span(twice)).front() !=
          Approx(outcome(once, std::span(&batch, 1)).front()).epsilon(1e-6));
}

TEST_CASE("captions that cannot be learnt are refused before anything changes") {
    auto trainer = fresh();
    auto const batch = tiny_batch();
    auto const before = outcome(trainer, std::span(&batch, 1));
    auto const refused = [&](CaptionBatch const& bad, std::string const& why) {
        CaptionBatch const parts[] = {batch, bad};
        CHECK(test::message_of([&] { trainer.step(std::span(parts)); }).find(why) !=
              std::string::npos);
        CHECK(trainer.steps() == 1);
        CHECK(test::gradient_values(trainer) ==
              std::vector<double>(before.begin() + 1, before.end()));
    };
    refused({test::noise(2), {"word8"}}, "2 pictures, 1 captions");
    refused({test::noise(1, 32), {"word8"}}, "expected pixels [n, 3, 24, 24]");
    refused({test::noise(1), {"\xff"}}, "text 3 of 4");
    CHECK(test::message_of([&] {
              trainer.step(std::span<CaptionBatch const>{});
          }).find("no batch") != std::string::npos);
    auto short_text = dropping();
    short_text.text_length = 4;
    CHECK(test::message_of([&] { fresh(short_text); }).find("none is left to learn") !=
          std::string::npos);
    short_text.text_length = 1;
    CHECK_THROWS_AS(fresh(short_text), ArgumentError);
    auto glued = fresh(dropping(), {.prompt = "a photo"});
    CHECK(test::message_of([&] {
              glued.step(CaptionBatch{test::noise(1), {"graph"}});
          }).find("let it end with a space") != std::string::npos);
    auto options = dropping();
    options.dropout = 1;
    CHECK_THROWS_AS(fresh(options), ArgumentError);
    CHECK_THROWS_AS(Trainer::from_scratch({}, test::tiny_words(), {.size = 32}), ConfigError);
    CHECK_THROWS_AS(Trainer::from_scratch({}, Tokenizer(bert_base_uncased()), {.size = 24}),
                    ConfigError);
}

#if BLIP_HAS_GOLDEN_CAPTIONER_TRAIN
namespace {

template <class B>
void check_golden(double tolerance, double parts_tolerance) {
    std::string const name = "captioner_train";
    auto const json = test::golden_json(name);
    test::GoldenTensors const inputs(name, "inputs.safetensors");
    test::GoldenTensors const expected(name, "expected.safetensors");
    auto const prompt = json["prompt"].get<std::string>();
    CaptionBatch batch{test::golden_pixels(inputs, "image"), {}};
    for (auto const& caption : json["captions"].get<std::vector<std::string>>()) {
        REQUIRE(caption.starts_with(prompt));
        batch.captions.push_back(caption.substr(prompt.size()));
    }
    ObjectiveOptions<B> options;
    options.drop_path = 0;
    options.dropout = 0;
    auto trainer = CaptionObjective<config::golden_captioner_train, B>::load(
        test::golden_file(name, ""), options, {.prompt = prompt});
    CHECK(trainer.report().fresh.empty());
    if (json.contains("loss_with_torch_1_10_0"))
        CHECK(trainer.step(batch, {.rule = SmoothingRule::torch_1_10}).total() ==
              Approx(json["loss_with_torch_1_10_0"].template get<double>()).epsilon(tolerance));
    CHECK(trainer.step(batch).total() == Approx(expected["loss"].values[0]).epsilon(tolerance));
    std::string worst;
    double off = test::golden_gradient_difference(trainer, expected, worst);
    INFO("worst gradient: " << worst);
    CHECK(off < tolerance);
    if (batch.captions.size() < 2)
        return;
    CHECK(trainer.step(std::span<CaptionBatch const>(in_parts(batch, 1))).total() ==
          Approx(expected["loss"].values[0]).epsilon(parts_tolerance));
    off = test::golden_gradient_difference(trainer, expected, worst);
    INFO("worst gradient in parts: " << worst);
    CHECK(off < parts_tolerance);
}

} // namespace

TEST_CASE("a caption objective's step agrees with the authors' release", "[golden]") {
    check_golden<Reference<double>>(1e-9, 1e-9);
    check_golden<Cpu<float>>(1e-4, 1e-4);
}
#endif
