#include <support/catch.hpp>

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/config/presets.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/answer_objective.hpp>
#include <blip/models/question_answerer.hpp>
#include <blip/train/adamw.hpp>
#include <support/objective.hpp>
#include <support/tiny_models.hpp>

namespace {

using namespace blip;
using test::dropping;
using test::outcome;

using C = test::tiny_model;
using Trainer = AnswerObjective<C, Cpu<float>>;

QuestionBatch tiny_batch() {
    return {test::noise(3),
            {"word8 word9", "a photo of word10 word11", "word8 word9"},
            {{{"word20", 0.7}, {"word21 word22 word23", 0.3}}, {{"word24", 1}}, {{"word25", 0.2}}}};
}

std::vector<QuestionBatch> in_parts(QuestionBatch const& batch, std::size_t first) {
    auto const rest = batch.questions.size() - first;
    auto const middle = static_cast<std::ptrdiff_t>(first);
    auto const& q = batch.questions;
    auto const& a = batch.answers;
    return {{items_of(batch.pixels, 0, first),
             {q.begin(), q.begin() + middle},
             {a.begin(), a.begin() + middle}},
            {items_of(batch.pixels, first, rest),
             {q.begin() + middle, q.end()},
             {a.begin() + middle, a.end()}}};
}

} // namespace

TEST_CASE("an answerer trained from scratch answers what it was taught") {
    ObjectiveOptions<Cpu<float>> options;
    options.dropout = 0;
    options.drop_path = 0;
    auto trainer = test::fresh<Trainer>(options);
    auto batch = tiny_batch();
    batch.answers = {{{"word20", 1}}, {{"word21 word22 word23", 1}}, {{"word24 a", 1}}};
    AdamW<Trainer::Network> optimizer(trainer.engine());
    for (int i = 0; i < 300; ++i) {
        trainer.step(batch);
        optimizer.step(trainer.engine(), trainer.weights(), trainer.gradient(), 3e-3);
    }
    QuestionAnswerer<C, Cpu<float>> const answerer(trainer.shared());
    // In training no answer sees padding; the published inference lets it.
    auto const answers = answerer.answer(batch.pixels, batch.questions, {.attend_padding = false});
    for (std::size_t i = 0; i < answers.size(); ++i)
        CHECK(answers[i].front().text == batch.answers[i].front().text);
}

TEST_CASE("every picture network of question answering is trained with stochastic depth") {
    auto const trainer = test::fresh<Trainer>({});
    auto const& blocks = trainer.weights()->vision.stack.blocks;
    CHECK(blocks.back().mlp.drop_path.probability == 0.1);
    CHECK(blocks.front().mlp.drop_path.probability == 0);
}

TEST_CASE("recomputed blocks and threads leave an answerer's training as it is") {
    auto const parts = in_parts(tiny_batch(), 1);
    auto const run = [&]<class Config>(std::type_identity<Config>, std::size_t threads) {
        auto options = dropping();
        options.engine = Cpu<float>::Engine(threads);
        auto trainer = test::fresh<AnswerObjective<Config, Cpu<float>>>(options);
        auto first = outcome(trainer, std::span<QuestionBatch const>(parts));
        auto const second = outcome(trainer, std::span<QuestionBatch const>(parts));
        CHECK(first != second); // other units are dropped
        auto resumed = test::fresh<AnswerObjective<Config, Cpu<float>>>(options);
        resumed.resume_at(1);
        CHECK(outcome(resumed, std::span<QuestionBatch const>(parts)) == second);
        first.insert(first.end(), second.begin(), second.end());
        return std::pair{first, trainer.peak_bytes()};
    };
    auto const [kept, memory] = run(std::type_identity<C>{}, 1);
    CHECK(kept == run(std::type_identity<C>{}, 3).first);
    auto const [again, less] = run(std::type_identity<config::recomputed<C>>{}, 1);
    CHECK(kept == again);
    CHECK(less < memory);
}

TEST_CASE("questions that cannot be learnt are refused before anything changes") {
    auto trainer = test::fresh<Trainer>(dropping());
    auto const good = tiny_batch();
    auto const before = outcome(trainer, std::span(&good, 1));
    auto const refused = [&](auto const& change, std::string const& why) {
        QuestionBatch parts[] = {good, good};
        change(parts[1]);
        CHECK(test::message_of([&] {
                  trainer.step(std::span<QuestionBatch const>(parts));
              }).find(why) != std::string::npos);
        CHECK(trainer.steps() == 1);
        CHECK(test::gradient_values(trainer) ==
              std::vector<double>(before.begin() + 1, before.end()));
    };
    refused([](QuestionBatch& b) { b.questions.pop_back(); }, "3 pictures, 2 questions, 3 lists");
    refused([](QuestionBatch& b) { b.answers.pop_back(); }, "3 questions, 2 lists");
    refused([](QuestionBatch& b) { b.answers[1].clear(); },
            "\"a photo of word10 word11\" has no answer");
    for (double const weight : {-1.0, std::numeric_limits<double>::quiet_NaN()})
        refused([&](QuestionBatch& b) { b.answers[2][0].weight = weight; },
                "\"word25\" has the weight");
    refused([](QuestionBatch& b) { b.pixels = test::noise(3, 32); }, "expected pixels");
    refused([](QuestionBatch& b) { b.questions[0] = "\xff"; }, "text 3 of 6");
    refused(
        [](QuestionBatch& b) {
            for (int i = 0; i < 40; ++i)
                b.answers[0][0].text += " word9";
        },
        "an answer of 43 tokens");
    CHECK_THROWS_AS(trainer.step(std::span<QuestionBatch const>{}), ArgumentError);
}

#if BLIP_HAS_GOLDEN_VQA
namespace {

template <class B>
void check_golden(double tolerance) {
    std::string const name = "vqa";
    auto const json = test::golden_json(name);
    test::GoldenTensors const inputs(name, "inputs.safetensors");
    test::GoldenTensors const expected(name, "expected.safetensors");
    QuestionBatch batch{test::golden_pixels(inputs, "image"),
                        json["questions"].get<std::vector<std::string>>(),
                        {}};
    auto const texts = json["answers"].get<std::vector<std::string>>();
    auto const weights = inputs["answer_weights"].values;
    std::size_t next = 0;
    for (auto const count : inputs.integers("answers_per_question")) {
        batch.answers.emplace_back();
        for (std::int64_t i = 0; i < count; ++i, ++next)
            batch.answers.back().push_back({texts.at(next), weights.at(next)});
    }
    ObjectiveOptions<B> options;
    options.drop_path = 0;
    options.dropout = 0;
    auto trainer = AnswerObjective<config::golden_vqa, B>::load(
        test::golden_file(name, "weights.pth"), options);
    CHECK(trainer.report().fresh.empty());
    CHECK(trainer.step(batch, {.rule = SmoothingRule::torch_1_10}).total() ==
          Approx(json["loss_with_torch_1_10_0"].template get<double>()).epsilon(tolerance));
    auto const check = [&](std::span<QuestionBatch const> parts) {
        INFO(parts.size() << " parts");
        CHECK(trainer.step(parts).total() == Approx(expected["loss"].values[0]).epsilon(tolerance));
        std::string worst;
        double const off = test::golden_gradient_difference(trainer, expected, worst);
        INFO("worst gradient: " << worst);
        CHECK(off < tolerance);
    };
    check(std::span(&batch, 1));
    for (std::size_t first = 1; first < batch.questions.size(); ++first)
        check(in_parts(batch, first));
}

} // namespace

TEST_CASE("an answer objective's step agrees with the authors' release", "[golden]") {
    check_golden<Reference<double>>(1e-9);
    check_golden<Cpu<float>>(1e-4);
}
#endif
