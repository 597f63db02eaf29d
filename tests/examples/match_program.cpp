#include "support/catch.hpp"

#if defined(BLIP_MATCH_PROGRAM) && __has_include(<sys/wait.h>)

#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <support/program.hpp>

#include <blip/model/golden_cases.hpp>

#if BLIP_HAS_GOLDEN_ITM

namespace {

using namespace program_test;
using nlohmann::json;

std::string const model = std::string(BLIP_GOLDEN_DIR) + "/itm";

Words const texts{"--text", "a cat", "--text", "a rocket, seen from below", "--text", "coffee"};

Result run(Folder const& folder, Words words) {
    return program_test::run(BLIP_MATCH_PROGRAM, folder, std::move(words));
}

std::vector<json> objects(std::string const& lines) {
    std::vector<json> all;
    for (auto const& line : lines_of(lines))
        all.push_back(json::parse(line));
    return all;
}

} // namespace

TEST_CASE("match ranks all texts for every picture, whatever the batch", "[golden]") {
    Folder const folder;
    Words const words = Words{model, photos, "--format", "jsonl"} + texts;
    auto const result = run(folder, words);
    CHECK(result.status == 0);
    CHECK(result.error == "");
    auto const found = objects(result.out);
    REQUIRE(found.size() == pictures().size());
    for (auto const& object : found) {
        auto const& matches = object["matches"];
        REQUIRE(matches.size() == 3);
        for (std::size_t i = 0; i < 3; ++i) {
            double const p = matches[i]["probability"], cosine = matches[i]["cosine"];
            CHECK((p >= 0 && p <= 1));
            CHECK(std::abs(cosine) <= 1.00001);
            if (i > 0)
                CHECK(p <= matches[i - 1]["probability"].get<double>());
        }
    }
    for (auto const* batch : {"1", "3"})
        CHECK(run(folder, words + Words{"--batch", batch, "--threads", "1"}).out == result.out);
}

TEST_CASE("match says the same in every format and order", "[golden]") {
    Folder const folder;
    auto const picture = pictures().front();
    auto const all = objects(run(folder, Words{model, picture, "--format", "jsonl"} + texts).out);
    auto const& matches = all.at(0)["matches"];
    auto const csv = lines_of(run(folder, Words{model, picture, "--format", "csv"} + texts).out);
    REQUIRE(csv.size() == 4);
    CHECK(csv[0] == "path,rank,text,probability,cosine,width,height,error\r");
    auto const text = lines_of(run(folder, Words{model, picture} + texts).out);
    REQUIRE(text.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(text[i].starts_with(picture + "\t0."));
        CHECK(text[i].ends_with("\t" + matches[i]["text"].get<std::string>()));
        // A table holds every digit: ..., probability, cosine, width, height, error.
        std::vector<std::string> cells{""};
        for (char const c : csv[i + 1])
            if (c == ',')
                cells.emplace_back();
            else
                cells.back() += c;
        REQUIRE(cells.size() >= 8);
        CHECK(std::stod(cells[cells.size() - 5]) == matches[i]["probability"].get<double>());
        CHECK(std::stod(cells[cells.size() - 4]) == matches[i]["cosine"].get<double>());
    }
    auto const best = lines_of(run(folder, Words{model, picture, "--top", "1"} + texts).out);
    CHECK(best == Words{text[0]});
    // The cosine neither needs the probability nor changes with it.
    auto cosines = [&](Words const& more) {
        std::map<std::string, double> found;
        auto const objects_ =
            objects(run(folder, Words{model, picture, "--format", "jsonl"} + more + texts).out);
        double last = 2;
        for (auto const& match : objects_.at(0)["matches"]) {
            CHECK(match["cosine"].get<double>() <= last);
            last = match["cosine"];
            found[match["text"]] = last;
        }
        return found;
    };
    auto const by = cosines({"--by-cosine"}), only = cosines({"--cosine-only"});
    CHECK(by == only);
    for (auto const& match : matches)
        CHECK(by.at(match["text"]) == match["cosine"].get<double>());
}

TEST_CASE("match reports broken pictures, goes on, and continues a cut file", "[golden]") {
    Folder const folder;
    std::ofstream(folder / "bad.png") << "no picture";
    std::ofstream(folder / "texts.txt") << "a cat\n\na dog\r\ncoffee";
    auto const all = pictures();
    auto const output = folder / "o.csv", page = folder / "o.html";
    Words const words{model,      folder / "none.jpg",
                      all[0],     folder / "bad.png",
                      all[1],     all[2],
                      "--texts",  folder / "texts.txt",
                      "--top",    "2",
                      "--output", output,
                      "--html",   page,
                      "--batch",  "2"};
    auto const result = run(folder, words);
    CHECK(result.status == 1);
    CHECK(result.out == "");
    CHECK(lines_of(result.error).size() == 2);
    auto const whole = read(output), whole_page = read(page);
    CHECK(lines_of(whole).size() == 1 + 2 + 3 * 2);
    CHECK(whole_page.find("a cat") != std::string::npos);
    for (std::size_t part = 0; part <= 5; ++part) {
        std::ofstream(output, std::ios::binary) << whole.substr(0, whole.size() * part / 5);
        std::ofstream(page, std::ios::binary)
            << whole_page.substr(0, whole_page.size() * ((part * 3) % 6) / 5);
        CHECK(run(folder, words + Words{"--resume"}).status == 1);
        CHECK(read(output) == whole);
        CHECK(read(page) == whole_page);
    }
    std::ofstream(folder / "texts.txt") << "a cat\na dog\ntea";
    auto const other = run(folder, words + Words{"--resume"});
    CHECK(other.status == 2);
    CHECK(other.error.find("--text was") != std::string::npos);
    CHECK(read(output) == whole);
    CHECK(run(folder, words).status == 2);
}

TEST_CASE("mistakes of match end with status 2 and say what to do", "[golden]") {
    Folder const folder;
    auto const picture = pictures().front();
    auto const check = [](Words words, std::string const& must_say) {
        check_mistake(BLIP_MATCH_PROGRAM, std::move(words), must_say);
    };
    std::ofstream(folder / "empty.txt") << "\n";
    check({}, "MODEL is missing");
    check({model, "--text", "a"}, "PATH is missing");
    check({model, picture}, "--text");
    check({model, picture, "--texts", folder / "none"}, "no such list");
    check({model, picture, "--texts", folder / "empty.txt"}, "is empty");
    check({folder / "none", picture, "--text", "a"}, "no such model folder");
    check({model, picture, "--text", "a", "--image-size", "7"}, "BLIP_MODELS");
    check({model, picture, "--text", "\xff"}, "UTF-8");
    check({model, "@" + (folder / "none"), "--text", "a"}, "no such list");
    check({model, folder.path.string(), "--text", "a"}, "no pictures found");
    check({model, picture, "--text", "a", "--output", folder / "no/o.csv"}, "cannot write");
    check({"--random-model", folder / "m", "--size", "none"}, "no size \"none\"");
#if BLIP_HAS_GOLDEN_VQA
    check({std::string(BLIP_GOLDEN_DIR) + "/vqa", picture, "--text", "a"}, "`answer`");
#endif
    CHECK(run(folder, {"--help"}).status == 0);
}

#endif
#endif
