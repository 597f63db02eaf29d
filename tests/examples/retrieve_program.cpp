#include "support/catch.hpp"

#if defined(BLIP_RETRIEVE_PROGRAM) && __has_include(<sys/wait.h>)

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <support/program.hpp>

#include <blip/model/golden_cases.hpp>

#if BLIP_HAS_GOLDEN_RETRIEVAL_TRAIN

namespace {

using namespace program_test;
using nlohmann::json;

std::string const model = std::string(BLIP_GOLDEN_DIR) + "/retrieval_train";

Result run(Folder const& folder, Words words) {
    return program_test::run(BLIP_RETRIEVE_PROGRAM, folder, std::move(words));
}

Words const texts{"--text", "a cat", "--text", "the rocket starts"};

} // namespace

TEST_CASE("an index made at once, in parts and after a break gives the same results", "[golden]") {
    Folder const folder;
    auto const all = pictures();
    auto const whole = folder / "whole.index", parts = folder / "parts.index";
    auto const made = run(folder, {"index", model, photos, "--output", whole, "--batch", "3"});
    INFO(made.error);
    CHECK(made.status == 0);
    CHECK(made.error.find(std::to_string(all.size()) + " pictures added") != std::string::npos);
    CHECK(run(folder, {"index", model, all[0], all[1], "--output", parts}).status == 0);
    auto const refused = run(folder, {"index", model, photos, "--output", parts});
    CHECK(refused.status == 2);
    CHECK(refused.error.find("--append") != std::string::npos);
    auto const more = run(folder, {"index", model, photos, "--output", parts, "--append"});
    CHECK(more.status == 0);
    CHECK(more.error.find(std::to_string(all.size() - 2) + " pictures added") != std::string::npos);
    auto const found = run(folder, Words{"query", model, whole} + texts);
    CHECK(found.status == 0);
    CHECK(lines_of(found.out).size() == 2 * std::min<std::size_t>(10, all.size()));
    CHECK(found.out == run(folder, Words{"query", model, parts} + texts).out);

    // A picture is closest to itself.
    auto const self =
        run(folder, {"query", model, whole, "--image", all[2], "--top", "1", "--format", "jsonl"});
    auto const hit = json::parse(self.out)["hits"].at(0);
    CHECK(hit["path"] == all[2]);
    CHECK(hit["cosine"].get<double>() > 0.999);
}

TEST_CASE("ranking again agrees with and without stored states, at once or later", "[golden]") {
    Folder const folder;
    auto const index = folder / "p.index", states = folder / "p.states";
    REQUIRE(run(folder, {"index", model, photos, "--output", index, "--states", states}).status ==
            0);
    auto hits_of = [&](Words words) {
        auto const result = run(folder, std::move(words));
        INFO(result.error);
        REQUIRE(result.status == 0);
        std::vector<json> all;
        for (auto const& line : lines_of(result.out))
            all.push_back(json::parse(line)["hits"]);
        REQUIRE(all.size() == 2);
        return all;
    };
    Words const jsonl{"--format", "jsonl", "--top", "4"};
    auto const fresh = hits_of(Words{"query", model, index, "--rerank", "4"} + texts + jsonl);
    auto const stored =
        hits_of(Words{"query", model, index, "--rerank", "4", "--states", states} + texts + jsonl);
    auto const results = folder / "r.jsonl";
    CHECK(run(folder, Words{"query", model, index, "--output", results, "--top", "4"} + texts)
              .status == 0);
    auto const later = hits_of({"rerank", model, index, results, "--format", "jsonl"});
    CHECK(later == fresh);
    for (std::size_t q = 0; q < 2; ++q) {
        REQUIRE(fresh[q].size() == 4);
        for (auto const& hit : fresh[q]) {
            auto const same = std::find_if(stored[q].begin(), stored[q].end(),
                                           [&](json const& h) { return h["path"] == hit["path"]; });
            REQUIRE(same != stored[q].end());
            CHECK(std::abs(hit["match"].get<double>() - (*same)["match"].get<double>()) < 0.02);
        }
        for (std::size_t i = 1; i < 4; ++i)
            CHECK(fresh[q][i]["score"].get<double>() <= fresh[q][i - 1]["score"].get<double>());
    }
}

TEST_CASE("texts are indexed, found by pictures and texts, and ranked again", "[golden]") {
    Folder const folder;
    std::ofstream(folder / "captions.txt") << "a cat\na dog on a beach\n\xff\nthe rocket starts\n";
    std::ofstream(folder / "more.txt") << "a cat\ncoffee\n";
    auto const index = folder / "t.index", output = folder / "o.jsonl", first = pictures()[0];
    auto const made =
        run(folder, {"index", model, "--texts", folder / "captions.txt", "--output", index});
    INFO(made.error);
    CHECK(made.status == 1); // one is no UTF-8
    CHECK(made.error.find("3 texts added") != std::string::npos);
    auto const more = run(
        folder, {"index", model, "--texts", folder / "more.txt", "--output", index, "--append"});
    CHECK(more.error.find("1 texts added, 4 in all") != std::string::npos);
    // A text is closest to itself.
    auto const self =
        run(folder, {"query", model, index, "--text", "coffee", "--top", "1", "--format", "jsonl"});
    CHECK(json::parse(self.out)["hits"].at(0)["text"] == "coffee");
    Words const query{"query", model, index, "--image", first, "--image", pictures()[1]};
    CHECK(run(folder, query + Words{"--output", output}).status == 0);
    auto const ranked = run(folder, query + Words{"--rerank", "4", "--format", "jsonl"});
    CHECK(ranked.status == 0);
    auto const later = run(folder, {"rerank", model, index, output, "--format", "jsonl"});
    CHECK(later.out == ranked.out);
    auto const hits = json::parse(lines_of(later.out).front())["hits"];
    REQUIRE(hits.size() == 4);
    for (std::size_t i = 1; i < 4; ++i)
        CHECK(hits[i]["score"].get<double>() <= hits[i - 1]["score"].get<double>());
    check_mistake(BLIP_RETRIEVE_PROGRAM, {"query", model, index, "--text", "a", "--rerank", "2"},
                  "--rerank");
    check_mistake(BLIP_RETRIEVE_PROGRAM,
                  {"index", model, photos, "--texts", "a", "--output", folder / "x"}, "--texts");
}

TEST_CASE("ranking again is continued where it was stopped", "[golden]") {
    Folder const folder;
    auto const index = folder / "p.index", found = folder / "f.jsonl", output = folder / "o.jsonl";
    REQUIRE(run(folder, {"index", model, photos, "--output", index}).status == 0);
    REQUIRE(
        run(folder, Words{"query", model, index, "--top", "3", "--output", found} + texts).status ==
        0);
    Words const words{"rerank", model, index, found, "--output", output};
    REQUIRE(run(folder, words).status == 0);
    auto const whole = read(output);
    REQUIRE(lines_of(whole).size() == 2);
    for (std::size_t part = 0; part <= 4; ++part) {
        std::ofstream(output, std::ios::binary) << whole.substr(0, whole.size() * part / 4);
        CHECK(run(folder, words + Words{"--resume"}).status == 0);
        CHECK(read(output) == whole);
    }
    check_mistake(BLIP_RETRIEVE_PROGRAM,
                  {"rerank", model, index, found, "--output", folder / "o.csv", "--resume"},
                  "jsonl");
}

TEST_CASE("retrieve shows a page and says what it could not use", "[golden]") {
    Folder const folder;
    std::ofstream(folder / "bad.png") << "no picture";
    auto const index = folder / "p.index", page = folder / "p.html", output = folder / "o.csv";
    auto const made = run(folder, {"index", model, photos, folder / "bad.png", "--output", index});
    CHECK(made.status == 1);
    CHECK(made.error.find("bad.png: ") != std::string::npos);
    Words const words =
        Words{"query", model, index,    "--html", page,      "--output",        output,
              "--top", "3",   "--text", "\xff",   "--image", folder / "bad.png"} +
        texts;
    auto const found = run(folder, words);
    INFO(found.error);
    CHECK(found.status == 1);
    auto const whole = read(output), whole_page = read(page);
    CHECK(lines_of(whole).size() == 1 + 2 + 2 * 3);
    CHECK(whole_page.find("<h2>a cat</h2>") != std::string::npos);
    for (std::size_t part = 0; part <= 4; ++part) {
        std::ofstream(output, std::ios::binary) << whole.substr(0, whole.size() * part / 4);
        CHECK(run(folder, words + Words{"--resume"}).status == 1);
        CHECK(read(output) == whole);
        CHECK(read(page) == whole_page);
    }
}

TEST_CASE("mistakes of retrieve end with status 2 and say what to do", "[golden]") {
    Folder const folder;
    auto const index = folder / "p.index";
    REQUIRE(run(folder, {"index", model, photos, "--output", index}).status == 0);
    auto const check = [](Words words, std::string const& must_say) {
        check_mistake(BLIP_RETRIEVE_PROGRAM, std::move(words), must_say);
    };
    std::ofstream(folder / "no.index") << "no index";
    check({"index", model, photos}, "--output is missing");
    check({"index", "--output", folder / "x"}, "MODEL is missing");
    check({"index", model, "--output", folder / "x"}, "PATH is missing");
    check({"query", model}, "--text");
    check({"query", model, index}, "--text");
    check({"query", model, folder / "none", "--text", "a"}, "no such index");
    check({"query", model, folder / "no.index", "--text", "a"}, "no.index");
    check({"query", model, index, "--image", "a", "--rerank", "2"}, "--rerank");
    check({"rerank", model, index}, "RESULTS is missing");
    check({"rerank", model, index, folder / "none"}, "no such list");
    CHECK(run(folder, {"--help"}).status == 0);
    CHECK(run(folder, {"query", "--help"}).status == 0);
}

#endif
#endif
