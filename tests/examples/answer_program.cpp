#include "support/catch.hpp"

#if defined(BLIP_ANSWER_PROGRAM) && __has_include(<sys/wait.h>)

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <support/program.hpp>

#include <blip/model/golden_cases.hpp>

#if BLIP_HAS_GOLDEN_VQA

namespace {

using namespace program_test;
using nlohmann::json;

std::string const model = std::string(BLIP_GOLDEN_DIR) + "/vqa";

Words const questions{"--question", "what is it?", "--question", "is there a dog in the picture?"};

Result run(Folder const& folder, Words words) {
    return program_test::run(BLIP_ANSWER_PROGRAM, folder, std::move(words));
}

std::string name_of(std::string const& path) {
    return std::filesystem::path(path).filename().string();
}

} // namespace

TEST_CASE("answer says the same of a list as of pictures, whatever the batch", "[golden]") {
    Folder const folder;
    auto const all = pictures();
    auto const direct = run(folder, Words{model, photos, "--batch", "3"} + questions);
    CHECK(direct.status == 0);
    CHECK(direct.error == "");
    auto const lines = lines_of(direct.out);
    REQUIRE(lines.size() == 2 * all.size());
    CHECK(lines[0].starts_with(all[0] + "\twhat is it?\t"));
    CHECK(lines[3].starts_with(all[1] + "\tis there a dog in the picture?\t"));
    CHECK(run(folder, Words{model, photos, "--batch", "1", "--threads", "1"} + questions).out ==
          direct.out);
    std::string list = "image,question\n";
    for (auto const& path : all)
        for (std::size_t i = 1; i < questions.size(); i += 2)
            list += name_of(path) + "," + questions[i] + "\n";
    std::ofstream(folder / "list.csv") << list;
    for (auto const* batch : {"1", "8"})
        CHECK(
            run(folder, {model, "--list", folder / "list.csv", "--root", photos, "--batch", batch})
                .out == direct.out);
    // Samples are keyed by the question's number.
    Words const sample{"--sample", "--seed", "3", "--top", "2"};
    auto const samples = run(folder, Words{model, photos, "--batch", "1"} + questions + sample);
    CHECK(samples.status == 0);
    CHECK(lines_of(samples.out).size() == 4 * all.size());
    CHECK(run(folder, Words{model, photos, "--batch", "8"} + questions + sample).out ==
          samples.out);
    CHECK(run(folder, Words{model, "--list", folder / "list.csv", "--root", photos} + sample).out ==
          samples.out);
}

TEST_CASE("answer chooses from a list of answers, best first", "[golden]") {
    Folder const folder;
    std::ofstream(folder / "answers.txt") << "yes\nno\na cat\n\nred, white and blue\n";
    Words const words = Words{model,   pictures()[0], "--rank",   folder / "answers.txt",
                              "--top", "9",           "--format", "jsonl"} +
                        questions;
    auto const result = run(folder, words);
    INFO(result.error);
    CHECK(result.status == 0);
    auto const lines = lines_of(result.out);
    REQUIRE(lines.size() == 2);
    for (auto const& line : lines) {
        auto const answers = json::parse(line)["answers"];
        CHECK(answers.size() == 4);
        for (std::size_t i = 1; i < answers.size(); ++i)
            CHECK(answers[i]["score"].get<double>() <= answers[i - 1]["score"].get<double>());
    }
    auto const best =
        run(folder, Words{model, pictures()[0], "--rank", folder / "answers.txt"} + questions);
    CHECK(lines_of(best.out)[0].ends_with(
        "\t" + json::parse(lines[0])["answers"][0]["text"].get<std::string>()));
}

TEST_CASE("answer reports what it cannot use, goes on, and continues a cut file", "[golden]") {
    Folder const folder;
    auto const all = pictures();
    std::ofstream(folder / "bad.png") << "no picture";
    for (std::string const name : {"o.csv", "o.jsonl", "o.txt"}) {
        auto const output = folder / name, page = output + ".html";
        Words const words =
            Words{model, all[0],     folder / "bad.png", all[1], "--output", output, "--html",
                  page,  "--sample", "--seed",           "7",    "--top",    "2"} +
            questions;
        auto const result = run(folder, words);
        CHECK(result.status == 1);
        // Both questions fail for the same reason, which is said once.
        CHECK(lines_of(result.error).size() == 1);
        auto const whole = read(output), whole_page = read(page);
        CHECK(lines_of(whole).size() == (name == "o.csv" ? 11u : name == "o.txt" ? 10u : 6u));
        for (std::size_t part = 0; part <= 6; ++part) {
            std::ofstream(output, std::ios::binary) << whole.substr(0, whole.size() * part / 6);
            std::ofstream(page, std::ios::binary)
                << whole_page.substr(0, whole_page.size() * ((part * 5) % 7) / 6);
            CHECK(run(folder, words + Words{"--resume"}).status == 1);
            CHECK(read(output) == whole);
            CHECK(read(page) == whole_page);
        }
    }
}

TEST_CASE("mistakes of answer end with status 2 and say what to do", "[golden]") {
    Folder const folder;
    auto const picture = pictures().front();
    auto const check = [](Words words, std::string const& must_say) {
        check_mistake(BLIP_ANSWER_PROGRAM, std::move(words), must_say);
    };
    std::ofstream(folder / "empty.txt") << "\n";
    check({}, "MODEL is missing");
    check({model, "--question", "a"}, "PATH is missing");
    check({model, picture}, "--question");
    check({model, picture, "--list", "x"}, "--list brings its own");
    check({model, "--list", folder / "none"}, "no such list");
    check({model, "--list", folder / "empty.txt"}, "holds no entries");
    check({model, picture, "--question", "a", "--rank", folder / "none"}, "no such list");
    check({model, picture, "--question", "a", "--rank", folder / "empty.txt"}, "is empty");
    check({model, picture, "--question", "a", "--beams", "2", "--top", "3"}, "--beams 3");
    check({model, picture, "--question", "a", "--root", "x"}, "--root");
    check({model, picture, "--question", "a", "--image-size", "7"}, "BLIP_MODELS");
    check({folder / "none", picture, "--question", "a"}, "no such model folder");
    CHECK(run(folder, {"--help"}).status == 0);
}

#endif
#endif
