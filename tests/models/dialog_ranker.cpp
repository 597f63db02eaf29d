#include <support/catch.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/models/dialog_ranker.hpp>
#include <support/network.hpp>
#include <support/tiny_models.hpp>

namespace {

using namespace blip;

/// Picture and text states are equally wide, as in ViT-B.
struct tiny : test::tiny_model {
    struct text : test::tiny_model::text {
        static constexpr int width = 32, heads = 4;
    };
};
using B = Cpu<float>;
using Ranker = DialogRanker<tiny, B>;

Dialog const dialog{.caption = "a photo of word9",
                    .history = {{"word10 word11", "word12"}, {"word13", "word14 word15"}},
                    .question = "word16 word17"};
std::vector<std::string> const candidates{"a", "word20 word21", "photo", "word20 word21",
                                          "of word30 word31 word32"};

} // namespace

TEST_CASE("candidates are ranked by the match head over picture and caption together") {
    auto const matcher = test::random_model<Matcher<tiny, B>>();
    Ranker const ranker(matcher);
    auto const picture = test::noise(1);
    auto const ranked = ranker.rank(picture, dialog, candidates);
    REQUIRE(ranked.size() == candidates.size());

    // The same by hand, from the network's parts.
    test::Bench<B> bench;
    auto& ctx = bench.context;
    auto const& network = matcher.network();
    auto const& words = matcher.tokenizer();
    typename Ranker::Network::Vision::Cache vision;
    auto const image = bench.get(network.vision.forward(
        {bench.put(std::vector<float>(picture.begin(), picture.end())), 1}, vision, ctx));
    typename Ranker::Network::Encoder::Cache encoder;
    auto const caption = bench.get(network.encoder.forward(
        upload_text<tiny::text>(words.encode_batch(std::span(&dialog.caption, 1)), ctx), Causal::no,
        encoder, ctx));
    auto both = image;
    both.insert(both.end(), caption.begin(), caption.end());
    EncoderStates<32, B> const states{{bench.put(both), 1, static_cast<int>(both.size() / 32)}};
    for (std::size_t i = 0; i < ranked.size(); ++i) {
        std::vector<std::string> const text{
            "word10 word11 word12 word13 word14 word15 word16 word17 " +
            candidates[ranked[i].candidate]};
        CHECK(ranker.text(dialog, candidates[ranked[i].candidate]) == text.front());
        auto const tokens = with_first(words.encode_batch(text), words.vocabulary().special().enc);
        typename Ranker::Network::Matching::Cache match;
        auto const logits =
            bench.get(network.match(upload_text<tiny::text>(tokens, ctx), states, match, ctx));
        CHECK(ranked[i].scores[0] == Approx(logits[0]).epsilon(1e-5));
        CHECK(ranked[i].scores[1] == Approx(logits[1]).epsilon(1e-5));
        CHECK(ranked[i].probability == match_probability(ranked[i].scores));
        if (i > 0)
            CHECK(ranked[i - 1].probability >= ranked[i].probability);
    }
    // Equal candidates are equal, and the first comes first.
    std::vector<std::size_t> twins;
    for (auto const& one : ranked)
        if (one.candidate == 1 || one.candidate == 3)
            twins.push_back(one.candidate);
    CHECK(twins == std::vector<std::size_t>{1, 3});
}

TEST_CASE("a candidate's score does not depend on the others; caption, picture, history count") {
    Ranker const ranker(test::random_model<Matcher<tiny, B>>());
    auto const picture = test::noise(1);
    auto const ranked = ranker.rank(picture, dialog, candidates);
    for (auto const& one : ranked) {
        auto const alone =
            ranker.rank(picture, dialog, std::span(&candidates[one.candidate], 1)).front();
        CHECK(alone.scores == one.scores);
    }
    std::span const first(candidates.data(), 1);
    auto const score = [&](Pixels const& pixels, Dialog const& about) {
        return ranker.rank(pixels, about, first).front().scores;
    };
    auto const base = score(picture, dialog);
    auto other = dialog;
    other.caption = "a photo of word8";
    CHECK(score(picture, other) != base);
    other = dialog;
    other.history.front().answer = "word8";
    CHECK(score(picture, other) != base);
    CHECK(score(test::noise(1, 24, 77), dialog) != base);
    CHECK(ranker.rank(picture, dialog, {}).empty());
    CHECK_THROWS_AS(ranker.rank(test::noise(2), dialog, candidates), ArgumentError);
}

TEST_CASE("of a dialogue that is too long the oldest rounds are left out") {
    Ranker const ranker(test::random_model<Matcher<tiny, B>>());
    auto longer = dialog;
    for (int i = 0; i < 20; ++i)
        longer.history.push_back({"word20", "word" + std::to_string(8 + i)});
    // 32 positions: two special tokens, 3 words that stay, and 13 rounds of 2 words.
    auto const text = ranker.text(longer, "a");
    CHECK(text.starts_with("word20 word15 word20 word16 "));
    CHECK(text.ends_with("word20 word27 word16 word17 a"));
    CHECK(ranker.rank(test::noise(1), longer, candidates).size() == candidates.size());
    // A longer candidate of the same list costs all of them the same rounds.
    std::vector<std::string> const unequal{"a", "word9 word10 word11 word12 word13"};
    auto const texts = ranker.texts(longer, unequal);
    CHECK(texts[0] == ranker.text(longer, unequal[1]).substr(0, texts[0].size() - 1) + "a");
    CHECK(texts[0].starts_with("word20 word17 "));
    auto const ranked = ranker.rank(test::noise(1), longer, unequal);
    auto const score_of = [](std::vector<RankedCandidate> const& all, std::size_t number) {
        return std::ranges::find(all, number, &RankedCandidate::candidate)->scores;
    };
    // With a room of its own no candidate depends on another.
    DialogOptions const room{.candidate_tokens = 7};
    auto const apart = ranker.rank(test::noise(1), longer, unequal, room);
    for (std::size_t i = 0; i < unequal.size(); ++i)
        CHECK(score_of(ranker.rank(test::noise(1), longer, std::span(&unequal[i], 1), room), 0) ==
              score_of(apart, i));
    CHECK(score_of(apart, 0) != score_of(ranked, 0));
    CHECK_THROWS_AS(ranker.text(longer, "a", {.candidate_tokens = -1}), ArgumentError);
    auto endless = dialog;
    for (int i = 0; i < 40; ++i)
        endless.question += " word9";
    CHECK_THROWS_AS(ranker.rank(test::noise(1), endless, candidates), ArgumentError);
}
