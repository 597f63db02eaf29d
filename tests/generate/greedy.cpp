#include <blip/generate/greedy.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

#include "generate/hashed_scores.hpp"
#include "support/catch.hpp"

using namespace blip;
using namespace blip::test;

namespace {

/// Most probable token by token, by the definitions of the rules.
std::vector<int> plain_greedy(HashedLanguage const& language, std::vector<int> ids,
                              SearchRules const& rules) {
    auto const limit = length_limit(rules, ids.size());
    while (ids.size() < limit) {
        auto logits = language.logits(ids);
        int best = -1;
        for (int id = 0; id < language.vocabulary; ++id) {
            auto& logit = logits[static_cast<std::size_t>(id)];
            auto const penalty = static_cast<float>(rules.repetition_penalty);
            if (std::count(ids.begin(), ids.end(), id))
                logit = logit < 0 ? logit * penalty : logit / penalty;
            bool repeats = false;
            for (std::size_t i = 0; rules.no_repeat_ngram == 2 && i + 1 < ids.size(); ++i)
                repeats = repeats || (ids[i] == ids.back() && ids[i + 1] == id);
            bool const early = id == rules.end && std::ssize(ids) < rules.min_length;
            if (!repeats && !early && (best < 0 || logit > logits[static_cast<std::size_t>(best)]))
                best = id;
        }
        ids.push_back(best);
        if (best == rules.end)
            break;
    }
    return ids;
}

} // namespace

TEST_CASE("greedy search takes the best token of every step") {
    int finished = 0;
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        int const number = static_cast<int>(seed);
        HashedLanguage const language{16, seed, 6, number % 4 * 0.25};
        SearchRules const rules{.end = 6,
                                .max_length = 6 + number % 9,
                                .min_length = number % 7,
                                .repetition_penalty = number % 3 ? 1.3 : 1.0,
                                .no_repeat_ngram = number % 2 * 2};
        std::vector<std::vector<int>> const prompts{{1}, {2, 3, 4}, {number % 5, 9}};
        auto scores = row_scores<float>(language, prompts);
        auto const found = greedy(scores, prompts, {.rules = rules});
        REQUIRE(found.size() == prompts.size());
        for (std::size_t item = 0; item < prompts.size(); ++item) {
            CAPTURE(seed, item);
            auto const& hypothesis = found[item];
            CHECK(hypothesis.ids == plain_greedy(language, prompts[item], rules));
            CHECK(hypothesis.finished == (hypothesis.ids.back() == 6));
            CHECK(hypothesis.prompt_length == std::ssize(prompts[item]));
            CHECK(hypothesis.score == hypothesis.log_probability);
            double sum = 0;
            for (std::size_t i = prompts[item].size(); i < hypothesis.ids.size(); ++i) {
                auto const logits = language.logits(std::span(hypothesis.ids).first(i));
                double total = 0;
                for (float x : logits)
                    total += std::exp(static_cast<double>(x));
                double const expected =
                    static_cast<double>(logits[static_cast<std::size_t>(hypothesis.ids[i])]) -
                    std::log(total);
                CHECK(hypothesis.token_log_probabilities.at(i - prompts[item].size()) ==
                      Approx(expected).epsilon(1e-5));
                sum += expected;
            }
            CHECK(hypothesis.log_probability == Approx(sum).epsilon(1e-5));
            CHECK(std::ssize(hypothesis.text()) == std::ssize(hypothesis.ids) -
                                                       hypothesis.prompt_length -
                                                       (hypothesis.finished ? 1 : 0));
            finished += hypothesis.finished;
        }
    }
    CHECK(finished > 100);
    CHECK(finished < 500);
}

TEST_CASE("finished items leave the batch and change nothing for the others") {
    HashedLanguage const language{16, 3, 6, 0.3};
    std::vector<std::vector<int>> const prompts{{1}, {2, 3}, {4}, {5, 5, 5}, {7}, {1}};
    SearchRules const rules{.end = 6, .max_new_tokens = 12};
    auto together = row_scores<float>(language, prompts);
    auto const found = greedy(together, prompts, {.rules = rules});
    CHECK(together.row_counts.front() == prompts.size());
    CHECK(together.row_counts.back() < prompts.size());
    CHECK(std::is_sorted(together.row_counts.rbegin(), together.row_counts.rend()));
    for (std::size_t item = 0; item < prompts.size(); ++item) {
        std::vector<std::vector<int>> const prompt{prompts[item]};
        auto alone = row_scores<float>(language, prompt);
        auto const single = greedy(alone, prompt, {.rules = rules}).at(0);
        CHECK(single.ids == found[item].ids);
        CHECK(single.token_log_probabilities == found[item].token_log_probabilities);
        CHECK(single.log_probability == found[item].log_probability);
    }
}

namespace {

struct EvenLanguage {
    int vocabulary;
    std::vector<float> logits(std::vector<int> const&) const {
        return std::vector<float>(static_cast<std::size_t>(vocabulary), 1);
    }
};

} // namespace

TEST_CASE("greedy ties go to the lower id; without a permitted token a text ends") {
    std::vector<std::vector<int>> const prompts{{2}};
    auto even = row_scores<double>(EvenLanguage{40}, prompts);
    CHECK(greedy(even, prompts, {.rules = {.max_new_tokens = 2}})[0].ids == std::vector{2, 0, 0});
    auto few = row_scores<double>(EvenLanguage{4}, prompts);
    auto const stuck =
        greedy(few, prompts, {.rules = {.max_new_tokens = 9, .no_repeat_ngram = 1}}).at(0);
    CHECK(stuck.ids == std::vector{2, 0, 1, 3});
    CHECK_FALSE(stuck.finished);
    CHECK(stuck.log_probability == Approx(3 * std::log(0.25)));
}

TEST_CASE("greedy search shows its tokens and stops on request") {
    HashedLanguage const language{16, 3, 6, 0};
    std::vector<std::vector<int>> const prompts{{1}, {2, 3}};
    SearchRules const rules{.end = 6, .max_new_tokens = 8, .min_length = 12};
    std::vector<std::vector<int>> shown = prompts;
    GreedyOptions options{.rules = rules};
    options.watch.on_token = [&](GeneratedToken const& event) {
        auto& ids = shown.at(static_cast<std::size_t>(event.item));
        ids.push_back(event.token);
        CHECK(std::equal(ids.begin(), ids.end(), event.ids.begin(), event.ids.end()));
        CHECK(event.sequence == 0);
        return ids.size() == 5 ? Control::stop : Control::go_on;
    };
    auto scores = row_scores<float>(language, prompts);
    auto const found = greedy(scores, prompts, options);
    // Item 1 has five ids after three tokens.
    CHECK(scores.calls == 3);
    CHECK(found[0].ids == shown[0]);
    CHECK(found[1].ids == shown[1]);
    CHECK(found[0].ids.size() == 4);
    CHECK(found[1].ids.size() == 5);
    CHECK_FALSE(found[0].finished);
    CHECK_FALSE(found[1].finished);

    std::stop_source source;
    options.watch = {.stop = source.get_token(), .on_token = [&](GeneratedToken const&) {
                         source.request_stop();
                         return Control::go_on;
                     }};
    auto second = row_scores<float>(language, prompts);
    CHECK(greedy(second, prompts, options)[0].ids.size() == 2);
    CHECK(second.calls == 1);
    auto third = row_scores<float>(language, prompts);
    CHECK(greedy(third, prompts, options)[0].ids == prompts[0]);
    CHECK(third.calls == 0);
}

TEST_CASE("max_new_tokens overrides max_length") {
    CHECK(length_limit({.max_length = 20}, 4) == 20);
    CHECK(length_limit({.max_new_tokens = 20}, 4) == 24);
    CHECK(length_limit({.max_length = 9, .max_new_tokens = 20}, 4) == 24);
    CHECK_THROWS_AS(length_limit({}, 4), ArgumentError);
    CHECK_THROWS_AS(length_limit({.max_length = 0}, 4), ArgumentError);
    CHECK_THROWS_AS(length_limit({.max_length = 9, .max_new_tokens = 0}, 4), ArgumentError);
}
