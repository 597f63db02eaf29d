#include "support/catch.hpp"

#if defined(BLIP_EXPLAIN_PROGRAM) && __has_include(<sys/wait.h>)

#include <fstream>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include <support/program.hpp>

#include <blip/model/golden_cases.hpp>
#include <blip/vision/read_image.hpp>

namespace {

using namespace program_test;
using nlohmann::json;

std::string const model = std::string(BLIP_GOLDEN_DIR) + "/itm";

[[maybe_unused]] Result run(Folder const& folder, Words words) {
    return program_test::run(BLIP_EXPLAIN_PROGRAM, folder, std::move(words));
}

[[maybe_unused]] std::string stem_of(std::string const& path) {
    return std::filesystem::path(path).stem().string();
}

/// Checks a record of a text that the model wrote and all its files.
[[maybe_unused]] void check_generated(json const& record, std::string const& name) {
    auto const numbers = json::parse(read(record["numbers"].get<std::string>()));
    CHECK(numbers[name] == record[name]);
    auto const& words = record["words"];
    REQUIRE(numbers["words"].size() == words.size());
    double sum = 0;
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        CHECK(fs::exists(words[i]["overlay"].get<std::string>()));
        CHECK(numbers["words"][i]["word"] == words[i]["word"]);
        CHECK(numbers["words"][i]["map"].size() == numbers["all_words"].size());
        sum += numbers["words"][i]["log_probability"].get<double>();
        text += words[i]["word"].get<std::string>();
    }
    CHECK(sum <= 0);
    // Its words are the text's.
    std::string letters = record[name].get<std::string>();
    std::erase(letters, ' ');
    CHECK(letters.ends_with(text));
    CHECK(fs::exists(record["overlay"].get<std::string>()));
}

} // namespace

#if BLIP_HAS_GOLDEN_HF_CAPTION
TEST_CASE("explain shows what the words of a caption drew on", "[golden]") {
    Folder const folder;
    auto const all = pictures();
    auto const captioner = std::string(BLIP_GOLDEN_DIR) + "/hf_caption";
    auto const page = folder / "page.html", output = folder / "o.jsonl";
    auto const result = run(folder, {captioner, all[0], all[1], "--caption", "--folder",
                                     folder / "maps", "--html", page, "--output", output});
    INFO(result.error);
    CHECK(result.status == 0);
    auto const lines = lines_of(read(output));
    REQUIRE(lines.size() == 2);
    std::size_t figures = 0;
    for (auto const& line : lines) {
        auto const record = json::parse(line);
        check_generated(record, "caption");
        figures += 1 + record["words"].size();
    }
    auto const html = read(page);
    std::size_t shown = 0;
    for (auto at = html.find("<figure>"); at != html.npos; at = html.find("<figure>", at + 1))
        ++shown;
    CHECK(shown == figures);
}
#endif

#if BLIP_HAS_GOLDEN_VQA
TEST_CASE("explain shows what the words of an answer drew on", "[golden]") {
    Folder const folder;
    auto const all = pictures();
    auto const answerer = std::string(BLIP_GOLDEN_DIR) + "/vqa";
    auto const result = run(folder, {answerer, all[0], "--question", "what is it?", "--question",
                                     "a dog?", "--folder", folder / "maps", "--format", "jsonl"});
    INFO(result.error);
    CHECK(result.status == 0);
    auto const lines = lines_of(result.out);
    REQUIRE(lines.size() == 2);
    for (auto const& line : lines)
        check_generated(json::parse(line), "answer");
    CHECK(json::parse(lines[1])["question"] == "a dog?");
}
#endif

#if BLIP_HAS_GOLDEN_ITM
TEST_CASE("explain writes pictures and numbers for every text and word", "[golden]") {
    Folder const folder;
    auto const all = pictures();
    auto const maps = folder / "maps";
    auto const result =
        run(folder, {model, all[0], all[1], "--text", "a cat", "--text", "unbelievable coffee, hot",
                     "--folder", maps, "--words", "--format", "jsonl"});
    INFO(result.error);
    CHECK(result.status == 0);
    auto const lines = lines_of(result.out);
    REQUIRE(lines.size() == 4);
    for (auto const& line : lines) {
        auto const record = json::parse(line);
        auto const picture = blip::image_size(blip::read_image(record["path"].get<std::string>()));
        auto const map = blip::image_size(blip::read_image(record["overlay"].get<std::string>()));
        CHECK(map.width == picture.width);
        CHECK(map.height == picture.height);
        auto const numbers = json::parse(read(record["numbers"].get<std::string>()));
        CHECK(numbers["text"] == record["text"]);
        CHECK(numbers["probability"] == record["probability"]);
        REQUIRE(numbers["words"].size() == record["words"].size());
        auto const grid = numbers["all_words"].size();
        for (std::size_t i = 0; i < numbers["words"].size(); ++i) {
            auto const& word = numbers["words"][i];
            CHECK(word["word"] == record["words"][i]["word"]);
            CHECK(word["map"].size() == grid);
            CHECK(word["map"][0].size() == grid);
            CHECK(!word["word"].get<std::string>().starts_with("##"));
            CHECK(fs::exists(record["words"][i]["overlay"].get<std::string>()));
        }
    }
    auto const first = maps + "/000000-" + stem_of(all[0]) + "-1.png";
    CHECK(json::parse(lines[0])["overlay"] == first);
    // Nothing is replaced unasked.
    Words const again{model, all[0], "--text", "a cat", "--folder", maps};
    auto const refused = run(folder, again);
    CHECK(refused.status == 2);
    CHECK(refused.error.find("is not empty") != std::string::npos);
    fs::remove(first);
    auto const resumed = run(folder, again + Words{"--resume"});
    CHECK(resumed.status == 0);
    CHECK(lines_of(resumed.out).empty()); // its numbers, which are written last, are there
    CHECK(run(folder, again + Words{"--force"}).status == 0);
    CHECK(fs::exists(first));
}

TEST_CASE("explain writes CSV and a page, goes on after a broken picture", "[golden]") {
    Folder const folder;
    std::ofstream(folder / "bad.png") << "no picture";
    auto const maps = folder / "maps", page = folder / "page.html", output = folder / "o.csv";
    Words const words{model, folder / "bad.png", pictures()[0], "--text", "a cat", "--folder",
                      maps,  "--numbers",        "csv",         "--html", page,    "--output",
                      output};
    auto const result = run(folder, words);
    CHECK(result.status == 1);
    CHECK(lines_of(result.error).size() == 1);
    CHECK(lines_of(read(output)).size() == 3);
    CHECK(read(page).find("data:image/") != std::string::npos);
    auto const rows = lines_of(read(maps + "/000001-" + stem_of(pictures()[0]) + "-1.csv"));
    CHECK(rows[0] == "number,word,row,column,value\r");
    CHECK(rows.size() > 1);
    CHECK(run(folder, words + Words{"--resume"}).status == 1);
}

TEST_CASE("mistakes of explain end with status 2 and say what to do", "[golden]") {
    Folder const folder;
    auto const picture = pictures().front();
    auto const check = [](Words words, std::string const& must_say) {
        check_mistake(BLIP_EXPLAIN_PROGRAM, std::move(words), must_say);
    };
    std::ofstream(folder / "file") << "x";
    check({}, "MODEL is missing");
    check({model, picture}, "no text");
    check({model, picture, "--text", "a", "--caption"}, "--caption");
    check({model, picture, "--caption", "--folder", folder / "m"}, "`match`");
    check({model, picture, "--text", "a"}, "--folder");
    check({model, picture, "--text", "a", "--folder", folder / "file"}, "cannot be made a folder");
    check({model, folder.path.string(), "--text", "a", "--folder", folder / "m"},
          "no pictures found");
    CHECK(run(folder, {"--help"}).status == 0);
}

#endif
#endif
