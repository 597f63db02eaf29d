#include <support/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/pretrainer.hpp>
#include <blip/models/retrieval_objective.hpp>
#include <blip/train/adamw.hpp>
#include <io/files.hpp>
#include <support/objective.hpp>
#include <support/random_weights.hpp>
#include <support/training.hpp>

namespace {

using namespace blip;
namespace fs = std::filesystem;

/// The recorded first steps of a training case, from captions and pictures.
struct Recorded {
    explicit Recorded(std::string const& name_of_case)
        : name(name_of_case), json(test::golden_json(name)), inputs(name, "inputs.safetensors"),
          expected(name, "expected.safetensors") {}

    std::string step(std::size_t number) const { return "step" + std::to_string(number + 1); }
    Pixels pixels(std::size_t number) const {
        return test::golden_pixels(inputs, step(number) + ".image");
    }
    std::vector<std::string> captions(std::size_t number) const {
        return json["steps"][number]["captions"].get<std::vector<std::string>>();
    }
    std::vector<std::int64_t> ids(std::size_t number) const {
        return inputs.integers(step(number) + ".idx");
    }
    StepOptions options(std::size_t number) const {
        return {.alpha = json["steps"][number]["alpha"].get<double>(),
                .momentum = json["momentum"].get<double>(),
                .negatives = test::golden_negatives(inputs, step(number))};
    }
    double loss(std::size_t number, char const* part) const {
        return expected[step(number) + "." + part].values[0];
    }
    std::string name;
    nlohmann::json json;
    test::GoldenTensors inputs, expected;
};

/// A folder with a fixture's small files, into which checkpoints are saved.
struct Folder {
    explicit Folder(std::string const& name) {
        for (auto const* file : {"config.json", "vocab.txt"})
            fs::copy_file(test::golden_file(name, file), path() / file);
    }
    fs::path const& path() const { return folder.path(); }

    test::TemporaryFolder folder;
};

template <class Objective>
std::vector<double> numbers(Objective& objective) {
    auto all = test::parameter_values(objective.weights(), objective.engine());
    auto const teacher =
        test::parameter_values(objective.state().teacher.weights(), objective.engine());
    all.insert(all.end(), teacher.begin(), teacher.end());
    auto const& queue = objective.state().queue;
    for (auto const part : {queue.image(), queue.text()})
        all.insert(all.end(), part.data, part.data + queue.size);
    return all;
}

std::string message(auto const& call) {
    return test::message_of(call);
}

template <class Objective>
void optimize(Objective& objective, AdamW<typename Objective::Network>& optimizer) {
    optimizer.step(objective.engine(), objective.weights(), objective.gradient(), 1e-3);
}

/// All recorded steps from captions and pictures, with the optimizer's between them: losses, and
/// gradients where they are recorded. `step(number)` takes one.
template <class Objective>
void check_steps(Recorded const& recorded, Objective& objective, auto const& step,
                 std::vector<std::string> const& names) {
    auto const& rule = recorded.json["optimizer"];
    AdamW<typename Objective::Network> optimizer(
        objective.engine(), {.beta1 = rule["betas"][0].get<double>(),
                             .beta2 = rule["betas"][1].get<double>(),
                             .epsilon = rule["eps"].get<double>(),
                             .weight_decay = rule["weight_decay"].get<double>()});
    std::size_t compared = 0;
    for (std::size_t number = 0; number < recorded.json["steps"].size(); ++number) {
        INFO(recorded.step(number));
        auto const losses = step(number).named();
        REQUIRE(losses.size() == names.size());
        for (std::size_t i = 0; i < names.size(); ++i)
            CHECK(losses[i].second ==
                  Approx(recorded.loss(number, names[i].c_str())).epsilon(1e-4));
        if (recorded.expected.has(recorded.step(number) + ".grad.temp")) {
            test::Bench<typename Objective::backend> bench;
            std::string worst;
            double const off = test::gradient_difference(
                objective.gradient(), bench, recorded.expected, recorded.step(number) + ".grad.",
                [](auto const& path) { return checkpoint_names(path, Naming::original); }, worst);
            INFO("worst gradient: " << worst);
            CHECK(off < 1e-4);
            ++compared;
        }
        optimizer.step(objective.engine(), objective.weights(), objective.gradient(),
                       rule["lr"].get<double>());
    }
    CHECK(compared > 0);
}

} // namespace

#if BLIP_HAS_GOLDEN_PRETRAIN_TRAIN
using Trainer = Pretrainer<config::golden_pretrain_train, Cpu<float>>;

TEST_CASE("a pre-trainer's first step from captions agrees with the authors' release", "[golden]") {
    Recorded const recorded("pretrain_train");
    auto trainer = Trainer::load(test::golden_file(recorded.name, ""));
    CHECK(trainer.report().fresh.empty());
    CHECK(trainer.report().extra.empty());
    auto const losses = trainer.step(recorded.pixels(0), recorded.captions(0), recorded.options(0));
    CHECK(losses.contrastive == Approx(recorded.loss(0, "loss_ita")).epsilon(1e-4));
    CHECK(losses.matching == Approx(recorded.loss(0, "loss_itm")).epsilon(1e-4));
    CHECK(losses.language_modeling == Approx(recorded.loss(0, "loss_lm")).epsilon(1e-4));
    CHECK(losses.total() == Approx(recorded.loss(0, "loss_total")).epsilon(1e-4));
    CHECK(trainer.steps() == 1);
}

TEST_CASE("a pre-trainer's steps from captions agree with the authors' release", "[golden]") {
    Recorded const recorded("pretrain_train");
    auto trainer = Trainer::load(test::golden_file(recorded.name, ""));
    auto const step = [&](std::size_t i) {
        return trainer.step(CaptionBatch{recorded.pixels(i), recorded.captions(i)},
                            recorded.options(i));
    };
    check_steps(recorded, trainer, step, {"loss_ita", "loss_itm", "loss_lm"});
}

TEST_CASE("pre-training goes on from a saved checkpoint as if it had not stopped", "[golden]") {
    Recorded const recorded("pretrain_train");
    Folder const folder(recorded.name);
    auto trainer = Trainer::load(test::golden_file(recorded.name, ""));
    AdamW<Trainer::Network> optimizer(trainer.engine());
    auto options = recorded.options(0);
    options.negatives.reset(); // drawn ones continue too
    trainer.step(recorded.pixels(0), recorded.captions(0), options);
    optimize(trainer, optimizer);
    trainer.save(folder.path() / "checkpoint.pth");
    auto resumed = Trainer::load(folder.path());
    resumed.resume_at(trainer.steps());
    CHECK(resumed.report().fresh.empty());
    CHECK(resumed.state().queue.pointer() == trainer.state().queue.pointer());
    CHECK(numbers(resumed) == numbers(trainer));
    auto const a = trainer.step(recorded.pixels(1), recorded.captions(1), options);
    auto const b = resumed.step(recorded.pixels(1), recorded.captions(1), options);
    CHECK(a.total() == b.total());
    CHECK(numbers(resumed) == numbers(trainer));
    CHECK(test::parameter_values(resumed.gradient(), resumed.engine()) ==
          test::parameter_values(trainer.gradient(), trainer.engine()));
}

TEST_CASE("pre-training gives the same bits with any number of threads", "[golden]") {
    Recorded const recorded("pretrain_train");
    auto const run = [&](std::size_t threads) {
        ObjectiveOptions<Cpu<float>> options;
        options.engine = Cpu<float>::Engine(threads);
        auto trainer = Trainer::load(test::golden_file(recorded.name, ""), options);
        trainer.step(recorded.pixels(0), recorded.captions(0), recorded.options(0));
        auto all = numbers(trainer);
        auto const gradient = test::parameter_values(trainer.gradient(), trainer.engine());
        all.insert(all.end(), gradient.begin(), gradient.end());
        return all;
    };
    CHECK(run(1) == run(3));
}

TEST_CASE("two unequal copies of a shared tensor are an error", "[golden]") {
    Recorded const recorded("pretrain_train");
    Folder const folder(recorded.name);
    using Apart = Pretrainer<config::golden_pretrain_train, Cpu<float>, share::nothing>;
    auto apart = Apart::load(test::golden_file(recorded.name, ""));
    apart.weights()->decoder.body.stack.blocks[0].mlp.norm.scale.data[0] += 1;
    apart.save(folder.path() / "checkpoint.pth");
    CHECK_NOTHROW(Apart::load(folder.path()));
    CHECK(message([&] { Trainer::load(folder.path()); })
              .find("text_decoder.bert.encoder.layer.0.output.LayerNorm.weight differs from "
                    "text_encoder.encoder.layer.0.output.LayerNorm.weight") != std::string::npos);
}

TEST_CASE("batches that do not fit the queue are refused before anything changes", "[golden]") {
    Recorded const recorded("pretrain_train");
    auto trainer = Trainer::load(test::golden_file(recorded.name, ""));
    auto const before = numbers(trainer);
    int odd = 2;
    while (config::golden_pretrain_train::queue % odd == 0)
        ++odd;
    constexpr auto side = static_cast<std::size_t>(Trainer::image_size);
    Pixels const pixels(Pixels::shape_type{static_cast<std::size_t>(odd), 3, side, side});
    std::vector<std::string> const captions(static_cast<std::size_t>(odd), "a dog");
    CHECK(message([&] {
              trainer.step(pixels, captions);
          }).find("must be a multiple of the number of pictures") != std::string::npos);
    CHECK_THROWS_AS(
        trainer.step(Pixels(Pixels::shape_type{2, 3, side, side + 1}), std::vector<std::string>(2)),
        ArgumentError);
    CHECK(numbers(trainer) == before);
}

TEST_CASE("batches that cannot be learnt from are refused before anything changes", "[golden]") {
    Recorded const recorded("pretrain_train");
    auto trainer = Trainer::load(test::golden_file(recorded.name, ""));
    auto const pixels = recorded.pixels(0);
    auto const captions = recorded.captions(0);
    auto const good = recorded.options(0);
    trainer.step(pixels, captions, good);
    auto const before = numbers(trainer);
    auto const gradient = test::parameter_values(trainer.gradient(), trainer.engine());
    auto const refused = [&](Pixels const& some, auto const& text, StepOptions const& options) {
        CHECK_THROWS_AS(trainer.step(some, text, options), ArgumentError);
        CHECK(numbers(trainer) == before);
        CHECK(test::parameter_values(trainer.gradient(), trainer.engine()) == gradient);
        CHECK(trainer.steps() == 1);
    };
    refused(items_of(pixels, 0, 1), std::vector<std::string>{captions[0]}, {});
    for (double const share : {-0.1, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
        auto options = good;
        options.alpha = share;
        refused(pixels, captions, options);
        options = good;
        options.momentum = share;
        refused(pixels, captions, options);
    }
    for (auto const chosen : {&Negatives::image_for_text, &Negatives::text_for_image}) {
        auto options = good;
        ((*options.negatives).*chosen).push_back(0);
        refused(pixels, captions, options);
        for (int const outside : {-1, static_cast<int>(captions.size())}) {
            options = good;
            ((*options.negatives).*chosen).back() = outside;
            refused(pixels, captions, options);
        }
    }
    auto const batch = static_cast<int>(captions.size());
    auto const text = [&](int length, int id) {
        auto const count = static_cast<std::size_t>(batch * length);
        return TokenBatch{std::vector<int>(count, id), std::vector<unsigned char>(count, 1), batch,
                          length};
    };
    refused(pixels, text(config::golden_pretrain_train::text::positions + 1, 0), good);
    refused(pixels, text(4, config::golden_pretrain_train::text::vocabulary), good);
    refused(pixels, text(4, -1), good);
    refused(pixels, text(0, 0), good);
    auto ragged = text(4, 0);
    ragged.mask.pop_back();
    refused(pixels, ragged, good);
    trainer.step(pixels, captions, good);
    CHECK(trainer.steps() == 2);
}

TEST_CASE("the old rule of label smoothing can be chosen for pre-training", "[golden]") {
    Recorded const recorded("pretrain_train");
    auto const& step = recorded.json["steps"][0];
    if (!step.contains("loss_lm_with_torch_1_10_0"))
        return;
    auto trainer = Trainer::load(test::golden_file(recorded.name, ""));
    auto options = recorded.options(0);
    options.rule = SmoothingRule::torch_1_10;
    CHECK(trainer.step(recorded.pixels(0), recorded.captions(0), options).language_modeling ==
          Approx(step["loss_lm_with_torch_1_10_0"].get<double>()).epsilon(1e-4));
}

static_assert(default_drop_path<config::vit_large<384>>() == 0.1);
static_assert(default_drop_path<config::vit_base<384>>() == 0);

TEST_CASE("dropout and stochastic depth act in both networks and are named by the seed",
          "[golden]") {
    Recorded const recorded("pretrain_train");
    auto const plain = Trainer::load(test::golden_file(recorded.name, ""));
    CHECK(plain.weights()->vision.stack.blocks.back().mlp.drop_path.probability ==
          default_drop_path<config::golden_pretrain_train::vision>());
    auto const run = [&](double dropout, double drop_path, std::uint64_t seed) {
        Folder const folder(recorded.name);
        fs::copy_file(test::golden_file(recorded.name, "weights.pth"),
                      folder.path() / "weights.pth");
        auto json = test::golden_json(recorded.name, "config.json");
        json["text_config"]["hidden_dropout_prob"] = dropout;
        json["text_config"]["attention_probs_dropout_prob"] = dropout;
        std::ofstream(folder.path() / "config.json") << json;
        ObjectiveOptions<Cpu<float>> options;
        options.drop_path = drop_path;
        options.seed = seed;
        auto trainer = Trainer::load(folder.path(), options);
        auto const losses =
            trainer.step(recorded.pixels(0), recorded.captions(0), recorded.options(0));
        // The columns that this step wrote are the teacher's features.
        auto const& queue = trainer.state().queue;
        std::vector<std::vector<float>> parts;
        for (auto const part : {queue.image(), queue.text()})
            parts.emplace_back(part.data, part.data + queue.size);
        auto const gradient = test::parameter_values(trainer.gradient(), trainer.engine());
        return std::tuple{losses.total(), parts[0], parts[1], gradient};
    };
    CHECK(run(0.3, 0.5, 1) == run(0.3, 0.5, 1));
    auto const [loss, images, texts, gradient] = run(0.3, 0.5, 1);
    auto const [other_loss, other_images, other_texts, other_gradient] = run(0.3, 0.5, 2);
    CHECK(loss != other_loss);
    CHECK(images != other_images);
    CHECK(texts != other_texts);
    CHECK(gradient != other_gradient);
    // Without both of them the seed says nothing.
    CHECK(run(0, 0, 1) == run(0, 0, 2));
}
#endif

#if BLIP_HAS_GOLDEN_RETRIEVAL_TRAIN
using Retrieving = RetrievalObjective<config::golden_retrieval_train, Cpu<float>>;

TEST_CASE("a retrieval objective's first step from captions agrees with the authors' release",
          "[golden]") {
    Recorded const recorded("retrieval_train");
    Folder const folder(recorded.name);
    auto objective = Retrieving::load(test::golden_file(recorded.name, ""));
    CHECK(objective.report().fresh.empty());
    CHECK(objective.report().extra.empty());
    auto const losses = objective.step(recorded.pixels(0), recorded.captions(0), recorded.ids(0),
                                       recorded.options(0));
    CHECK(losses.contrastive == Approx(recorded.loss(0, "loss_ita")).epsilon(1e-4));
    CHECK(losses.matching == Approx(recorded.loss(0, "loss_itm")).epsilon(1e-4));
    CHECK(losses.total() == Approx(recorded.loss(0, "loss_total")).epsilon(1e-4));

    objective.save(folder.path() / "checkpoint.pth");
    auto resumed = Retrieving::load(folder.path());
    CHECK(numbers(resumed) == numbers(objective));
    CHECK(std::ranges::equal(resumed.state().queue.ids(), objective.state().queue.ids()));
    CHECK(resumed.state().queue.pointer() == objective.state().queue.pointer());
    auto const few = recorded.ids(0);
    CHECK_THROWS_AS(
        objective.step(recorded.pixels(0), recorded.captions(0), std::span(few).first(1), {}),
        ArgumentError);
    auto const before = numbers(objective);
    std::vector<std::int64_t> const one_picture(few.size(), 7);
    CHECK(message([&] {
              objective.step(recorded.pixels(0), recorded.captions(0), one_picture);
          }).find("at least two different pictures") != std::string::npos);
    auto unknown = few;
    unknown.back() = unknown_picture;
    CHECK_THROWS_AS(objective.step(recorded.pixels(0), recorded.captions(0), unknown),
                    ArgumentError);
    CHECK(numbers(objective) == before);
}

TEST_CASE("a retrieval objective's steps from captions agree with the authors' release",
          "[golden]") {
    Recorded const recorded("retrieval_train");
    auto objective = Retrieving::load(test::golden_file(recorded.name, ""));
    auto const step = [&](std::size_t i) {
        return objective.step(
            RetrievalBatch{recorded.pixels(i), recorded.captions(i), recorded.ids(i)},
            recorded.options(i));
    };
    check_steps(recorded, objective, step, {"loss_ita", "loss_itm"});
}

#if BLIP_HAS_GOLDEN_PRETRAIN_TRAIN
TEST_CASE("retrieval starts from a pre-training checkpoint", "[golden]") {
    using FromPretrained = RetrievalObjective<config::golden_pretrain_train, Cpu<float>>;
    Recorded const recorded("pretrain_train");
    Folder const folder(recorded.name);
    auto trainer = Trainer::load(test::golden_file(recorded.name, ""));
    trainer.step(recorded.pixels(0), recorded.captions(0), recorded.options(0));
    trainer.save(folder.path() / "checkpoint.pth");
    auto objective = FromPretrained::load(folder.path());
    CHECK(objective.report().fresh == std::vector<std::string>{"idx_queue", "ptr_queue"});
    CHECK(objective.state().queue.pointer() == 0);
    for (auto const id : objective.state().queue.ids())
        CHECK(id == unknown_picture);
    CHECK(objective.weights()->temperature.data[0] == trainer.weights()->temperature.data[0]);
    auto const& a = objective.state().queue;
    auto const& b = trainer.state().queue;
    CHECK(std::equal(a.image().data, a.image().data + a.size, b.image().data));
    CHECK(test::parameter_values(objective.state().teacher.weights(), objective.engine()) ==
          test::parameter_values(trainer.state().teacher.weights(), trainer.engine()));
}
#endif

#if BLIP_HAS_GOLDEN_ITM
TEST_CASE("missing momentum networks are copied on request only", "[golden]") {
    using C = config::with_queue<config::golden_itm, 12>;
    using Objective = RetrievalObjective<C, Cpu<float>>;
    auto const folder = test::golden_file("itm", "");
    if (TensorFile::open(test::golden_file("itm", "weights.pth")).find("temp"))
        return; // this fixture is a whole retrieval checkpoint
    CHECK_THROWS_AS(Objective::load(folder), CheckpointError);
    ObjectiveOptions<Cpu<float>> options;
    options.fresh_seed = 1;
    CHECK(message([&] { Objective::load(folder, options); }).find("visual_encoder_m") !=
          std::string::npos);
    options.momentum = MomentumStart::trained;
    auto objective = Objective::load(folder, options);
    auto const& fresh = objective.report().fresh;
    for (auto const* name : {"temp", "visual_encoder_m.cls_token", "image_queue", "ptr_queue"})
        CHECK(std::ranges::count(fresh, name) == 1);
    auto const online = test::parameter_values(objective.weights(), objective.engine());
    auto const teacher =
        test::parameter_values(objective.state().teacher.weights(), objective.engine());
    CHECK(std::equal(teacher.begin(), teacher.end(), online.begin()));
    CHECK(objective.weights()->temperature.data[0] == 0.07f);
}
#endif
#endif
