#include "support/catch.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "../../examples/support/training/sample.hpp"
#include "../../examples/support/training/text_scores.hpp"
#include "../../examples/support/training/training_data.hpp"

using support::make_sample;
using support::Sample;
using support::SampleKind;
using support::SampleOptions;

namespace {

blip::TrainingRecord record_of(std::size_t pictures) {
    std::filesystem::path const folder(BLIP_SOURCE_DIR "/examples/scenes/pictures");
    blip::TrainingRecord record;
    for (std::size_t i = 0; i < pictures; ++i)
        record.pictures.push_back({folder / (i == 0 ? "scene-00.png" : "scene-01.png"), 0, {}, {}});
    record.where = "list.json, element 3";
    return record;
}

SampleOptions options(SampleKind kind) {
    return {.kind = kind,
            .preprocess = {.size = 16},
            .augment = blip::Augment::none(),
            .max_words = 40,
            .validation = false};
}

} // namespace

TEST_CASE("A pair that changes places changes its words, however they are written", "[examples]") {
    auto record = record_of(2);
    record.captions = {"Left picture: a dog on the right."};
    record.label = true;
    auto const plain = [&] {
        auto how = options(SampleKind::pair);
        how.validation = true;
        return make_sample(record, how, {});
    }();
    CHECK(plain.text == "left picture a dog on the right");
    CHECK(plain.label == 1);
    int exchanged = 0;
    for (std::uint64_t i = 0; i < 40; ++i) {
        auto const sample = make_sample(record, options(SampleKind::pair), {1, i});
        auto const half = sample.pixels.size() / 2;
        bool const first_is_first =
            std::equal(plain.pixels.begin(), plain.pixels.begin() + 768, sample.pixels.begin());
        CHECK(half == 768);
        if (first_is_first) {
            CHECK(sample.text == plain.text);
            continue;
        }
        ++exchanged;
        CHECK(sample.text == "right picture a dog on the left");
        CHECK(std::equal(plain.pixels.begin(), plain.pixels.begin() + 768,
                         sample.pixels.begin() + 768));
    }
    CHECK(exchanged > 8);
    CHECK(exchanged < 32);
}

TEST_CASE("Questions are cleaned and their answers weighed", "[examples]") {
    auto record = record_of(1);
    record.question = "What Color is it?";
    record.answers = {"red", "red", "dark red", "red"};
    auto const sample = make_sample(record, options(SampleKind::question), {1, 0});
    CHECK(sample.question == "what color is it?");
    REQUIRE(sample.answers.size() == 2);
    CHECK(sample.answers[0].weight == 0.75);
    record.dataset = "vg";
    record.answers = {"red"};
    CHECK(make_sample(record, options(SampleKind::question), {1, 0}).answers[0].weight == 0.2);
}

TEST_CASE("A record that lacks something is named", "[examples]") {
    auto record = record_of(1);
    std::string message;
    try {
        make_sample(record, options(SampleKind::caption), {});
    } catch (blip::FormatError const& error) {
        message = error.what();
    }
    CHECK(message.starts_with("list.json, element 3"));
}

TEST_CASE("Texts are compared by words and neighbours", "[examples]") {
    Sample sample;
    sample.references = {"A circle left of a square.", "a square right of a circle"};
    auto const score = [&](std::string const& said) {
        support::TextScores scores;
        scores.add(sample, said);
        return scores.validation().scores;
    };
    CHECK(score("a circle left of a square")[0].second == 100);
    CHECK(score("a circle left of a square")[1].second == 100);
    auto const turned = score("a square left of a circle");
    CHECK(turned[0].second < 100);
    CHECK(turned[0].second > 50);
    CHECK(turned[1].second == 0);
    CHECK(score("nothing")[0].second == 0);
}

TEST_CASE("A list that changes anywhere is noticed, and every list has pictures of its own",
          "[examples]") {
    namespace fs = std::filesystem;
    auto const folder =
        fs::temp_directory_path() / ("blip_lists_" + std::to_string(std::random_device{}()));
    fs::create_directories(folder);
    auto const write = [&](char const* name, std::string const& last) {
        std::ofstream out(folder / name);
        for (int i = 0; i < 1500; ++i)
            out << R"({"image": ")" BLIP_SOURCE_DIR R"(/examples/scenes/pictures/scene-00.png", )"
                << R"("image_id": ")" << i << R"(", "caption": ")"
                << (i == 1499 ? last : std::string("a circle")) << "\"}\n";
        return support::DataPart{(folder / name).string(), "", {}};
    };
    auto const how = options(SampleKind::caption);
    support::TrainingData const first({write("a.jsonl", "a circle")}, how, 1);
    write("b.jsonl", "a square");
    CHECK(first.size() == 1500);
    // 1,000 of them are looked at, the last 500 as often as the first.
    int noticed = 0;
    for (int i = 1490; i < 1500; ++i) {
        std::ifstream in(folder / "a.jsonl");
        std::ofstream out(folder / "c.jsonl");
        std::string line;
        for (int n = 0; std::getline(in, line); ++n)
            out << (n == i ? line.substr(0, line.rfind("circle")) + "square\"}" : line) << '\n';
        out.close();
        support::TrainingData const changed({{(folder / "c.jsonl").string(), "", {}}}, how, 1);
        noticed += changed.checksum_of_texts() != first.checksum_of_texts() ? 1 : 0;
    }
    CHECK(noticed >= 6);

    support::TrainingData const both(
        {{(folder / "a.jsonl").string(), "", {}}, {(folder / "b.jsonl").string(), "", {}}}, how, 1);
    CHECK(both.item(3).picture != both.item(1503).picture);
    CHECK(both.item(3).picture == both.item(3).picture);
    fs::remove_all(folder);
}

TEST_CASE("A caption of which cleaning leaves nothing is broken", "[examples]") {
    auto record = record_of(1);
    record.captions = {"!!!"};
    try {
        make_sample(record, options(SampleKind::caption), {});
        FAIL("accepted");
    } catch (blip::FormatError const& error) {
        CHECK(std::string(error.what()).find("element 3: a caption holds no word") !=
              std::string::npos);
    }
}
