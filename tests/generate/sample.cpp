#include <blip/generate/sample.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "generate/hashed_scores.hpp"
#include "support/catch.hpp"

using namespace blip;
using namespace blip::test;

namespace {

std::vector<std::vector<Hypothesis>> draw(HashedLanguage const& language,
                                          std::vector<std::vector<int>> const& prompts,
                                          SampleOptions const& options) {
    auto scores = row_scores<float>(language, prompts);
    return sample(scores, prompts, options);
}

} // namespace

TEST_CASE("a draw is the inverse of the cumulative distribution") {
    double const no = -std::numeric_limits<double>::infinity();
    // Probabilities 1/8, 0, 1/2, 1/4, 1/8.
    std::vector<double> const scores{0, no, std::log(4.0), std::log(2.0), 0};
    auto const at = [&](double uniform) {
        return draw_token(std::span<double const>(scores), uniform).value();
    };
    CHECK(at(0) == 0);
    CHECK(at(0.124) == 0);
    CHECK(at(0.126) == 2);
    CHECK(at(0.62) == 2);
    CHECK(at(0.63) == 3);
    CHECK(at(0.874) == 3);
    CHECK(at(0.876) == 4);
    CHECK(at(std::nextafter(1.0, 0.0)) == 4);
    std::vector<double> const last{0, no};
    CHECK(draw_token(std::span<double const>(last), std::nextafter(1.0, 0.0)) == 0);
    std::vector<double> const nothing(3, no);
    CHECK_FALSE(draw_token(std::span<double const>(nothing), 0.5).has_value());
}

TEST_CASE("samples have the model's frequencies") {
    HashedLanguage const language{12, 77, {}, 0};
    int const count = 40000;
    struct Case {
        double temperature;
        int top_k;
        double top_p;
    };
    for (auto const& c : {Case{1, 0, 1}, {2, 0, 1}, {1, 4, 1}, {1, 0, 0.8}, {0.7, 6, 0.9}}) {
        auto const found = draw(language, {{3}},
                                {.rules = {.max_new_tokens = 2},
                                 .count = count,
                                 .temperature = c.temperature,
                                 .top_k = c.top_k,
                                 .top_p = c.top_p,
                                 .seed = 5})
                               .at(0);
        REQUIRE(found.size() == static_cast<std::size_t>(count));
        auto const expected = [&](std::vector<int> const& ids) {
            auto row = language.logits(ids);
            divide_by_temperature(std::span(row), c.temperature);
            keep_top_k(std::span(row), c.top_k);
            keep_top_p(std::span(row), c.top_p);
            double total = 0;
            std::vector<double> probabilities;
            for (float x : row) {
                probabilities.push_back(std::exp(static_cast<double>(x)));
                total += probabilities.back();
            }
            for (double& p : probabilities)
                p /= total;
            return probabilities;
        };
        auto const first = expected({3});
        std::vector<int> seen(144, 0);
        for (auto const& hypothesis : found)
            ++seen[static_cast<std::size_t>(hypothesis.ids[1] * 12 + hypothesis.ids[2])];
        double chi_squared = 0;
        int cells = 0;
        for (int a = 0; a < 12; ++a) {
            auto const second = expected({3, a});
            for (int b = 0; b < 12; ++b) {
                double const mean = first[static_cast<std::size_t>(a)] *
                                    second[static_cast<std::size_t>(b)] * count;
                int const here = seen[static_cast<std::size_t>(a * 12 + b)];
                if (mean == 0)
                    CHECK(here == 0);
                if (mean < 5)
                    continue;
                chi_squared += (here - mean) * (here - mean) / mean;
                ++cells;
            }
        }
        CAPTURE(c.temperature, c.top_k, c.top_p, cells);
        // Five standard deviations of the chi-squared distribution.
        CHECK(chi_squared < cells + 5 * std::sqrt(2.0 * cells));
        CHECK(cells > 5);
    }
}

TEST_CASE("samples depend on seed, item number and sample number only") {
    HashedLanguage const language{30, 5, 9, 0.2};
    std::vector<std::vector<int>> const prompts{{4}, {4, 5, 6, 7}, {1, 2}, {4}};
    SampleOptions options{
        .rules = {.end = 9, .max_length = 12, .repetition_penalty = 1.1}, .count = 5, .seed = 17};
    auto const together = draw(language, prompts, options);
    std::set<std::vector<int>> different;
    for (std::size_t item = 0; item < prompts.size(); ++item) {
        REQUIRE(together[item].size() == 5);
        options.item_numbers = {item};
        auto const alone = draw(language, {prompts[item]}, options).at(0);
        options.count = 2;
        auto const fewer = draw(language, {prompts[item]}, options).at(0);
        options.count = 5;
        for (std::size_t i = 0; i < 5; ++i) {
            CHECK(same(alone[i], together[item][i]));
            if (i < 2)
                CHECK(same(fewer[i], together[item][i]));
            different.insert(together[item][i].ids);
        }
    }
    // Items 0 and 3 have one prompt, but numbers of their own.
    CHECK(different.size() > 15);
    options.item_numbers = {100, 50, 2, 0};
    CHECK(same(draw(language, prompts, options)[3][4], together[0][4]));
    CHECK(same(draw(language, prompts, options)[2][1], together[2][1]));
    options.seed = 18;
    CHECK_FALSE(same(draw(language, prompts, options)[3][4], together[0][4]));
}

TEST_CASE("sampling obeys the rules and reports the model's own probabilities") {
    HashedLanguage const language{30, 5, 9, 0.2};
    SampleOptions const options{
        .rules = {.end = 9, .max_new_tokens = 10, .min_length = 6, .no_repeat_ngram = 1},
        .count = 50,
        .top_k = 5};
    int finished = 0;
    auto const found = draw(language, {{4, 8}}, options).at(0);
    for (auto const& hypothesis : found) {
        CHECK(std::set<int>(hypothesis.ids.begin(), hypothesis.ids.end()).size() ==
              hypothesis.ids.size());
        CHECK(hypothesis.ids.size() >= 7);
        CHECK(hypothesis.ids.size() <= 12);
        CHECK(hypothesis.finished == (hypothesis.ids.back() == 9));
        finished += hypothesis.finished;
        double sum = 0;
        for (std::size_t i = 2; i < hypothesis.ids.size(); ++i) {
            auto const logits = language.logits(std::span(hypothesis.ids).first(i));
            double total = 0;
            for (float x : logits)
                total += std::exp(static_cast<double>(x));
            sum += static_cast<double>(logits[static_cast<std::size_t>(hypothesis.ids[i])]) -
                   std::log(total);
        }
        CHECK(hypothesis.log_probability == Approx(sum).epsilon(1e-5));
        CHECK(hypothesis.score == hypothesis.log_probability);
    }
    CHECK(finished > 0);
}

TEST_CASE("a stopped sampler returns what it has") {
    HashedLanguage const language{30, 5, {}, 0};
    std::vector<std::vector<int>> const prompts{{4}, {4}};
    SampleOptions options{.rules = {.max_new_tokens = 10}, .count = 3};
    std::set<std::pair<int, int>> shown;
    options.watch.on_token = [&](GeneratedToken const& event) {
        shown.insert({event.item, event.sequence});
        return event.ids.size() == 4 ? Control::stop : Control::go_on;
    };
    auto const found = draw(language, prompts, options);
    CHECK(shown.size() == 6);
    for (auto const& item : found)
        for (auto const& hypothesis : item) {
            CHECK(hypothesis.ids.size() == 4);
            CHECK_FALSE(hypothesis.finished);
        }
}

TEST_CASE("sampling refuses what does not fit") {
    HashedLanguage const language{30, 5, 9, 0};
    SearchRules const rules{.end = 9, .max_new_tokens = 3};
    CHECK_NOTHROW(draw(language, {{1}}, {.rules = rules}));
    CHECK_THROWS_AS(draw(language, {{1}}, {.rules = rules, .count = 0}), ArgumentError);
    CHECK_THROWS_AS(draw(language, {{1}}, {.rules = rules, .temperature = 0}), ArgumentError);
    CHECK_THROWS_AS(draw(language, {{1}}, {.rules = rules, .top_k = -1}), ArgumentError);
    CHECK_THROWS_AS(draw(language, {{1}}, {.rules = rules, .top_p = 0}), ArgumentError);
    CHECK_THROWS_AS(draw(language, {{1}}, {.rules = rules, .item_numbers = {1, 2}}), ArgumentError);
}
