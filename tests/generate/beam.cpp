#include <blip/generate/beam.hpp>
#include <blip/generate/greedy.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <stop_token>
#include <vector>

#include "generate/hashed_scores.hpp"
#include "support/catch.hpp"

using namespace blip;
using namespace blip::test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

std::vector<double> plain_log_softmax(std::vector<float> const& logits) {
    long double sum = 0;
    for (float x : logits)
        sum += std::exp(static_cast<long double>(x));
    std::vector<double> result;
    for (float x : logits)
        result.push_back(static_cast<double>(x - std::log(sum)));
    return result;
}

/// Log-probabilities after penalties and bans, by the definitions.
std::vector<double> plain_scores(HashedLanguage const& language, std::vector<int> const& ids,
                                 SearchRules const& rules) {
    auto scores = plain_log_softmax(language.logits(ids));
    for (int id = 0; id < language.vocabulary; ++id) {
        auto& score = scores[static_cast<std::size_t>(id)];
        if (std::count(ids.begin(), ids.end(), id))
            score = score < 0 ? score * rules.repetition_penalty : score / rules.repetition_penalty;
        auto const n = static_cast<std::size_t>(rules.no_repeat_ngram);
        auto longer = ids;
        longer.push_back(id);
        for (std::size_t first = 0; n > 0 && first + n < longer.size(); ++first)
            if (std::equal(longer.end() - static_cast<std::ptrdiff_t>(n), longer.end(),
                           longer.begin() + static_cast<std::ptrdiff_t>(first)))
                score = -infinity;
        if (id == rules.end && std::ssize(ids) < rules.min_length)
            score = -infinity;
    }
    return scores;
}

struct PlainHypothesis {
    double score;
    std::vector<int> ids;
};

/// Beam search of transformers 4.15 as written down step by step, all beams active from the
/// beginning with sums 0, -1e9, -1e9, ...; every candidate is sorted. Best first.
std::vector<PlainHypothesis> plain_beam_search(HashedLanguage const& language,
                                               std::vector<int> const& prompt,
                                               BeamOptions const& options) {
    auto const n = static_cast<std::size_t>(options.beams);
    struct Beam {
        double sum;
        std::vector<int> ids;
    };
    std::vector<Beam> beams(n, {-1e9, prompt});
    beams[0].sum = 0;
    std::vector<PlainHypothesis> finished;
    double worst = 1e9;
    auto const normalised = [&](double sum, std::size_t length) {
        return sum / std::pow(static_cast<double>(length), options.length_penalty);
    };
    auto const add = [&](double score, std::vector<int> const& ids) {
        if (finished.size() >= n && !(score > worst))
            return;
        finished.push_back({score, ids});
        if (finished.size() > n) {
            std::size_t lowest = 0;
            for (std::size_t i = 1; i < finished.size(); ++i)
                if (finished[i].score < finished[lowest].score)
                    lowest = i;
            finished.erase(finished.begin() + static_cast<std::ptrdiff_t>(lowest));
        }
        worst = infinity;
        for (auto const& entry : finished)
            worst = std::min(worst, entry.score);
    };
    bool done = false;
    std::size_t const limit = length_limit(options.rules, prompt.size());
    while (!done && beams[0].ids.size() < limit) {
        std::size_t const length = beams[0].ids.size();
        struct Candidate {
            double sum;
            std::size_t beam;
            int token;
        };
        std::vector<Candidate> candidates;
        for (std::size_t b = 0; b < n; ++b) {
            auto const scores = plain_scores(language, beams[b].ids, options.rules);
            for (int id = 0; id < language.vocabulary; ++id)
                candidates.push_back({beams[b].sum + scores[static_cast<std::size_t>(id)], b, id});
        }
        std::stable_sort(candidates.begin(), candidates.end(),
                         [](auto const& a, auto const& b) { return a.sum > b.sum; });
        std::vector<Beam> next;
        for (std::size_t rank = 0; rank < 2 * n && next.size() < n; ++rank) {
            auto const& candidate = candidates[rank];
            auto ids = beams[candidate.beam].ids;
            ids.push_back(candidate.token);
            if (candidate.token != options.rules.end)
                next.push_back({candidate.sum, ids});
            else if (rank < n)
                add(normalised(candidate.sum, length), ids);
        }
        double const best = candidates[0].sum;
        done = finished.size() >= n && (options.early_stopping == EarlyStopping::when_filled ||
                                        worst >= normalised(best, length));
        beams = next;
    }
    if (!done)
        for (auto const& beam : beams)
            add(normalised(beam.sum, beam.ids.size()), beam.ids);
    std::reverse(finished.begin(), finished.end());
    std::stable_sort(finished.begin(), finished.end(),
                     [](auto const& a, auto const& b) { return a.score > b.score; });
    return finished;
}

void check_log_probabilities(HashedLanguage const& language, Hypothesis const& hypothesis,
                             double tolerance) {
    auto const prompt = static_cast<std::size_t>(hypothesis.prompt_length);
    REQUIRE(hypothesis.token_log_probabilities.size() == hypothesis.ids.size() - prompt);
    double sum = 0;
    for (std::size_t i = prompt; i < hypothesis.ids.size(); ++i) {
        auto const rows = plain_log_softmax(language.logits(std::span(hypothesis.ids).first(i)));
        double const expected = rows[static_cast<std::size_t>(hypothesis.ids[i])];
        CHECK(hypothesis.token_log_probabilities[i - prompt] ==
              Approx(expected).epsilon(tolerance).margin(tolerance));
        sum += expected;
    }
    CHECK(hypothesis.log_probability == Approx(sum).epsilon(tolerance).margin(tolerance));
}

template <class T>
std::vector<std::vector<Hypothesis>> search(HashedLanguage const& language,
                                            std::vector<std::vector<int>> const& prompts,
                                            BeamOptions const& options) {
    auto scores = row_scores<T>(language, prompts);
    return beam_search(scores, prompts, options);
}

} // namespace

TEST_CASE("beam search agrees with a plain transcription of its definition") {
    std::uint32_t seed = 0;
    int finished = 0, unfinished = 0;
    for (int beams : {1, 2, 3, 5, 8})
        for (double length_penalty : {0.0, 0.6, 1.0, 2.0})
            for (int variant = 0; variant < 12; ++variant) {
                HashedLanguage const language{20, ++seed, 7, variant % 3 * 0.4};
                BeamOptions const options{
                    .rules = {.end = 7,
                              .max_length = 6 + variant,
                              .max_new_tokens = {},
                              .min_length = variant % 4 * 3,
                              .repetition_penalty = std::vector{1.0, 1.1, 1.5, 0.9}[seed % 4],
                              .no_repeat_ngram = variant % 5 % 4},
                    .beams = beams,
                    .results = beams,
                    .length_penalty = length_penalty,
                    .early_stopping =
                        variant % 6 == 5 ? EarlyStopping::when_filled : EarlyStopping::off};
                CAPTURE(seed, beams, length_penalty, variant);
                std::vector<int> const prompt{3, static_cast<int>(seed % 5)};
                auto const expected = plain_beam_search(language, prompt, options);
                auto const found = search<double>(language, {prompt}, options).at(0);
                REQUIRE(found.size() == expected.size());
                for (std::size_t i = 0; i < found.size(); ++i) {
                    CHECK(found[i].ids == expected[i].ids);
                    CHECK(found[i].score == Approx(expected[i].score).epsilon(1e-12));
                    CHECK(found[i].finished == (expected[i].ids.back() == 7));
                    (found[i].finished ? finished : unfinished)++;
                    check_log_probabilities(language, found[i], 1e-12);
                }
                auto const in_float = search<float>(language, {prompt}, options).at(0);
                CHECK(in_float.front().ids == expected.front().ids);
                CHECK(in_float.front().score == Approx(expected.front().score).epsilon(1e-5));
            }
    CHECK(finished > 100);
    CHECK(unfinished > 100);
}

TEST_CASE("beams that hold every sequence find the best of all") {
    struct Size {
        int vocabulary, length, beams;
    };
    for (auto const& size :
         {Size{3, 3, 12}, {3, 4, 24}, {4, 2, 12}, {2, 6, 2}, {3, 2, 8}, {4, 3, 36}})
        for (double length_penalty : {0.0, 1.0, 2.0})
            for (std::uint32_t seed = 0; seed < 20; ++seed)
                for (auto rule : {BeamRule::salesforce, BeamRule::hugging_face}) {
                    HashedLanguage const language{size.vocabulary, seed, 1, 0};
                    std::vector<int> const prompt{0, 0};
                    PlainHypothesis best{-infinity, {}};
                    std::function<void(std::vector<int>, double)> const visit =
                        [&](std::vector<int> ids, double sum) {
                            auto const generated = ids.size() - prompt.size();
                            bool const ended = generated > 0 && ids.back() == 1;
                            if (ended || static_cast<int>(generated) == size.length) {
                                auto const divisor = rule == BeamRule::hugging_face
                                                         ? generated
                                                         : ids.size() - (ended ? 1 : 0);
                                double const score =
                                    sum / std::pow(static_cast<double>(divisor), length_penalty);
                                if (score > best.score)
                                    best = {score, ids};
                                return;
                            }
                            auto const scores = plain_log_softmax(language.logits(ids));
                            for (int id = 0; id < size.vocabulary; ++id) {
                                auto longer = ids;
                                longer.push_back(id);
                                visit(longer, sum + scores[static_cast<std::size_t>(id)]);
                            }
                        };
                    visit(prompt, 0);
                    auto const found =
                        search<double>(language, {prompt},
                                       {.rules = {.end = 1, .max_new_tokens = size.length},
                                        .beams = size.beams,
                                        .length_penalty = length_penalty,
                                        .early_stopping = EarlyStopping::never,
                                        .rule = rule});
                    CAPTURE(size.vocabulary, size.length, length_penalty, seed);
                    CHECK(found.at(0).at(0).ids == best.ids);
                    CHECK(found[0][0].score == Approx(best.score).epsilon(1e-5));
                }
}

TEST_CASE("beam search of a batch gives what each item gives alone") {
    HashedLanguage const language{30, 5, 9, 0.3};
    std::vector<std::vector<int>> const prompts{{4}, {4, 5, 6, 7}, {1, 2}, {8}, {4}, {20, 21, 22}};
    for (auto rule : {BeamRule::salesforce, BeamRule::hugging_face})
        for (int beams : {1, 2, 3, 5}) {
            BeamOptions const options{
                .rules = {.end = 9, .max_length = 16, .min_length = 4, .repetition_penalty = 1.1},
                .beams = beams,
                .results = beams,
                .rule = rule};
            auto scores = row_scores<float>(language, prompts);
            auto const together = beam_search(scores, prompts, options);
            REQUIRE(together.size() == prompts.size());
            CHECK(scores.row_counts.front() == prompts.size());
            CHECK(std::count(scores.row_counts.begin() + 1, scores.row_counts.end(),
                             scores.row_counts[1]) < std::ssize(scores.row_counts) - 1);
            for (std::size_t item = 0; item < prompts.size(); ++item) {
                auto const alone = search<float>(language, {prompts[item]}, options).at(0);
                REQUIRE(alone.size() == together[item].size());
                for (std::size_t i = 0; i < alone.size(); ++i)
                    CHECK(same(alone[i], together[item][i]));
            }
        }
}

TEST_CASE("fewer results are the beginning of more") {
    HashedLanguage const language{30, 12, 9, 0.3};
    BeamOptions options{.rules = {.end = 9, .max_new_tokens = 9}, .beams = 5, .results = 5};
    auto const all = search<float>(language, {{1, 2}}, options).at(0);
    REQUIRE(all.size() == 5);
    for (std::size_t i = 1; i < all.size(); ++i) {
        CHECK(all[i - 1].score >= all[i].score);
        CHECK(all[i - 1].ids != all[i].ids);
    }
    options.results = 2;
    auto const some = search<float>(language, {{1, 2}}, options).at(0);
    REQUIRE(some.size() == 2);
    CHECK(same(some[0], all[0]));
    CHECK(same(some[1], all[1]));
}

namespace {

/// Logits looked up by ids; what is not listed gets even logits.
struct TableLanguage {
    int vocabulary;
    std::map<std::vector<int>, std::vector<float>> table;

    std::vector<float> logits(std::vector<int> const& ids) const {
        auto const found = table.find(ids);
        return found == table.end() ? std::vector<float>(static_cast<std::size_t>(vocabulary), 0)
                                    : found->second;
    }
};

} // namespace

TEST_CASE("ties go to the earlier beam, then to the lower id") {
    std::vector<std::vector<int>> const prompts{{5}};
    auto scores = row_scores<float>(TableLanguage{8, {}}, prompts);
    auto const found = beam_search(scores, prompts,
                                   {.rules = {.end = 7, .max_new_tokens = 2},
                                    .beams = 3,
                                    .results = 3,
                                    .rule = BeamRule::hugging_face});
    REQUIRE(found[0].size() == 3);
    CHECK(found[0][0].ids == std::vector{5, 0, 0});
    CHECK(found[0][1].ids == std::vector{5, 0, 1});
    CHECK(found[0][2].ids == std::vector{5, 0, 2});
}

TEST_CASE("of equal scores the later sequence wins under the authors' rule") {
    std::vector<std::vector<int>> const prompts{{5}};
    auto scores = row_scores<float>(TableLanguage{8, {}}, prompts);
    auto const found = beam_search(
        scores, prompts, {.rules = {.end = 7, .max_new_tokens = 2}, .beams = 3, .results = 3});
    REQUIRE(found[0].size() == 3);
    CHECK(found[0][0].ids == std::vector{5, 0, 2});
    CHECK(found[0][1].ids == std::vector{5, 0, 1});
    CHECK(found[0][2].ids == std::vector{5, 0, 0});
}

TEST_CASE("the two rules count lengths differently") {
    // Ending at once costs log 0.4; going on costs log 0.6 and then log 0.5.
    float const end_now = std::log(0.4f), go_on = std::log(0.6f), half = std::log(0.5f);
    float const no = -50;
    TableLanguage const language{
        4, {{{0, 0, 0}, {no, end_now, go_on, no}}, {{0, 0, 0, 2}, {no, half, no, half}}}};
    std::vector<std::vector<int>> const prompts{{0, 0, 0}};
    BeamOptions options{.rules = {.end = 1, .max_new_tokens = 2}, .beams = 2};
    auto first = row_scores<double>(language, prompts);
    auto const authors = beam_search(first, prompts, options)[0][0];
    CHECK(authors.ids == std::vector{0, 0, 0, 2, 3});
    CHECK(authors.score == Approx(std::log(0.3) / 5).epsilon(1e-6));
    CHECK_FALSE(authors.finished);
    options.rule = BeamRule::hugging_face;
    auto second = row_scores<double>(language, prompts);
    auto const port = beam_search(second, prompts, options)[0][0];
    CHECK(port.ids == std::vector{0, 0, 0, 2, 1});
    CHECK(port.score == Approx(std::log(0.3) / 2).epsilon(1e-6));
    CHECK(port.finished);
}

TEST_CASE("forbidden continuations are never taken") {
    // Without repetition there are only 3! ways through 4 tokens after the first.
    HashedLanguage const language{4, 3, {}, 0};
    for (auto rule : {BeamRule::salesforce, BeamRule::hugging_face}) {
        auto const found = search<double>(language, {{0}},
                                          {.rules = {.max_new_tokens = 10, .no_repeat_ngram = 1},
                                           .beams = 8,
                                           .results = 8,
                                           .rule = rule})
                               .at(0);
        CHECK(found.size() == 6);
        for (auto const& hypothesis : found) {
            CHECK(hypothesis.ids.size() == 4);
            CHECK_FALSE(hypothesis.finished);
            CHECK(std::isfinite(hypothesis.score));
        }
    }
}

TEST_CASE("beam search stops on request") {
    HashedLanguage const language{30, 5, 9, 0};
    std::vector<std::vector<int>> const prompts{{4}, {4, 5, 6}};
    for (auto rule : {BeamRule::salesforce, BeamRule::hugging_face}) {
        int seen = 0;
        BeamOptions options{.rules = {.end = 9, .max_new_tokens = 20, .min_length = 20},
                            .beams = 3,
                            .results = 3,
                            .rule = rule};
        options.watch.on_token = [&](GeneratedToken const& event) {
            CHECK(event.ids.back() == event.token);
            CHECK(event.sequence < 3);
            CHECK(event.log_probability < 0);
            ++seen;
            return event.ids.size() == 6 ? Control::stop : Control::go_on;
        };
        auto scores = row_scores<float>(language, prompts);
        auto const found = beam_search(scores, prompts, options);
        // Item 1 reaches six ids in step 3; its first beam is the last to be shown.
        CHECK(seen == 3 * 6 - 2);
        CHECK(scores.calls == 3);
        for (std::size_t item = 0; item < 2; ++item) {
            REQUIRE(found[item].size() == 3);
            for (auto const& hypothesis : found[item]) {
                CHECK(hypothesis.ids.size() == prompts[item].size() + 3);
                CHECK_FALSE(hypothesis.finished);
                check_log_probabilities(language, hypothesis, 1e-5);
            }
        }

        std::stop_source source;
        source.request_stop();
        options.watch = {.stop = source.get_token(), .on_token = {}};
        auto untouched = row_scores<float>(language, prompts);
        auto const none = beam_search(untouched, prompts, options);
        CHECK(untouched.calls == 0);
        REQUIRE(none[1].size() == 1);
        CHECK(none[1][0].ids == prompts[1]);
        CHECK(none[1][0].score == 0);
    }
}

TEST_CASE("one beam without normalisation is greedy search") {
    HashedLanguage const language{50, 8, 9, 0.2};
    std::vector<std::vector<int>> const prompts{{4}, {4, 5, 6}, {11}};
    SearchRules const rules{.end = 9, .max_new_tokens = 12};
    auto scores = row_scores<double>(language, prompts);
    auto const expected = greedy(scores, prompts, {.rules = rules});
    auto const found = search<double>(
        language, prompts,
        {.rules = rules, .beams = 1, .length_penalty = 0, .rule = BeamRule::salesforce});
    for (std::size_t item = 0; item < prompts.size(); ++item)
        CHECK(found[item][0].ids == expected[item].ids);
}

TEST_CASE("beam search refuses what does not fit") {
    HashedLanguage const language{30, 5, 9, 0};
    std::vector<std::vector<int>> const prompts{{4, 5}};
    SearchRules const rules{.end = 9, .max_length = 9};
    auto const run = [&](BeamOptions const& options, std::vector<std::vector<int>> const& given) {
        auto scores = row_scores<float>(language, given);
        beam_search(scores, given, options);
    };
    CHECK_NOTHROW(run({.rules = rules}, prompts));
    CHECK_THROWS_AS(run({.rules = rules, .beams = 0}, prompts), ArgumentError);
    CHECK_THROWS_AS(run({.rules = rules, .beams = 2, .results = 3}, prompts), ArgumentError);
    CHECK_THROWS_AS(run({.rules = rules, .results = 0}, prompts), ArgumentError);
    CHECK_THROWS_AS(run({.rules = rules, .length_penalty = infinity}, prompts), ArgumentError);
    CHECK_THROWS_AS(run({.rules = {.end = 9}}, prompts), ArgumentError);
    CHECK_THROWS_AS(run({.rules = {.end = 9, .max_length = 2}}, prompts), ArgumentError);
    CHECK_THROWS_AS(run({.rules = {.end = 9, .max_length = -1}}, prompts), ArgumentError);
    CHECK_THROWS_AS(run({.rules = {.end = 9, .max_new_tokens = 0}}, prompts), ArgumentError);
    CHECK_THROWS_AS(run({.rules = {.end = 30, .max_length = 9}}, prompts), ArgumentError);
    CHECK_THROWS_AS(run({.rules = rules}, {{}}), ArgumentError);
    CHECK_THROWS_AS(run({.rules = rules}, {{4, 30}}), ArgumentError);
    CHECK_THROWS_AS(run({.rules = rules}, {{-1}}), ArgumentError);
    CHECK_NOTHROW(run({.rules = rules}, {}));

    TableLanguage const broken{3, {{{0}, {0, NAN, 0}}}};
    std::vector<std::vector<int>> const start{{0}};
    auto scores = row_scores<float>(broken, start);
    CHECK_THROWS_AS(beam_search(scores, start, {.rules = rules}), ArgumentError);
}
