#include <blip/io/json.hpp>

#include "io/files.hpp"
#include "support/catch.hpp"

using namespace blip;
using namespace blip::test;

namespace {

JsonDocument document(std::string_view text) {
    return JsonDocument(parse_json(text, "config.json"), "config.json");
}

} // namespace

TEST_CASE("errors in JSON text say line and column") {
    auto const message = [](std::string_view text) {
        return message_of<FormatError>([&] { parse_json(text, "config.json"); });
    };
    CHECK(contains(message("{\n  \"a\": 1,\n  b\n}"),
                   "config.json: not valid JSON at line 3, column 3"));
    CHECK(contains(message(""), "line 1, column 1"));
    CHECK(contains(message("[1, 2"), "unexpected end of input"));
    CHECK(contains(message("[NaN]"), "not valid JSON"));
    CHECK(contains(message("[1e999]"), "config.json"));
    CHECK(message(std::string(100'000, '"') + "\x01").size() < 500);
}

TEST_CASE("JSON from outside is bounded") {
    std::string const deep = std::string(100'000, '[') + std::string(100'000, ']');
    CHECK_THROWS_AS(parse_json(deep, "f"), LimitError);
    CHECK_NOTHROW(parse_json("[[[]]]", "f", {.depth = 3}));
    CHECK_THROWS_AS(parse_json("[[[]]]", "f", {.depth = 2}), LimitError);
    CHECK_THROWS_AS(parse_json("[[{\"a\": 1}]]", "f", {.depth = 2}), LimitError);
    CHECK_THROWS_AS(parse_json("[1, 2, 3]", "f", {.bytes = 8}), LimitError);
    CHECK_NOTHROW(parse_json("[1, 2, 3]", "f", {.values = 4}));
    CHECK_THROWS_AS(parse_json("[1, 2, 3]", "f", {.values = 3}), LimitError);
}

TEST_CASE("duplicate keys are kept or refused") {
    std::string const text = R"({"x": {"a": 1, "b": 2}, "y": {"a": 1, "a": 2}})";
    CHECK(parse_json(text, "f")["y"]["a"] == 2);
    CHECK(contains(message_of<FormatError>(
                       [&] { parse_json(text, "f", {.duplicate_keys = DuplicateKeys::refuse}); }),
                   "key \"a\" occurs twice"));
    CHECK_NOTHROW(parse_json(R"({"x": {"a": 1}, "y": {"a": {"a": 2}}})", "f",
                             {.duplicate_keys = DuplicateKeys::refuse}));
}

TEST_CASE("typed getters read dotted keys") {
    auto const json = document(R"({"text_config": {"hidden_size": 768, "eps": 1e-12, "act": "gelu",
        "flag": true, "sizes": [1, 2], "big": 18446744073709551615, "nothing": null}, "n": -3})");
    CHECK(json.required<int>("text_config.hidden_size") == 768);
    CHECK(json.required<double>("text_config.eps") == 1e-12);
    CHECK(json.required<float>("n") == -3.0f);
    CHECK(json.required<std::string>("text_config.act") == "gelu");
    CHECK(json.required<bool>("text_config.flag"));
    CHECK(json.required<std::vector<int>>("text_config.sizes") == std::vector<int>{1, 2});
    CHECK(json.required<std::uint64_t>("text_config.big") == 18446744073709551615u);
    CHECK(json.required<nlohmann::json>("text_config.sizes").size() == 2);
    CHECK(json.value_or("text_config.missing", 5) == 5);
    CHECK(json.value_or("text_config.nothing", 6) == 6);
    CHECK(json.value_or("nowhere.at.all", 7) == 7);
    CHECK(json.has("text_config.eps"));
    CHECK_FALSE(json.has("text_config.nothing"));
    CHECK_FALSE(json.has("text_config.eps2"));
}

TEST_CASE("getters say file, key, what was expected and what was found") {
    auto const json =
        document(R"({"a": {"b": "text", "c": 3.5, "d": 300, "e": [1, "x"], "f": 5000000000}})");
    auto const message = [&](auto read) { return message_of<FormatError>([&] { read(json); }); };
    CHECK(message([](auto& j) { j.template required<int>("a.b"); }) ==
          "config.json: key \"a.b\": expected a whole number from -2147483648 to 2147483647, found "
          "\"text\"");
    CHECK(contains(message([](auto& j) { j.template required<int>("a.c"); }), "found 3.5"));
    CHECK(contains(message([](auto& j) { j.template required<int>("a.f"); }), "found 5000000000"));
    CHECK(contains(message([](auto& j) { j.template required<std::uint8_t>("a.d"); }),
                   "from 0 to 255, found 300"));
    CHECK(contains(message([](auto& j) { j.template required<std::vector<int>>("a.e"); }),
                   "key \"a.e[1]\""));
    CHECK(contains(message([](auto& j) { j.template required<int>("a.missing"); }),
                   "key \"a.missing\" is missing"));
    CHECK(contains(message([](auto& j) { j.template required<int>("a"); }),
                   "found an object of 5 entries"));
    CHECK(contains(message([](auto& j) { j.template value_or<int>("a.b.c", 1); }),
                   "key \"a.b\": expected an object, found \"text\""));
    CHECK(contains(message([](auto& j) { j.template value_or<bool>("a.d", true); }),
                   "expected true or false, found 300"));
    CHECK_THROWS_AS(document("[1]"), FormatError);
}

TEST_CASE("JSON files are opened by name") {
    TemporaryFolder const folder;
    write_file(folder / "config.json", "{\"a\": 1}");
    CHECK(JsonDocument::open(folder / "config.json").required<int>("a") == 1);
    CHECK_THROWS_AS(JsonDocument::open(folder / "other.json"), FileError);
    write_file(folder / "empty.json", "");
    CHECK_THROWS_AS(JsonDocument::open(folder / "empty.json"), FormatError);
}

TEST_CASE("the JSON test suite is judged as it says") {
    std::size_t judged = 0;
    for (auto const& entry : std::filesystem::directory_iterator(test_data("fuzz/json"))) {
        auto const name = entry.path().filename().string();
        auto const text = content_of(entry.path());
        INFO(name);
        if (name.starts_with("y_"))
            CHECK_NOTHROW(parse_json(text, name));
        else if (name.starts_with("n_"))
            CHECK_THROWS_AS(parse_json(text, name), Error);
        else if (name.starts_with("i_"))
            static_cast<void>(message_of<Error>([&] { parse_json(text, name); }));
        else
            continue;
        ++judged;
    }
    CHECK(judged >= 40);
}
