#include <support/catch.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/networks/answer_ranking.hpp>
#include <support/network.hpp>
#include <support/random_weights.hpp>

using namespace blip;

namespace {

struct sizes {
    static constexpr int vocabulary = 40, positions = 16, width = 24, depth = 2, heads = 3,
                         hidden = 40, encoder_width = 24, recompute = 0;
};
constexpr int dec = 38, sep = 3, pad = 0;
constexpr int questions = 3, question_length = 5;
constexpr unsigned char mask[] = {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0};

using Answers = std::vector<std::vector<int>>;

/// Answers of one to five words, some of which begin alike.
Answers answers() {
    Answers all;
    for (int i = 0; i < 14; ++i) {
        std::vector<int> ids{dec};
        for (int word = 0; word <= i % 5; ++word)
            ids.push_back(4 + (i / 3 + 7 * word * (i % 2 + 1)) % 30);
        ids.push_back(sep);
        all.push_back(ids);
    }
    return all;
}

template <class B>
struct Model {
    test::Bench<B> bench;
    Weights<TextDecoder<sizes, B>> decoder{bench.engine};
    Tokens<24, B> states;

    Model() {
        test::randomize(decoder, bench.engine, {1, 0}, 0.4);
        for (auto const& setting : list_settings(*decoder)) {
            if (setting.path().ends_with("epsilon"))
                setting.set(1e-12);
        }
        states = {bench.put(test::random_values(questions * question_length * 24, {2, 0})),
                  questions, question_length};
    }

    auto rank(Answers const& all, RankingOptions options) {
        options.pad = pad;
        return rank_answers(*decoder, states, mask, all, options, bench.context);
    }
    auto rank_alone(int question, Answers const& all, RankingOptions options) {
        options.pad = pad;
        return rank_answers(
                   *decoder, states.items(question, 1),
                   std::span(mask).subspan(static_cast<std::size_t>(question) * question_length,
                                           question_length),
                   all, options, bench.context)
            .front();
    }
};

/// The definition: every answer padded to the longest, one forward pass, summed losses.
template <class B>
std::vector<double> by_definition(Model<B>& model, int question, Answers const& all,
                                  RankingOptions const& options) {
    std::size_t longest = 0;
    for (auto const& ids : all)
        longest = std::max(longest, ids.size());
    std::vector<std::int64_t> ids, visible;
    std::vector<int> labels;
    for (auto const& answer : all)
        for (std::size_t t = 0; t < longest; ++t) {
            bool const real = t < answer.size();
            ids.push_back(real ? answer[t] : pad);
            visible.push_back(real);
            labels.push_back(real ? answer[t] : ignored_target);
        }
    auto const count = std::ssize(all);
    std::vector<unsigned char> const question_mask(mask + question * question_length,
                                                   mask + (question + 1) * question_length);
    std::vector<std::int64_t> const wide(question_mask.begin(), question_mask.end());
    typename TextDecoder<sizes, B>::Cache cache;
    auto& ctx = model.bench.context;
    auto const logits = model.decoder->forward(
        model.bench.text(ids, visible, count),
        {model.states.items(question, 1), model.bench.put_mask(wide)}, cache, ctx);
    LanguageModelingLoss<B> const criterion{{.smoothing = options.smoothing,
                                             .reduction = Reduction::sum_per_item,
                                             .rule = options.rule}};
    typename LanguageModelingLoss<B>::Cache losses;
    criterion.forward(logits, labels, {}, losses, ctx);
    return criterion.per_item(losses, ctx);
}

template <class B>
void check_definition(double tolerance, SmoothingRule rule) {
    Model<B> model;
    auto const all = answers();
    RankingOptions const options{.keep = 100, .batch = 5, .smoothing = 0.1, .rule = rule};
    auto const ranking = model.rank(all, options);
    REQUIRE(ranking.size() == questions);
    for (int q = 0; q < questions; ++q) {
        auto const losses = by_definition(model, q, all, options);
        auto const& list = ranking[static_cast<std::size_t>(q)];
        REQUIRE(list.size() == all.size());
        for (auto const& ranked : list)
            CHECK(-ranked.score ==
                  Approx(losses[static_cast<std::size_t>(ranked.answer)]).epsilon(tolerance));
        CHECK(std::is_sorted(list.begin(), list.end(),
                             [](auto const& a, auto const& b) { return a.score > b.score; }));
    }
}

bool same(std::vector<RankedAnswer> const& a, std::vector<RankedAnswer> const& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](auto const& x, auto const& y) {
        return x.answer == y.answer && x.score == y.score &&
               x.first_token_probability == y.first_token_probability;
    });
}

} // namespace

TEST_CASE("answers are ranked by the sum of their losses") {
    for (auto rule : {SmoothingRule::ignore_padding, SmoothingRule::torch_1_10}) {
        check_definition<Reference<double>>(1e-11, rule);
        check_definition<Cpu<float>>(1e-4, rule);
    }
}

TEST_CASE("a question is ranked bit for bit as it is alone, in batches of any size") {
    Model<Cpu<float>> model;
    auto const all = answers();
    for (auto rule : {SmoothingRule::ignore_padding, SmoothingRule::torch_1_10}) {
        auto const together = model.rank(all, {.keep = 6, .batch = 64, .rule = rule});
        for (int batch : {1, 4, 7})
            for (int q = 0; q < questions; ++q) {
                RankingOptions const options{.keep = 6, .batch = batch, .rule = rule};
                CHECK(
                    same(model.rank_alone(q, all, options), together[static_cast<std::size_t>(q)]));
            }
    }
}

TEST_CASE("the order of the answers does not matter") {
    Model<Cpu<float>> model;
    auto const all = answers();
    Answers turned(all.rbegin(), all.rend());
    auto const there = model.rank(all, {.keep = 100}), back = model.rank(turned, {.keep = 100});
    for (std::size_t q = 0; q < questions; ++q)
        for (std::size_t i = 0; i < all.size(); ++i) {
            auto const& a = there[q][i];
            auto const& b = back[q][i];
            CHECK(a.score == b.score);
            CHECK(all[static_cast<std::size_t>(a.answer)] ==
                  turned[static_cast<std::size_t>(b.answer)]);
        }
}

TEST_CASE("the first stage keeps the likeliest first tokens, the earlier answer of equals") {
    Model<Reference<double>> model;
    auto const all = answers();
    auto const full = model.rank(all, {.keep = 100});
    for (int keep = 1; keep <= 14; ++keep) {
        auto const some = model.rank(all, {.keep = keep});
        for (std::size_t q = 0; q < questions; ++q) {
            auto order = full[q];
            std::sort(order.begin(), order.end(), [](auto const& a, auto const& b) {
                return a.first_token_probability != b.first_token_probability
                           ? a.first_token_probability > b.first_token_probability
                           : a.answer < b.answer;
            });
            order.resize(static_cast<std::size_t>(keep));
            REQUIRE(std::ssize(some[q]) == keep);
            for (auto const& kept : some[q])
                CHECK(std::any_of(order.begin(), order.end(),
                                  [&](auto const& a) { return a.answer == kept.answer; }));
        }
    }
}

TEST_CASE("ranking memory is bounded by the batch") {
    Model<Reference<double>> model;
    auto const all = answers();
    auto const peak = [&](int batch) {
        Arena<Reference<double>> arena(1);
        Context<Reference<double>> ctx{model.bench.engine, arena, Keep::nothing};
        rank_answers(*model.decoder, model.states, mask, all, {.batch = batch, .pad = pad}, ctx);
        return arena.peak_bytes();
    };
    CHECK(peak(1) < peak(14) / 2);
}

TEST_CASE("a batch larger than all answers reserves and gives what they need") {
    Model<Cpu<float>> model;
    auto const all = answers();
    auto const usual = model.rank(all, {.keep = 6});
    auto const huge = model.rank(all, {.keep = 6, .batch = std::numeric_limits<int>::max()});
    for (std::size_t q = 0; q < questions; ++q)
        CHECK(same(usual[q], huge[q]));
}

TEST_CASE("an answer too long for the model is refused whether or not it would be kept") {
    Model<Reference<double>> model;
    for (auto first = 0; first < 40; ++first) {
        auto all = answers();
        all.push_back(std::vector<int>(600, 4));
        all.back().front() = dec;
        all.back()[1] = first;
        std::string message;
        try {
            model.rank(all, {.keep = 1, .batch = std::numeric_limits<int>::max()});
        } catch (ArgumentError const& error) {
            message = error.what();
        }
        CHECK(message.find("answer 14 has 600 tokens") != std::string::npos);
    }
    // As long as the position table is not too long.
    std::vector<int> longest(sizes::positions, 4);
    longest.front() = dec;
    longest.back() = sep;
    CHECK(model.rank({longest}, {}).front().size() == 1);
    longest.push_back(sep);
    CHECK_THROWS_AS(model.rank({longest}, {}), ArgumentError);
}

TEST_CASE("a model whose numbers are none cannot rank") {
    double const none = std::numeric_limits<double>::quiet_NaN();
    Model<Reference<double>> model;
    auto const spoil = [&](double value) {
        for (auto const& parameter : list_parameters(*model.decoder)) {
            if (parameter.path.starts_with("head."))
                parameter.data[5] = value;
        }
    };
    spoil(none);
    CHECK_THROWS_AS(model.rank(answers(), {}), Error);
    spoil(std::numeric_limits<double>::infinity());
    CHECK_THROWS_AS(model.rank(answers(), {}), Error);
}

TEST_CASE("ranking says what it cannot rank") {
    Model<Reference<double>> model;
    CHECK_THROWS_AS(model.rank({}, {}), ArgumentError);
    CHECK_THROWS_AS(model.rank(answers(), {.keep = 0}), ArgumentError);
    CHECK_THROWS_AS(model.rank(answers(), {.batch = 0}), ArgumentError);
    CHECK_THROWS_AS(model.rank({{dec}}, {}), ArgumentError);
    CHECK_THROWS_AS(model.rank({{dec, 4, sep}, {4, 4, sep}}, {}), ArgumentError);
    CHECK_THROWS_AS(model.rank({{dec, 40, sep}}, {}), ArgumentError);
    // Longer than the position table.
    CHECK_THROWS_AS(model.rank({std::vector<int>(18, dec)}, {}), ArgumentError);
    // An answer without words is only its end.
    CHECK(model.rank({{dec, sep}}, {}).front().size() == 1);
}
