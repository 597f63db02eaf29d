#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <blip/text/tokenizer_files.hpp>
#include <blip/text/wordpiece.hpp>

#include "support/catch.hpp"

namespace {

using nlohmann::json;
namespace fs = std::filesystem;
using Ids = std::vector<int>;
using Texts = std::vector<std::string>;

json read_json(fs::path const& path) {
    std::ifstream file(path);
    REQUIRE(file);
    return json::parse(file);
}

blip::Tokenizer tokenizer_of(Texts const& texts, blip::WordpieceOptions options = {}) {
    std::vector<blip::Piece> pieces;
    for (auto const& text : texts)
        pieces.push_back({text, static_cast<int>(pieces.size())});
    return blip::Tokenizer(blip::Vocabulary(std::move(pieces)), std::move(options));
}

Texts words(std::string_view text, blip::Normalization const& rules = {}) {
    Texts out;
    blip::for_each_word(text, rules, [&](std::string_view word) { out.emplace_back(word); });
    return out;
}

Texts pieces(blip::Tokenizer const& tokenizer, Ids const& ids) {
    Texts out;
    for (int const id : ids)
        out.push_back(tokenizer.vocabulary().piece(id));
    return out;
}

Ids inner(Ids ids) {
    return Ids(ids.begin() + 1, ids.end() - 1);
}

blip::Normalization rules_of(json const& entry) {
    blip::Normalization rules;
    rules.lower_case = entry.at("do_lower_case").get<bool>();
    if (!entry.at("strip_accents").is_null())
        rules.strip_accents = entry.at("strip_accents").get<bool>();
    rules.clean = entry.value("clean", true);
    rules.split_ideographs = entry.value("chinese", true);
    return rules;
}

blip::Tokenizer full() {
    return blip::read_tokenizer(BLIP_TEST_DATA_DIR "/bert/vocab.txt");
}

blip::Tokenizer small() {
    return tokenizer_of({"a", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "un", "##want", "##ed",
                         "run", "##s", ",", ".", "'", "s", "n't", "##\u00e9", "t", "-"});
}

} // namespace

TEST_CASE("published tokenizer cases", "[text]") {
    int done = 0;
    auto const cases = read_json(BLIP_TEST_DATA_DIR "/bert/cases.json").at("cases");
    for (auto const& entry : cases) {
        auto const kind = entry.at("kind").get<std::string>();
        CAPTURE(entry.dump());
        ++done;
        if (kind == "full_tokenize" || kind == "wordpiece") {
            auto const tokenizer =
                entry.at("vocab").is_array()
                    ? tokenizer_of(entry.at("vocab").get<Texts>(),
                                   {.normalization = {.lower_case = kind != "wordpiece"}})
                    : full();
            auto const ids = inner(tokenizer.encode(entry.at("input").get<std::string>()));
            if (entry.contains("expected_tokens"))
                CHECK(pieces(tokenizer, ids) == entry.at("expected_tokens").get<Texts>());
            if (entry.contains("expected_ids"))
                CHECK(ids == entry.at("expected_ids").get<Ids>());
            if (entry.contains("expected_ids_tail")) {
                auto const tail = entry.at("expected_ids_tail").get<Ids>();
                REQUIRE(ids.size() >= tail.size());
                CHECK(Ids(ids.end() - std::ssize(tail), ids.end()) == tail);
            }
        } else if (kind == "basic_tokenize" && entry.contains("never_split")) {
            auto listed = entry.at("expected").get<Texts>();
            listed.insert(listed.end(), {"[CLS]", "[SEP]"});
            auto const tokenizer = tokenizer_of(listed, {.normalization = rules_of(entry)});
            auto const ids = inner(tokenizer.encode(entry.at("input").get<std::string>()));
            CHECK(pieces(tokenizer, ids) == entry.at("expected").get<Texts>());
        } else if (kind == "basic_tokenize") {
            CHECK(words(entry.at("input").get<std::string>(), rules_of(entry)) ==
                  entry.at("expected").get<Texts>());
        } else if (kind == "normalize") {
            CHECK(words(entry.at("input").get<std::string>(), rules_of(entry)) ==
                  words(entry.at("expected").get<std::string>(),
                        {.lower_case = false, .strip_accents = false, .split_ideographs = false}));
        } else if (kind.starts_with("is_")) {
            for (bool const expected : {true, false})
                for (auto const& text : entry.at(expected ? "true" : "false")) {
                    char32_t const c = blip::decode_utf8(text.get<std::string>(), 0).value;
                    bool const line = c == '\t' || c == '\n' || c == '\r';
                    bool const found = kind == "is_whitespace" ? blip::is_space(c)
                                       : kind == "is_control"  ? blip::is_control(c) && !line
                                                               : blip::is_punctuation(c);
                    CHECK(found == expected);
                }
        } else {
            CHECK(kind == "encode_pair");
        }
    }
    CHECK(done == 31);
}

TEST_CASE("words are cut as BERT cuts them", "[text]") {
    CHECK(words("Caf\u00e9,\u00a0na\u00efve\u2014no") ==
          Texts{"cafe", ",", "naive", "\u2014", "no"});
    CHECK(words("ab\ufffdc\u200bd") == Texts{"abcd"});
    CHECK(words(std::string_view("a\0b", 3)) == Texts{"ab"});
    CHECK(words("a\u2028b\u3000c\vd") == Texts{"a", "b", "cd"});
    CHECK(words("\u0301").empty());
    CHECK(words("a\u037eb\u226ec") == Texts{"a", ";", "b", "<", "c"});
    CHECK(words("\u0130\u03a3\u0391\u03a3") == Texts{"i\u03c3\u03b1\u03c3"});
    CHECK(words("\u65e5\u672c\u306e") == Texts{"\u65e5", "\u672c", "\u306e"});
    CHECK(words("a\vb\x1f", {.clean = false}) == Texts{"a", "b"});
    CHECK(words("x\u535ay", {.split_ideographs = false}) == Texts{"x\u535ay"});
    CHECK_THROWS_AS(words("ok \xc3("), blip::TextError);
}

TEST_CASE("greedy matching, truncation and unknown words", "[text]") {
    auto const tokenizer = small();
    CHECK(tokenizer.encode("") == Ids{1, 2});
    CHECK(tokenizer.encode("Unwanted runs") == Ids{1, 6, 7, 8, 9, 10, 2});
    CHECK(tokenizer.encode("unwantedX runs") == Ids{1, 4, 9, 10, 2});
    CHECK(tokenizer.encode("unwanted runs", 5) == Ids{1, 6, 7, 8, 2});
    CHECK(tokenizer.encode("unwanted runs", 2) == Ids{1, 2});
    CHECK(tokenizer.encode("unwanted runs", 7).size() == 7);
    CHECK_THROWS_AS(tokenizer.encode("a", 1), blip::ArgumentError);
    CHECK(tokenizer.encode("##s") == Ids{1, 4, 4, 14, 2});

    auto const repeats =
        tokenizer_of({"[CLS]", "[SEP]", "[UNK]", "a", "##a", "\u0439", "##\u0438"});
    CHECK(repeats.encode(std::string(100, 'a')).size() == 102);
    CHECK(repeats.encode(std::string(101, 'a')) == Ids{0, 2, 1});
    std::string wide;
    for (int i = 0; i < 100; ++i)
        wide += "\u0439";
    CHECK(words(wide).front().size() == 200);
    CHECK(repeats.encode("a" + wide) == Ids{0, 2, 1});
    CHECK(repeats.encode("a" + wide.substr(0, 198)).size() == 102);
}

TEST_CASE("special tokens spelled out in text are kept whole", "[text]") {
    auto const tokenizer = small();
    CHECK(tokenizer.encode("a[MASK]s [SEP]") == Ids{1, 0, 5, 14, 2, 2});
    CHECK(tokenizer.encode("[DEC] a[ENC]") == Ids{1, 19, 0, 20, 2});
    CHECK(tokenizer.encode("[mask]") == Ids{1, 4, 4, 4, 2});
    auto moved = tokenizer;
    moved.override_special_ids({.dec = 40});
    CHECK(moved.encode("[DEC][ENC]") == Ids{1, 40, 41, 2});
    CHECK(moved.decode(Ids{40, 0, 41}) == "a");
}

TEST_CASE("batches are rectangles with their mask", "[text]") {
    auto const tokenizer = small();
    Texts const texts{"unwanted", "", "a a a a a"};
    auto const longest = tokenizer.encode_batch(texts);
    CHECK(longest.batch == 3);
    CHECK(longest.length == 7);
    CHECK(longest.ids == Ids{1, 6, 7, 8, 2, 3, 3, 1, 2, 3, 3, 3, 3, 3, 1, 0, 0, 0, 0, 0, 2});
    CHECK(longest.mask == std::vector<unsigned char>{1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0,
                                                     0, 0, 0, 1, 1, 1, 1, 1, 1, 1});
    auto const cut = tokenizer.encode_batch(texts, {.max_length = 4});
    CHECK(cut.length == 4);
    CHECK(Ids(cut.row(2).begin(), cut.row(2).end()) == Ids{1, 0, 0, 2});
    auto const fixed =
        tokenizer.encode_batch(texts, {.padding = blip::Padding::max_length, .max_length = 9});
    CHECK(fixed.length == 9);
    CHECK(fixed.ids.size() == 27);
    CHECK(Ids(fixed.row(1).begin(), fixed.row(1).end()) == Ids{1, 2, 3, 3, 3, 3, 3, 3, 3});
    CHECK(tokenizer.encode_batch({}).length == 0);
    CHECK_THROWS_AS(tokenizer.encode_batch(texts, {.padding = blip::Padding::max_length}),
                    blip::ArgumentError);
    CHECK_THROWS_AS(tokenizer.encode_batch(Texts{"a", "\xff"}), blip::TextError);
}

TEST_CASE("decoding glues, skips and cleans up", "[text]") {
    auto const tokenizer = small();
    CHECK(tokenizer.decode(Ids{1, 6, 7, 8, 9, 10, 12, 2, 3}) == "unwanted runs.");
    CHECK(tokenizer.decode(Ids{10, 0}) == "##s a");
    CHECK(tokenizer.decode(Ids{0, 4, 0}) == "a a");
    CHECK(tokenizer.decode(Ids{0, 13, 14}) == "a's");
    CHECK(tokenizer.decode(Ids{0, 15, 11, 0}) == "an't, a");
    CHECK(tokenizer.decode(Ids{17, 18, 17}) == "t - t");
    CHECK(tokenizer.decode(Ids{19, 0, 2}) == "a");
    CHECK(tokenizer.decode(Ids{19, 0, 2}, blip::SpecialTokens::keep) == "[DEC] a [SEP]");
    CHECK(tokenizer.decode(Ids{}).empty());
    CHECK_THROWS_AS(tokenizer.decode(Ids{21}), blip::ArgumentError);
    CHECK_THROWS_AS(tokenizer.decode(Ids{-1}), blip::ArgumentError);
}

TEST_CASE("every whole word of the full vocabulary encodes to itself", "[text]") {
    auto const tokenizer = full();
    auto const& vocabulary = tokenizer.vocabulary();
    int whole_words = 0;
    for (int id = 0; id < vocabulary.special().dec; ++id) {
        auto const& piece = vocabulary.piece(id);
        if (words(piece) != Texts{piece})
            continue;
        ++whole_words;
        auto const ids = tokenizer.encode(piece);
        if (ids != Ids{101, id, 102})
            FAIL(piece << " with id " << id << " gives " << tokenizer.decode(ids));
    }
    CHECK(whole_words > 20'000);
}

TEST_CASE("random bytes are encoded or refused, never more", "[text]") {
    auto const tokenizer = full();
    std::mt19937 random(7);
    int refused = 0;
    for (int i = 0; i < 3000; ++i) {
        std::string text(random() % 40, '\0');
        for (char& c : text)
            c = static_cast<char>(random() % (i % 2 == 0 ? 256 : 128));
        try {
            for (int const id : tokenizer.encode(text))
                CHECK((id >= 0 && id < tokenizer.vocabulary().size()));
        } catch (blip::TextError const&) {
            ++refused;
        }
    }
    CHECK(refused > 1000);
    CHECK(refused <= 1500);
}

TEST_CASE("generated ids read as the reference reads them", "[golden][text]") {
    int texts = 0;
    for (auto const& entry : fs::directory_iterator(BLIP_GOLDEN_DIR)) {
        auto const folder = entry.path();
        auto const generate = folder / "generate.json";
        if (fs::exists(generate) && fs::exists(folder / "model/vocab.txt")) {
            auto const tokenizer = blip::read_tokenizer(folder / "model");
            for (auto const& call : read_json(generate)) {
                if (!call.contains("text_skip_special"))
                    continue;
                auto const& sequences = call.at("sequences");
                for (std::size_t i = 0; i < sequences.size(); ++i, ++texts) {
                    CAPTURE(folder, sequences[i].dump());
                    CHECK(tokenizer.decode(sequences[i].get<Ids>()) ==
                          call.at("text_skip_special")[i].get<std::string>());
                }
            }
        }
        if (fs::exists(folder / "case.json") && fs::exists(folder / "vocab.txt")) {
            auto const details = read_json(folder / "case.json");
            if (!details.contains("tokens") || !details.at("tokens").is_object())
                continue;
            auto const tokenizer = blip::read_tokenizer(folder / "vocab.txt");
            auto const& special = tokenizer.vocabulary().special();
            auto const& tokens = details.at("tokens");
            CAPTURE(folder);
            CHECK(special.pad == tokens.at("pad").get<int>());
            CHECK(special.unk == tokens.at("unk").get<int>());
            CHECK(special.cls == tokens.at("cls").get<int>());
            CHECK(special.sep == tokens.at("sep").get<int>());
            CHECK(special.mask == tokens.at("mask").get<int>());
            CHECK(special.dec == tokens.at("dec").get<int>());
            CHECK(special.enc == tokens.at("enc").get<int>());
            CHECK(tokenizer.vocabulary().size() == tokens.at("vocab").get<int>());
            if (!fs::exists(folder / "calls.json") || !details.contains("prompt"))
                continue;
            for (auto const& call : read_json(folder / "calls.json")) {
                if (!call.contains("ids") || !call.contains("text"))
                    continue;
                auto const prompt = call.value("prompt", details.at("prompt").get<std::string>());
                auto const cut = blip::to_code_points(prompt).size();
                for (std::size_t i = 0; i < call.at("ids").size(); ++i, ++texts) {
                    CAPTURE(call.at("ids")[i].dump());
                    auto const text =
                        blip::to_code_points(tokenizer.decode(call.at("ids")[i].get<Ids>()));
                    CHECK(blip::to_utf8(text.substr(std::min(cut, text.size()))) ==
                          call.at("text")[i].get<std::string>());
                }
            }
        }
    }
    CHECK(texts > 0);
}
