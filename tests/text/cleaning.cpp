#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include <blip/text/cleaning.hpp>

#include "support/catch.hpp"

TEST_CASE("cleaned captions and questions equal the reference", "[golden][text]") {
    std::ifstream file(BLIP_GOLDEN_DIR "/text_cleaning/strings.json");
    REQUIRE(file);
    auto const cases = nlohmann::json::parse(file);
    REQUIRE(!cases.empty());
    for (auto const& entry : cases) {
        auto const text = entry.at("text").get<std::string>();
        CAPTURE(text);
        for (auto const& [max_words, expected] : entry.at("pre_caption").items())
            CHECK(blip::clean_caption(text, std::stoi(max_words)) == expected.get<std::string>());
        for (auto const& [max_words, expected] : entry.at("pre_question").items())
            CHECK(blip::clean_question(text, std::stoi(max_words)) == expected.get<std::string>());
    }
}

TEST_CASE("captions lose punctuation to spaces, questions lose it altogether", "[text]") {
    CHECK(blip::clean_caption("Semi;colon  and.. (dots)") == "semi colon and dots");
    CHECK(blip::clean_question("Semi;colon  and.. (dots)") == "semicolon  and dots");
    CHECK(blip::clean_caption("what, it's a-b/c?") == "what, it's a-b/c?");
    CHECK(blip::clean_caption("one two three", 2) == "one two");
    CHECK(blip::clean_caption("one two three", 0).empty());
    CHECK(blip::clean_question("a  b c", 2) == "a ");
}

TEST_CASE("unusable arguments of the cleaners are refused", "[text]") {
    CHECK_THROWS_AS(blip::clean_caption("a", -1), blip::ArgumentError);
    CHECK_THROWS_AS(blip::clean_question("\xff"), blip::TextError);
    CHECK_THROWS_AS(blip::clean_caption("caf\xc3"), blip::TextError);
}
