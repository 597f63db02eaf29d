#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <blip/text/tokenizer_files.hpp>
#include <blip/text/vocabulary.hpp>

#include "support/catch.hpp"

namespace {

using nlohmann::json;
namespace fs = std::filesystem;

std::string const base = "[CLS]\n[PAD]\nx\n[UNK]\n[SEP]\n[MASK]\nword\n##s\n";

json tokenizer_json() {
    return {{"added_tokens",
             {{{"id", 4}, {"content", "[SEP]"}, {"special", true}},
              {{"id", 9}, {"content", "<place>"}, {"special", false}}}},
            {"normalizer", {{"type", "BertNormalizer"}, {"lowercase", false}}},
            {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
            {"model",
             {{"type", "WordPiece"},
              {"unk_token", "[UNK]"},
              {"vocab",
               {{"[CLS]", 0},
                {"[PAD]", 1},
                {"x", 2},
                {"[UNK]", 3},
                {"[SEP]", 4},
                {"[MASK]", 5},
                {"word", 6},
                {"##s", 7}}}}}};
}

blip::Tokenizer parse(json const& tokenizer, std::string const& config = {}) {
    return blip::parse_tokenizer(
        {.tokenizer_json = tokenizer.dump(), .tokenizer_config_json = config});
}

using Ids = std::vector<int>;

} // namespace

TEST_CASE("special ids come from the file, [DEC] and [ENC] follow its pieces", "[text]") {
    auto const vocabulary = blip::parse_vocabulary(base);
    auto const& special = vocabulary.special();
    CHECK(special.cls == 0);
    CHECK(special.pad == 1);
    CHECK(special.unk == 3);
    CHECK(special.sep == 4);
    CHECK(special.mask == 5);
    CHECK(special.dec == 8);
    CHECK(special.enc == 9);
    CHECK(vocabulary.size() == 10);
    CHECK(vocabulary.piece(8) == "[DEC]");
    CHECK(vocabulary.piece(6) == "word");
    CHECK(vocabulary.find("##s") == 7);
    CHECK(!vocabulary.find("##"));
    CHECK(vocabulary.is_special(9));
    CHECK(!vocabulary.is_special(2));
    CHECK_THROWS_AS(vocabulary.piece(10), blip::ArgumentError);
    CHECK_THROWS_AS(vocabulary.piece(-1), blip::ArgumentError);

    auto const listed = blip::parse_vocabulary("[ENC]\n[DEC]\n" + base);
    CHECK(listed.special().enc == 0);
    CHECK(listed.special().dec == 1);
    CHECK(listed.size() == 10);
}

TEST_CASE("line ends of every kind give the same pieces", "[text]") {
    auto const texts = [](std::string const& lines) {
        std::vector<std::string> out;
        for (auto const& piece : blip::vocabulary_lines(lines))
            out.push_back(piece.text);
        return out;
    };
    using Texts = std::vector<std::string>;
    CHECK(texts("a\nb\n") == Texts{"a", "b"});
    CHECK(texts("a\nb") == Texts{"a", "b"});
    CHECK(texts("a\r\nb\r\n") == Texts{"a", "b"});
    CHECK(texts("a\rb\r") == Texts{"a", "b"});
    CHECK(texts("a\n\n b \n\n") == Texts{"a", "", " b ", ""});
    CHECK(texts("").empty());
}

TEST_CASE("the last of two equal pieces counts, the first reads as [UNK]", "[text]") {
    auto const vocabulary = blip::parse_vocabulary("x\n[CLS]\n[PAD]\n[UNK]\n[SEP]\n[MASK]\nx\ny\n");
    CHECK(vocabulary.find("x") == 6);
    CHECK(vocabulary.piece(0) == "[UNK]");
    CHECK(vocabulary.is_special(0));
    CHECK(vocabulary.special().dec == 8);
}

TEST_CASE("a missing [PAD] or [MASK] is appended before [DEC]", "[text]") {
    auto const vocabulary = blip::parse_vocabulary("[UNK]\n[CLS]\n[SEP]\nx");
    CHECK(vocabulary.special().pad == 4);
    CHECK(vocabulary.special().mask == 5);
    CHECK(vocabulary.special().dec == 6);
    CHECK(vocabulary.special().enc == 7);
    CHECK_THROWS_AS(blip::parse_vocabulary("[UNK]\n[CLS]\n"), blip::TextError);
    CHECK_THROWS_AS(blip::parse_vocabulary(""), blip::TextError);
}

TEST_CASE("a model configuration overrides special ids", "[text]") {
    auto vocabulary = blip::parse_vocabulary(base);
    vocabulary.override_special_ids({.dec = 20});
    CHECK(vocabulary.special().dec == 20);
    CHECK(vocabulary.special().enc == 21);
    CHECK(vocabulary.size() == 22);
    CHECK(vocabulary.is_special(20));
    CHECK(vocabulary.piece(15) == "[UNK]");
    vocabulary.override_special_ids({.pad = 2, .enc = 30});
    CHECK(vocabulary.special().pad == 2);
    CHECK(vocabulary.special().enc == 30);
    CHECK_THROWS_AS(vocabulary.override_special_ids({.sep = -1}), blip::ArgumentError);
    auto listed = blip::parse_vocabulary("[ENC]\n" + base);
    listed.override_special_ids({.dec = 20});
    CHECK(listed.special().enc == 0);
}

TEST_CASE("hostile vocabularies are refused", "[text]") {
    CHECK_THROWS_AS(blip::parse_vocabulary(base + "\xff\n"), blip::TextError);
    CHECK_THROWS_AS(blip::vocabulary_lines(base, {.bytes = 5}), blip::LimitError);
    CHECK_THROWS_AS(blip::vocabulary_lines(base, {.pieces = 3}), blip::LimitError);
    auto hostile = tokenizer_json();
    for (json const& id : {json(2147483647), json(5'000'000'000), json(-1), json(1.5), json("2"),
                           json(18446744073709551615u)}) {
        hostile["model"]["vocab"]["x"] = id;
        CHECK_THROWS_AS(parse(hostile), blip::Error);
    }
    auto twice = tokenizer_json();
    twice["model"]["vocab"]["y"] = 2;
    CHECK_THROWS_AS(parse(twice), blip::TextError);
    for (char const* text : {"{", "[]", "3", "{\"model\":3}", "{\"model\":{\"vocab\":[]}}", "\xff"})
        CHECK_THROWS_AS(blip::parse_tokenizer({.tokenizer_json = text}), blip::FormatError);
    CHECK_THROWS_AS(
        blip::parse_tokenizer({.tokenizer_json = "{\"a\":" + std::string(100'000, '[')}),
        blip::LimitError);
    CHECK_THROWS_AS(blip::parse_tokenizer({}), blip::ArgumentError);
    CHECK_THROWS_AS(blip::read_tokenizer("no/such/folder"), blip::FileError);
}

TEST_CASE("tokenizers other than BERT's are refused by name", "[text]") {
    auto const refusal = [](json const& tokenizer) {
        try {
            parse(tokenizer);
        } catch (blip::FormatError const& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    auto other = tokenizer_json();
    other["model"]["type"] = "BPE";
    CHECK(refusal(other).find("WordPiece") != std::string::npos);
    CHECK(refusal(other).find("BPE") != std::string::npos);
    other = tokenizer_json();
    other["pre_tokenizer"]["type"] = "ByteLevel";
    CHECK(refusal(other).find("ByteLevel") != std::string::npos);
    other = tokenizer_json();
    other["normalizer"] = nullptr;
    CHECK(refusal(other).find("BertNormalizer") != std::string::npos);
}

TEST_CASE("tokenizer.json settings are obeyed and refined", "[text]") {
    auto const cased = parse(tokenizer_json());
    CHECK(cased.encode("word Word <place>") == Ids{0, 6, 3, 9, 4});
    CHECK(cased.encode("[DEC]") == Ids{0, 3, 3, 3, 4});
    CHECK(cased.decode(Ids{6, 9, 4}) == "word <place>");
    auto const lowered = parse(tokenizer_json(), R"({"do_lower_case": true, "pad_token": "x"})");
    CHECK(lowered.encode("word Word") == Ids{0, 6, 6, 4});
    CHECK(lowered.vocabulary().special().pad == 2);
    auto const named = parse(tokenizer_json(), R"({"pad_token": {"content": "word"}})");
    CHECK(named.vocabulary().special().pad == 6);
    CHECK_THROWS_AS(parse(tokenizer_json(), R"({"do_lower_case": 1})"), blip::FormatError);

    auto const added = blip::parse_tokenizer(
        {.vocab_txt = base, .added_tokens_json = R"({"[DEC]": 12, "[ENC]": 11})"});
    CHECK(added.vocabulary().special().dec == 12);
    CHECK(added.vocabulary().special().enc == 11);
    CHECK(added.encode("[ENC]word") == Ids{0, 11, 6, 4});
    CHECK(added.decode(Ids{12, 6}) == "word");
}

TEST_CASE("tokenizer.json and vocab.txt of a model folder give the same ids", "[golden][text]") {
    int folders = 0;
    for (auto const& entry : fs::directory_iterator(BLIP_GOLDEN_DIR)) {
        auto const folder = entry.path() / "model";
        if (!fs::exists(folder / "tokenizer.json") || !fs::exists(folder / "vocab.txt"))
            continue;
        ++folders;
        CAPTURE(folder);
        auto const whole = blip::read_tokenizer(folder);
        auto const json_only = blip::read_tokenizer(folder / "tokenizer.json");
        auto const lines = blip::read_tokenizer(folder / "vocab.txt");
        auto const& a = whole.vocabulary().special();
        auto const& b = lines.vocabulary().special();
        CHECK(a.pad == b.pad);
        CHECK(a.unk == b.unk);
        CHECK(a.cls == b.cls);
        CHECK(a.sep == b.sep);
        CHECK(a.mask == b.mask);
        CHECK(a.dec == b.dec);
        CHECK(a.enc == b.enc);
        REQUIRE(whole.vocabulary().size() == lines.vocabulary().size());
        std::string text = "T\u00c9ST w999! [MASK] \u535a";
        for (int id = 0; id < lines.vocabulary().size(); ++id) {
            CHECK(whole.vocabulary().piece(id) == lines.vocabulary().piece(id));
            if (!lines.vocabulary().is_special(id))
                text += " " + lines.vocabulary().piece(id);
        }
        CHECK(whole.encode(text) == lines.encode(text));
        CHECK(json_only.encode(text) == lines.encode(text));
    }
    CHECK(folders > 0);
}
