#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <blip/text/bert_base_uncased.hpp>
#include <blip/text/wordpiece.hpp>

#include "support/catch.hpp"

namespace {

std::string read_data(std::string const& name) {
    std::ifstream file(std::string(BLIP_TEST_DATA_DIR "/bert/") + name, std::ios::binary);
    REQUIRE(file);
    return {std::istreambuf_iterator<char>(file), {}};
}

} // namespace

TEST_CASE("the built-in vocabulary equals the published vocab.txt", "[text]") {
    auto const built_in = blip::bert_base_uncased();
    auto const lines = blip::vocabulary_lines(read_data("vocab.txt"));
    REQUIRE(lines.size() == 30522);
    for (auto const& line : lines)
        if (built_in.piece(line.id) != line.text || built_in.find(line.text) != line.id)
            FAIL("piece " << line.id << ": " << built_in.piece(line.id) << " for " << line.text);
    auto const& special = built_in.special();
    CHECK(special.pad == 0);
    CHECK(special.unk == 100);
    CHECK(special.cls == 101);
    CHECK(special.sep == 102);
    CHECK(special.mask == 103);
    CHECK(special.dec == 30522);
    CHECK(special.enc == 30523);
    CHECK(built_in.size() == 30524);
}

TEST_CASE("bert-base-uncased gives the ids known from published examples", "[text]") {
    blip::Tokenizer const tokenizer(blip::bert_base_uncased());
    using Ids = std::vector<int>;
    CHECK(tokenizer.encode("a picture of ") == Ids{101, 1037, 3861, 1997, 102});
    Ids const beach{101, 1037, 2450, 3564, 2006, 1996, 3509, 2007, 2014, 3899, 102};
    CHECK(tokenizer.encode("A woman sitting on the beach with her dog") == beach);
    CHECK(tokenizer.decode(beach) == "a woman sitting on the beach with her dog");
    CHECK(tokenizer.encode("a large statue of a person spraying water from a fountain") ==
          Ids{101, 1037, 2312, 6231, 1997, 1037, 2711, 29035, 2300, 2013, 1037, 9545, 102});
    CHECK(tokenizer.decode(Ids{30522, 1015, 102}) == "1");

    auto const cases = nlohmann::json::parse(read_data("cases.json")).at("cases");
    int pairs = 0;
    for (auto const& entry : cases) {
        if (entry.at("kind") != "encode_pair")
            continue;
        ++pairs;
        auto ids = tokenizer.encode(entry.at("input").at(0).get<std::string>());
        auto const second = tokenizer.encode(entry.at("input").at(1).get<std::string>());
        ids.insert(ids.end(), second.begin() + 1, second.end());
        CHECK(ids == entry.at("expected_ids").get<Ids>());
    }
    CHECK(pairs == 1);
}
