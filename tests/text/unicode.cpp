#include <string>
#include <vector>

#include <blip/text/unicode.hpp>

#include "support/catch.hpp"

TEST_CASE("every scalar value survives UTF-8 and back", "[text]") {
    for (char32_t c = 0; c < 0x110000; ++c) {
        if (c >= 0xd800 && c < 0xe000)
            continue;
        std::string text;
        blip::append_utf8(text, c);
        auto const back = blip::decode_utf8(text, 0);
        if (back.value != c || back.size != text.size())
            FAIL("code point " << static_cast<unsigned>(c));
    }
}

TEST_CASE("malformed UTF-8 is refused with the offset of its first byte", "[text]") {
    std::vector<std::string> const faults{"\x80",
                                          "\xbf",
                                          "\xc0\x80",
                                          "\xc1\xbf",
                                          "\xc3",
                                          "\xe2\x82",
                                          "\xe0\x80\x80",
                                          "\xed\xa0\x80",
                                          "\xed\xbf\xbf",
                                          "\xf0\x80\x80\x80",
                                          "\xf0\x9f\x98",
                                          "\xf5\x80\x80\x80",
                                          "\xf4\x90\x80\x80",
                                          "\xff",
                                          "\xe2(\xa1",
                                          "\xc3("};
    for (std::string const& fault : faults)
        for (char const* behind : {"", "z"}) {
            std::string const text = "a\u00e9" + fault + behind;
            CAPTURE(text);
            REQUIRE_THROWS_AS(blip::require_utf8(text), blip::TextError);
            std::string message;
            try {
                blip::lower(text);
            } catch (blip::TextError const& error) {
                message = error.what();
            }
            CHECK(message.find("byte offset 3 ") != std::string::npos);
        }
}

TEST_CASE("lower case follows Python", "[text]") {
    CHECK(blip::lower("A b-C 9") == "a b-c 9");
    CHECK(blip::lower("\u0130") == "i\u0307");
    CHECK(blip::lower("\u03a3\u0391\u03a3") == "\u03c3\u03b1\u03c2");
    CHECK(blip::lower("\u03a3") == "\u03c3");
    CHECK(blip::lower("\u0391\u03a3.") == "\u03b1\u03c2.");
    CHECK(blip::lower("\u0391\u03a3.\u0391") == "\u03b1\u03c3.\u03b1");
    CHECK(blip::lower("\u0391'\u03a3") == "\u03b1'\u03c2");
    CHECK(blip::lower("1\u03a3") == "1\u03c3");
    CHECK(blip::lower("\u212a\u01c5\u1e9e") == "k\u01c6\u00df");
}

TEST_CASE("a long run of capital sigmas is lowered in linear time", "[text]") {
    std::string text;
    for (int i = 0; i < 200'000; ++i)
        text += "\u03a3'";
    auto const lowered = blip::lower(text);
    CHECK(lowered.size() == text.size());
    CHECK(lowered.ends_with("\u03c2'"));
}

TEST_CASE("accents go by canonical decomposition", "[text]") {
    auto const strip = [](std::u32string text) {
        blip::strip_accents(text);
        return text;
    };
    CHECK(strip(U"H\u00e9ll\u00f2") == U"Hello");
    CHECK(strip(U"e\u0301\u0327x") == U"ex");
    CHECK(strip(U"\uac01") == U"\u1100\u1161\u11a8");
    CHECK(strip(U"\u00df\u00f8") == U"\u00df\u00f8");
    CHECK(strip(U"\u0301").empty());
    CHECK(strip(U"a\u302e\U00016ff0") == U"a\U00016ff0\u302e");
}
