#include "support/catch.hpp"

#if defined(BLIP_REASON_PROGRAM) && __has_include(<sys/wait.h>)

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <support/program.hpp>

#include <blip/model/golden_cases.hpp>

#if BLIP_HAS_GOLDEN_NLVR

namespace {

using namespace program_test;
using nlohmann::json;

std::string const model = std::string(BLIP_GOLDEN_DIR) + "/nlvr/weights.pth";

Result run(Folder const& folder, Words words) {
    return program_test::run(BLIP_REASON_PROGRAM, folder, std::move(words));
}

std::string name_of(std::string const& path) {
    return std::filesystem::path(path).filename().string();
}

} // namespace

TEST_CASE("reason judges sentences about a pair as it judges them in a list", "[golden]") {
    Folder const folder;
    auto const all = pictures();
    auto const direct = run(folder, {model, all[0], all[1], "a cat", "two dogs, of a kind"});
    CHECK(direct.status == 0);
    CHECK(direct.error == "");
    auto const lines = lines_of(direct.out);
    REQUIRE(lines.size() == 2);
    for (auto const& line : lines) {
        bool const said = line.find("\ttrue\t") != std::string::npos ||
                          line.find("\tfalse\t") != std::string::npos;
        CHECK(said);
    }
    CHECK(lines[0].starts_with(all[0] + "\t" + all[1] + "\ta cat\t"));

    std::ofstream(folder / "a.csv")
        << "label,first,second,sentence\r\n1," << all[0] << "," << all[1] << ",a cat\r\n0,"
        << all[0] << "," << all[1] << ",\"two dogs, of a kind\"\r\n";
    CHECK(run(folder, {model, "--list", folder / "a.csv"}).out == direct.out);
    std::string objects, array;
    for (auto const* sentence : {"a cat", "two dogs, of a kind"}) {
        json const row{{"images", {name_of(all[0]), name_of(all[1])}}, {"sentence", sentence}};
        objects += row.dump() + "\n";
        array += (array.empty() ? "[" : ",") + row.dump();
    }
    std::ofstream(folder / "a.jsonl") << objects;
    std::ofstream(folder / "a.json") << array << "]";
    for (auto const* list : {"a.jsonl", "a.json"})
        for (auto const* batch : {"1", "8"})
            CHECK(run(folder, {model, "--list", folder / list, "--root", photos, "--batch", batch})
                      .out == direct.out);
    // The order of the pictures matters.
    CHECK(run(folder, {model, all[1], all[0], "a cat", "two dogs, of a kind"}).out != direct.out);
}

TEST_CASE("reason reports what it cannot use, goes on, and continues a cut file", "[golden]") {
    Folder const folder;
    auto const all = pictures();
    auto row = [](std::string const& a, std::string const& b, std::string const& sentence) {
        return json{{"images", {a, b}}, {"sentence", sentence}}.dump() + "\n";
    };
    std::string lengthy;
    for (int i = 0; i < 2000; ++i)
        lengthy += "cat ";
    std::ofstream(folder / "a.jsonl")
        << row(all[0], all[1], "a cat") << "{broken\n"
        << row(all[0], "none.jpg", "a dog") << "{\"images\":[\"a\"],\"sentence\":\"one\"}\n"
        << row(all[1], all[2], lengthy) << row(all[1], all[0], "a cat");
    for (std::string const name : {"o.csv", "o.jsonl", "o.txt"}) {
        auto const output = folder / name;
        Words const words{model, "--list", folder / "a.jsonl", "--output", output, "--batch", "2"};
        auto const result = run(folder, words);
        CHECK(result.status == 1);
        INFO(result.error);
        CHECK(lines_of(result.error).size() == 4);
        CHECK(result.error.find("a.jsonl line 2: not a JSON object") != std::string::npos);
        CHECK(result.error.find("a.jsonl line 4: \"images\"") != std::string::npos);
        auto const whole = read(output);
        CHECK(lines_of(whole).size() == (name == "o.csv" ? 7 : 6));
        for (std::size_t part = 0; part <= 4; ++part) {
            std::ofstream(output, std::ios::binary) << whole.substr(0, whole.size() * part / 4);
            CHECK(run(folder, words + Words{"--resume"}).status == 1);
            CHECK(read(output) == whole);
        }
    }
}

TEST_CASE("mistakes of reason end with status 2 and say what to do", "[golden]") {
    Folder const folder;
    auto const all = pictures();
    auto const check = [](Words words, std::string const& must_say) {
        check_mistake(BLIP_REASON_PROGRAM, std::move(words), must_say);
    };
    std::ofstream(folder / "empty.jsonl") << "\n";
    std::ofstream(folder / "broken.json") << "[{\"images\":";
    check({}, "MODEL is missing");
    check({model, all[0], all[1]}, "expected two pictures and a sentence");
    check({model, all[0], all[1], "a", "--list", "x"}, "--list brings its own");
    check({model, "--list", folder / "none"}, "no such list");
    check({model, "--list", folder / "empty.jsonl"}, "holds no entries");
    // A list is read as it is worked on, so that where it breaks off is an item that fails.
    auto const broken = run(folder, {model, "--list", folder / "broken.json"});
    CHECK(broken.status == 1);
    CHECK(broken.error.find("broken.json entry 1: the list ends within this element") !=
          std::string::npos);
    check({model, all[0], all[1], "a", "--root", "x"}, "--root");
    check({model, all[0], all[1], "a", "--resume"}, "--resume needs");
    check({folder / "none", all[0], all[1], "a"}, "no such model folder");
    check({std::string(BLIP_GOLDEN_DIR) + "/vision", all[0], all[1], "a"}, "");
    CHECK(run(folder, {"--help"}).status == 0);
}

#endif
#endif
