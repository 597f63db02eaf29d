#include <support/catch.hpp>

#include <algorithm>
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
#include <blip/models/pair_objective.hpp>
#include <blip/models/pair_reasoner.hpp>
#include <blip/train/adamw.hpp>
#include <support/objective.hpp>
#include <support/tiny_models.hpp>

namespace {

using namespace blip;
using test::dropping;
using test::outcome;

struct C : test::tiny_model {
    static constexpr int merge_from = 1;
};
using Trainer = PairObjective<C, Cpu<float>>;

PairBatch tiny_batch() {
    return {test::noise(6), {"word8 word9", "a photo of word10", "word11"}, {1, 0, 1}};
}

/// The pairs `first` to `first + count - 1` of a batch.
PairBatch some(PairBatch const& batch, std::size_t first, std::size_t count) {
    auto const pairs = batch.sentences.size();
    auto const one = items_of(batch.pixels, first, count);
    auto const two = items_of(batch.pixels, pairs + first, count);
    auto shape = one.shape();
    shape[0] *= 2;
    Pixels both(shape);
    std::copy(one.begin(), one.end(), both.data());
    std::copy(two.begin(), two.end(), both.data() + one.size());
    auto const begin = static_cast<std::ptrdiff_t>(first), end = begin + std::ptrdiff_t(count);
    return {both,
            {batch.sentences.begin() + begin, batch.sentences.begin() + end},
            {batch.labels.begin() + begin, batch.labels.begin() + end}};
}

std::vector<PairBatch> in_parts(PairBatch const& batch, std::size_t first) {
    return {some(batch, 0, first), some(batch, first, batch.sentences.size() - first)};
}

} // namespace

TEST_CASE("a pair reasoner trained from scratch judges as it was taught") {
    ObjectiveOptions<Cpu<float>> options;
    options.dropout = 0;
    options.drop_path = 0;
    auto trainer = test::fresh<Trainer>(options);
    auto const batch = tiny_batch();
    AdamW<Trainer::Network> optimizer(trainer.engine());
    for (int i = 0; i < 100; ++i) {
        trainer.step(batch);
        optimizer.step(trainer.engine(), trainer.weights(), trainer.gradient(), 1e-3);
    }
    PairReasoner<C, Cpu<float>> const reasoner(trainer.shared());
    auto const judged = reasoner.predict(items_of(batch.pixels, 0, 3), items_of(batch.pixels, 3, 3),
                                         batch.sentences);
    for (std::size_t i = 0; i < judged.size(); ++i)
        CHECK(judged[i].is_true() == (batch.labels[i] == 1));
    CHECK(trainer.step(batch).total() < 0.1);
    auto const usual = test::fresh<Trainer>({});
    CHECK(usual.weights()->vision.stack.blocks.back().mlp.drop_path.probability == 0.1);
}

TEST_CASE("recomputed blocks and threads leave a pair reasoner's training as it is") {
    auto const parts = in_parts(tiny_batch(), 1);
    auto const run = [&]<class Config>(std::type_identity<Config>, std::size_t threads) {
        auto options = dropping();
        options.engine = Cpu<float>::Engine(threads);
        auto trainer = test::fresh<PairObjective<Config, Cpu<float>>>(options);
        auto first = outcome(trainer, std::span<PairBatch const>(parts));
        auto const second = outcome(trainer, std::span<PairBatch const>(parts));
        CHECK(first != second); // other units are dropped
        auto resumed = test::fresh<PairObjective<Config, Cpu<float>>>(options);
        resumed.resume_at(1);
        CHECK(outcome(resumed, std::span<PairBatch const>(parts)) == second);
        first.insert(first.end(), second.begin(), second.end());
        return std::pair{first, trainer.peak_bytes()};
    };
    auto const [kept, memory] = run(std::type_identity<C>{}, 1);
    CHECK(kept == run(std::type_identity<C>{}, 3).first);
    auto const [again, less] = run(std::type_identity<config::recomputed<C>>{}, 1);
    CHECK(kept == again);
    CHECK(less < memory);
}

TEST_CASE("pairs that cannot be learnt are refused before anything changes") {
    auto trainer = test::fresh<Trainer>(dropping());
    auto const good = tiny_batch();
    auto const before = outcome(trainer, std::span(&good, 1));
    auto const refused = [&](auto const& change, std::string const& why) {
        PairBatch parts[] = {good, good};
        change(parts[1]);
        CHECK(test::message_of([&] {
                  trainer.step(std::span<PairBatch const>(parts));
              }).find(why) != std::string::npos);
        CHECK(trainer.steps() == 1);
        CHECK(test::gradient_values(trainer) ==
              std::vector<double>(before.begin() + 1, before.end()));
    };
    refused([](PairBatch& b) { b.pixels = test::noise(5); }, "5 pictures, 3 sentences, 3 labels");
    refused([](PairBatch& b) { b.labels.pop_back(); }, "6 pictures, 3 sentences, 2 labels");
    refused([](PairBatch& b) { b.labels[1] = 2; }, "the label 2");
    std::string const long_sentence = [] {
        std::string text;
        for (int i = 0; i < 40; ++i)
            text += " word9";
        return text;
    }();
    refused([&](PairBatch& b) { b.sentences[0] = long_sentence; }, "a sentence of 42 tokens");
    auto options = dropping();
    options.text_length = 10;
    auto cutting = test::fresh<Trainer>(options);
    auto batch = good;
    batch.sentences[0] = long_sentence;
    CHECK_NOTHROW(cutting.step(batch));
}

#if BLIP_HAS_GOLDEN_NLVR
namespace {

/// As the network's own test of this fixture asks: see golden_nlvr.cpp.
template <class B>
void check_golden(double tolerance, test::TinyGradients const& tiny) {
    std::string const name = "nlvr";
    test::GoldenTensors const inputs(name, "inputs.safetensors");
    test::GoldenTensors const expected(name, "expected.safetensors");
    auto const wide = inputs.integers("targets");
    PairBatch const batch{test::golden_pixels(inputs, "image"),
                          test::golden_json(name)["sentences"].get<std::vector<std::string>>(),
                          {wide.begin(), wide.end()}};
    ObjectiveOptions<B> options;
    options.drop_path = 0;
    options.dropout = 0;
    auto trainer = PairObjective<config::golden_nlvr, B>::load(
        test::golden_file(name, "weights.pth"), options);
    CHECK(trainer.report().fresh.empty());
    auto const check = [&](std::span<PairBatch const> parts) {
        INFO(parts.size() << " parts");
        CHECK(trainer.step(parts).total() == Approx(expected["loss"].values[0]).epsilon(tolerance));
        test::Bench<B> bench;
        auto const found = test::compare_gradients(
            trainer.gradient(), bench, expected, "grad.",
            [](std::string const& path) { return checkpoint_names(path, Naming::original); }, tiny);
        INFO("worst gradient: " << found.worst);
        CHECK(found.off < tolerance);
        CHECK(found.unasked == std::vector<std::string>{});
        CHECK(found.wrong == std::vector<std::string>{});
        CHECK(found.tiny.size() * 20 < found.compared);
    };
    check(std::span(&batch, 1));
    for (std::size_t first = 1; first < batch.sentences.size(); ++first)
        check(in_parts(batch, first));
}

} // namespace

TEST_CASE("a pair objective's step agrees with the authors' release", "[golden]") {
    check_golden<Reference<double>>(1e-9, {.below = 1e-6, .relative = 1e-7});
    check_golden<Cpu<float>>(1e-4, {.below = 1e-3,
                                    .rounding = 8 * std::numeric_limits<float>::epsilon(),
                                    .cosine = 0.9,
                                    .noise = 1e-6,
                                    .noise_cosine = 0.5});
}

TEST_CASE("a pair objective starts from a checkpoint for one picture", "[golden]") {
    ObjectiveOptions<Cpu<float>> options;
    auto const file = test::golden_file("nlvr", "single_image.pth");
    using Objective = PairObjective<config::golden_nlvr, Cpu<float>>;
    CHECK_THROWS_AS(Objective::load(file, options), Error);
    options.fresh_seed = 1;
    auto const trainer = Objective::load(file, options);
    CHECK(std::ranges::count(trainer.report().fresh, "cls_head.0.weight") == 1);
}
#endif
