#include "support/catch.hpp"

#if defined(BLIP_VIDEO_PROGRAM) && __has_include(<sys/wait.h>)

#include <fstream>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include <support/program.hpp>

#include <blip/model/golden_cases.hpp>

namespace {

using namespace program_test;
using nlohmann::json;

std::string const golden = BLIP_GOLDEN_DIR;

Result run(Folder const& folder, Words words) {
    return program_test::run(BLIP_VIDEO_PROGRAM, folder, std::move(words));
}

/// A clip of three frames, numbered as cameras number them.
std::string make_clip(Folder const& folder) {
    fs::create_directory(folder / "clip");
    auto const all = pictures();
    for (std::size_t i = 0; i < 3; ++i)
        fs::copy_file(all[i], folder / ("clip/frame" + std::to_string(9 + i) +
                                        fs::path(all[i]).extension().string()));
    return folder / "clip";
}

} // namespace

#if BLIP_HAS_GOLDEN_ITM
TEST_CASE("video compares texts with clips and goes on after a broken one", "[golden]") {
    Folder const folder;
    auto const clip = make_clip(folder), page = folder / "p.html", output = folder / "o.jsonl";
    std::ofstream(folder / "clips.txt") << clip << "\n"
                                        << folder / "none"
                                        << "\n"
                                        << clip << "\n";
    Words const words{golden + "/itm", "@" + (folder / "clips.txt"),
                      "--text",        "a cat",
                      "--text",        "coffee",
                      "--output",      output,
                      "--html",        page};
    auto const result = run(folder, words);
    INFO(result.error);
    CHECK(result.status == 1);
    CHECK(lines_of(result.error).size() == 1);
    auto const whole = read(output);
    auto const lines = lines_of(whole);
    REQUIRE(lines.size() == 3);
    CHECK(lines[0] == lines[2]);
    auto const matches = json::parse(lines[0])["matches"];
    REQUIRE(matches.size() == 2);
    CHECK(matches[0]["probability"].get<double>() >= matches[1]["probability"].get<double>());
    CHECK(read(page).find("3 clips") != std::string::npos);
    std::ofstream(output, std::ios::binary) << whole.substr(0, whole.size() / 2);
    CHECK(run(folder, words + Words{"--resume"}).status == 1);
    CHECK(read(output) == whole);
    // One frame, taken three times, is what a picture is.
    auto const one = run(folder, {golden + "/itm", clip, "--text", "a cat", "--frames", "1"});
    CHECK(one.status == 0);
    CHECK(lines_of(one.out).size() == 1);
}

TEST_CASE("mistakes of video end with status 2 and say what to do", "[golden]") {
    Folder const folder;
    auto const clip = make_clip(folder);
    auto const check = [](Words words, std::string const& must_say) {
        check_mistake(BLIP_VIDEO_PROGRAM, std::move(words), must_say);
    };
    check({}, "MODEL is missing");
    check({golden + "/itm", "--text", "a"}, "CLIP is missing");
    check({golden + "/itm", clip}, "--question");
    check({golden + "/itm", clip, "--question", "a"}, "`match`");
    check({golden + "/itm", clip, "--text", "a", "--question", "a"}, "--question");
    check({golden + "/itm", clip, "--text", "a", "--rank", "answers.txt"}, "--rank");
    check({golden + "/itm", clip, "--question", "a", "--top", "2"}, "--rank");
    check({folder / "none", clip, "--text", "a"}, "no such model folder");
    CHECK(run(folder, {"--help"}).status == 0);
}
#endif

#if BLIP_HAS_GOLDEN_VQA
TEST_CASE("video answers questions about clips", "[golden]") {
    Folder const folder;
    auto const clip = make_clip(folder);
    auto const result = run(folder, {golden + "/vqa", clip, "--question", "what is it?",
                                     "--question", "a dog?", "--frames", "3"});
    INFO(result.error);
    CHECK(result.status == 0);
    auto const lines = lines_of(result.out);
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].starts_with(clip + "\twhat is it?\t"));
    CHECK(lines[1].starts_with(clip + "\ta dog?\t"));
}

TEST_CASE("video ranks a list of answers", "[golden]") {
    Folder const folder;
    auto const clip = make_clip(folder), output = folder / "o.jsonl";
    std::ofstream(folder / "answers.txt") << "yes\nno\na cat\ntwo dogs\n";
    Words const words{golden + "/vqa", clip, "--question", "what is it?",
                      "--frames",      "3",  "--rank",     folder / "answers.txt",
                      "--top",         "3"};
    auto const result = run(folder, words + Words{"--output", output});
    INFO(result.error);
    CHECK(result.status == 0);
    auto const record = json::parse(read(output));
    auto const answers = record["answers"];
    REQUIRE(answers.size() == 3);
    CHECK(record["answer"] == answers[0]["text"]);
    for (std::size_t i = 1; i < 3; ++i)
        CHECK(answers[i - 1]["score"].get<double>() >= answers[i]["score"].get<double>());
    auto const text = lines_of(run(folder, words).out);
    REQUIRE(text.size() == 3);
    CHECK(text[0] == clip + "\twhat is it?\t" + answers[0]["text"].get<std::string>());
    auto const rows = lines_of(run(folder, words + Words{"--format", "csv"}).out);
    CHECK(rows.size() == 4);
    // More answers than there are cannot be had.
    CHECK(lines_of(run(folder, words + Words{"--keep", "2"}).out).size() == 2);
}
#endif

#endif
