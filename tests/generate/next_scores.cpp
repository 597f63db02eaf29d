#include <blip/generate/beam.hpp>
#include <blip/generate/greedy.hpp>
#include <blip/generate/next_scores.hpp>
#include <blip/generate/sample.hpp>

#include <algorithm>
#include <vector>

#include "generate/hashed_scores.hpp"
#include "support/catch.hpp"

using namespace blip;
using namespace blip::test;

namespace {

bool all_same(std::vector<std::vector<Hypothesis>> const& a,
              std::vector<std::vector<Hypothesis>> const& b) {
    return std::ranges::equal(a, b, [](auto const& mine, auto const& theirs) {
        return std::ranges::equal(
            mine, theirs, [](auto const& x, auto const& y) { return blip::test::same(x, y); });
    });
}

} // namespace

TEMPLATE_TEST_CASE("a search over any model's scores is the search over the model", "", float,
                   double) {
    HashedLanguage const language{.vocabulary = 30, .seed = 3, .end = 2, .slope = 0.1};
    std::vector<std::vector<int>> const prompts{{1}, {1, 5, 6}};
    SearchRules const rules{.end = 2, .max_new_tokens = 9};
    auto const both = [&](auto const& search) {
        auto own = row_scores<TestType>(language, prompts);
        auto wrapped = row_scores<TestType>(language, prompts);
        AnyNextScores<TestType> any(wrapped);
        CHECK(any.vocabulary() == own.vocabulary());
        CHECK(all_same(search(own), search(any)));
    };
    both([&](auto& next) {
        return beam_search(next, prompts, {.rules = rules, .beams = 3, .results = 2});
    });
    both([&](auto& next) { return sample(next, prompts, {.rules = rules, .count = 2}); });
    both([&](auto& next) {
        return std::vector<std::vector<Hypothesis>>{greedy(next, prompts, {.rules = rules})};
    });
}
