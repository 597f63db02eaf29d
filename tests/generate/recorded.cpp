#include <blip/generate/beam.hpp>
#include <blip/generate/greedy.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "generate/hashed_scores.hpp"
#include "support/catch.hpp"
#include <blip/io/json.hpp>

using namespace blip;
using namespace blip::test;

namespace {

EarlyStopping early_stopping(std::string const& name) {
    return name == "never"         ? EarlyStopping::never
           : name == "when_filled" ? EarlyStopping::when_filled
                                   : EarlyStopping::off;
}

/// Generation by transformers 5.23.0 over the hashed language.
template <class T>
void check_recorded_case(nlohmann::json const& c) {
    auto const prompts = c["prompts"].get<std::vector<std::vector<int>>>();
    int const end = c["end"];
    HashedLanguage const language{c["vocabulary"], c["seed"], end, c["slope"]};
    SearchRules rules{.end = end,
                      .max_length = {},
                      .max_new_tokens = {},
                      .min_length = c["min_length"],
                      .repetition_penalty = c["repetition_penalty"],
                      .no_repeat_ngram = c["no_repeat_ngram"]};
    if (c.contains("max_length"))
        rules.max_length = c["max_length"].get<int>();
    else
        rules.max_new_tokens = c["max_new_tokens"].get<int>();

    auto scores = row_scores<T>(language, prompts);
    std::vector<std::vector<Hypothesis>> found;
    if (c["beams"] == 1)
        for (auto& hypothesis : greedy(scores, prompts, {.rules = rules}))
            found.push_back({std::move(hypothesis)});
    else
        found = beam_search(scores, prompts,
                            {.rules = rules,
                             .beams = c["beams"],
                             .results = c["results"],
                             .length_penalty = c["length_penalty"],
                             .early_stopping = early_stopping(c["early_stopping"]),
                             .rule = BeamRule::hugging_face});
    REQUIRE(found.size() == prompts.size());
    for (std::size_t item = 0; item < found.size(); ++item) {
        auto const& expected = c["expected"][item];
        REQUIRE(found[item].size() == expected.size());
        for (std::size_t i = 0; i < expected.size(); ++i) {
            auto const& hypothesis = found[item][i];
            auto const ids = expected[i]["ids"].get<std::vector<int>>();
            CHECK(hypothesis.ids == ids);
            auto const generated = ids.begin() + static_cast<std::ptrdiff_t>(prompts[item].size());
            CHECK(hypothesis.finished == (std::find(generated, ids.end(), end) != ids.end()));
            if (expected[i].contains("score"))
                CHECK(hypothesis.score ==
                      Approx(expected[i]["score"].get<double>()).epsilon(1e-5).margin(1e-5));
        }
    }
}

} // namespace

TEST_CASE("greedy and beam search give what transformers 5.23.0 gives") {
    auto const path =
        std::filesystem::path(BLIP_TEST_DATA_DIR) / "generate" / "transformers_5_23_0.json";
    auto const document = JsonDocument::open(path);
    auto const& cases = document.root()["cases"];
    REQUIRE(cases.size() > 20);
    for (std::size_t i = 0; i < cases.size(); ++i) {
        CAPTURE(i);
        check_recorded_case<float>(cases[i]);
        check_recorded_case<double>(cases[i]);
    }
}
