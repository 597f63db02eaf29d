#include "support/catch.hpp"

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/io/write_file.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/captioner.hpp>
#include <blip/models/feature_extractor.hpp>
#include <blip/models/matcher.hpp>
#include <blip/models/question_answerer.hpp>

#include "../../examples/support/known_answers.hpp"
#include "support/golden_calls.hpp"
#include "support/tiny_models.hpp"

namespace {

using namespace blip;
using namespace support;
using B = Cpu<float>;

/// Numbers moved by more than any tolerance used here.
std::vector<double> moved(std::vector<double> numbers) {
    for (double& number : numbers)
        number += 0.3 * std::abs(number) + 0.1;
    return numbers;
}

void require_verdicts(Verification const& known, std::vector<Verdict> const& wanted) {
    REQUIRE(known.answers().size() == wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        INFO(known.table());
        CHECK(known.answers()[i].verdict == wanted[i]);
    }
}

} // namespace

TEST_CASE("known answers are compared by kind") {
    Verification known;
    known.text("same", "m", "a dog", [] { return "a dog"; });
    known.text("other", "m", "a dog", [] { return "a dog "; });
    known.ids("same", "m", {1, 2}, [] { return std::vector{1, 2}; });
    known.ids("shorter", "m", {1, 2}, [] { return std::vector{1}; });
    known.numbers("near", "m", {0.5, -2}, {1e-3, 0}, [] { return std::vector{0.5009, -2.0009}; });
    known.numbers("far", "m", {0.5}, {1e-3, 0}, [] { return std::vector{0.502}; });
    known.numbers("tenth", "m", {-0.02}, {0, 0.1}, [] { return std::vector{-0.0215}; });
    known.numbers("more", "m", {-0.02}, {0, 0.1}, [] { return std::vector{-0.0225}; });
    known.numbers("none", "m", {1}, {0, 0.1}, [] { return std::vector<double>{}; });
    known.numbers("no number", "m", {1}, {0, 0.1},
                  [] { return std::vector{std::numeric_limits<double>::quiet_NaN()}; });
    known.text("broken", "m", "a", []() -> std::string { throw FileError("not\nthere"); });
    using enum Verdict;
    require_verdicts(known, {agrees, differs, agrees, differs, agrees, differs, agrees, differs,
                             differs, differs, unavailable});
    CHECK(known.answers().back().found == "not there");
    CHECK(known.answers()[4].expected == "0.5 -2");
    CHECK(known.status() == some_failed);
    CHECK(known.summary() == "4 of 11 agree, 6 differ, 1 could not be checked");
}

TEST_CASE("the exit status tells whether everything agrees") {
    auto const right = [] { return "a"; };
    auto const wrong = [] { return "b"; };
    auto const absent = []() -> std::string { throw FileError("absent"); };
    Verification good, odd, bad, part, none;
    good.text("1", "m", "a", right);
    good.text("2", "m", "a", wrong, true);
    good.text("3", "m", "a", absent, true);
    CHECK(good.status() == success);
    CHECK(good.summary().find("1 of those that differ only indicative") != std::string::npos);
    bad.text("1", "m", "a", right);
    bad.text("2", "m", "a", wrong);
    CHECK(bad.status() == some_failed);
    part.text("1", "m", "a", right);
    part.text("2", "m", "a", absent);
    CHECK(part.status() == some_failed);
    CHECK(none.status() == unusable);
    none.text("1", "m", "a", absent);
    CHECK(none.status() == unusable);
}

TEST_CASE("the table has a line for every answer, columns aligned") {
    Verification known;
    known.text("caption", "model.pth", "a dog", [] { return "a dog"; });
    known.text(
        "longer check", "m", "a", [] { return "b"; }, true);
    CHECK(known.table() == "verdict   check         checkpoint  expected  found\n"
                           "agrees    caption       model.pth   a dog     a dog\n"
                           "differs*  longer check  m           a         b\n");
}

TEST_CASE("checkpoints are found under every usual name") {
    test::Folder const folder;
    auto const place = [&](std::string const& path) {
        std::filesystem::create_directories(folder.path / path);
        return folder.path / path;
    };
    write_file(folder.path / "model_base.pth", "weights");
    auto const owned = place("Salesforce/blip-vqa-base");
    auto const cached = place("models--Salesforce--blip-itm-base-coco/snapshots/0123abcd");
    CHECK(find_checkpoint(folder.path, "model_base.pth") == folder.path / "model_base.pth");
    CHECK(find_checkpoint(folder.path, "blip-vqa-base") == owned);
    CHECK(find_checkpoint(folder.path, "blip-itm-base-coco") == cached);
    CHECK_THROWS_AS(find_checkpoint(folder.path, "model_large.pth"), FileError);
}

TEST_CASE("a picture's upper left part is cut out") {
    auto const all = test::noise(2, 10);
    auto const part = upper_left(all, 8);
    CHECK(part.shape()[3] == 8);
    for (std::size_t n = 0; n < 2; ++n)
        for (std::size_t c = 0; c < 3; ++c) {
            CHECK(part(n, c, 0, 0) == all(n, c, 0, 0));
            CHECK(part(n, c, 7, 3) == all(n, c, 7, 3));
        }
    CHECK_THROWS_AS(upper_left(all, 11), ArgumentError);
}

#if BLIP_HAS_GOLDEN_CAPTIONER_GENERATE && BLIP_HAS_GOLDEN_CAPTIONER_TRAIN
TEST_CASE("known captions and losses are told from others", "[golden]") {
    Verification known;
    std::string name = "captioner_generate";
    auto const captioner =
        Captioner<config::golden_captioner_generate, B>::load(test::golden_file(name, ""));
    auto const call = test::golden_json(name, "calls.json")[0];
    auto options = test::golden_options<CaptionOptions>(call["arguments"]);
    if (call.contains("prompt"))
        options.prompt = call["prompt"].get<std::string>();
    auto const pixels = test::golden_pictures(name, "image", call["images"]);
    auto const text = call["text"][0].get<std::string>();
    auto const caption = [&] { return captioner.generate(pixels, options).front().front(); };
    known.text("caption", name, text, [&] { return caption().text; });
    known.text("another", name, text + "!", [&] { return caption().text; });
    known.ids("ids", name, caption().ids, [&] { return caption().ids; });

    name = "captioner_train";
    auto const trained =
        Captioner<config::golden_captioner_train, B>::load(test::golden_file(name, ""));
    auto const json = test::golden_json(name);
    auto const captions = json["captions"].get<std::vector<std::string>>();
    test::GoldenTensors const expected(name, "expected.safetensors");
    auto const loss = expected["loss"].values;
    auto const compute = [&] {
        std::vector<std::size_t> every(captions.size());
        std::iota(every.begin(), every.end(), std::size_t{0});
        return std::vector{caption_loss(trained,
                                        test::golden_pictures(name, "image", nlohmann::json(every)),
                                        captions, json["prompt_length"].get<int>())};
    };
    known.numbers("loss", name, loss, {0, 1e-4}, compute);
    known.numbers("another", name, moved(loss), {0, 0.1}, compute);
    using enum Verdict;
    require_verdicts(known, {agrees, differs, agrees, agrees, differs});

    auto const labels = label_ids(trained.tokenizer(), captions[0], 4);
    auto const ids = trained.tokenizer().encode(captions[0]);
    CHECK(labels == std::vector<int>(ids.begin() + 4, ids.end()));
    CHECK(label_ids(trained.tokenizer(), "", 4).empty());
}
#endif

#if BLIP_HAS_GOLDEN_VQA
TEST_CASE("known answers to questions are told from others", "[golden]") {
    std::string const name = "vqa";
    auto const answerer =
        QuestionAnswerer<config::golden_vqa, B>::load(test::golden_file(name, ""));
    auto const json = test::golden_json(name);
    auto const list = answerer.answer_list(json["answer_list"].get<std::vector<std::string>>());
    Verification known;
    std::vector<Verdict> wanted;
    for (auto const& call : test::golden_json(name, "rank.json")) {
        if (call["questions"].size() != 1)
            continue;
        auto const pixels = test::golden_pictures(name, "image", call["questions"]);
        auto const question =
            json["questions"][call["questions"][0].get<std::size_t>()].get<std::string>();
        auto const rank = [&] {
            return answerer
                .rank(pixels, std::span(&question, 1), list, {.keep = call["k_test"].get<int>()})
                .front()
                .front()
                .text;
        };
        auto const best = call["best_text"][0].get<std::string>();
        known.text(question, name, best, rank);
        known.text(question, name, best + "s", rank);
        wanted.insert(wanted.end(), {Verdict::agrees, Verdict::differs});
    }
    require_verdicts(known, wanted);
}
#endif

#if BLIP_HAS_GOLDEN_ITM
TEST_CASE("known match scores are told from others", "[golden]") {
    std::string const name = "itm";
    auto const matcher = Matcher<config::golden_itm, B>::load(test::golden_file(name, ""));
    auto const captions = test::golden_json(name)["captions"].get<std::vector<std::string>>();
    test::GoldenTensors const expected(name, "expected.safetensors");
    auto const cosines = expected["itc_cosine"].values;
    auto const probabilities = expected["itm_probabilities"].values;
    Verification known;
    std::vector<Verdict> wanted;
    for (std::size_t i = 0; i < captions.size(); ++i) {
        auto const match = [&] {
            auto const found =
                matcher
                    .match_texts(test::golden_pictures(name, "image", nlohmann::json{i}),
                                 std::span(&captions[i], 1), {.first_token = FirstToken::cls})
                    .front();
            return std::vector{found.probability, *found.cosine};
        };
        std::vector<double> const right{probabilities[2 * i + 1], cosines[i * captions.size() + i]};
        known.numbers(captions[i], name, right, {1e-4, 0}, match);
        known.numbers(captions[i], name, moved(right), {1e-2, 0}, match);
        wanted.insert(wanted.end(), {Verdict::agrees, Verdict::differs});
    }
    require_verdicts(known, wanted);
}
#endif

#if BLIP_HAS_GOLDEN_FEATURE_EXTRACTOR
TEST_CASE("known means of features are told from others", "[golden]") {
    std::string const name = "feature_extractor";
    auto const extractor = FeatureExtractor<config::golden_feature_extractor, B>::load(
        test::golden_file(name, "weights.pth"));
    test::GoldenTensors const expected(name, "expected.safetensors");
    std::vector<double> const mean{mean_of(expected["image"].values)};
    auto const compute = [&] {
        return std::vector{
            mean_of(extractor.image_states(test::golden_pictures(name, "image", {0, 1})))};
    };
    Verification known;
    known.numbers("mean", name, mean, {1e-5, 1e-3}, compute);
    known.numbers("another", name, moved(mean), {0, 0.1}, compute);
    require_verdicts(known, {Verdict::agrees, Verdict::differs});
}
#endif
