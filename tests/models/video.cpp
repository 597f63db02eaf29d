#include <support/catch.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/models/video_question_answerer.hpp>
#include <blip/models/video_retriever.hpp>
#include <support/golden.hpp>
#include <support/tiny_models.hpp>

namespace {

using namespace blip;
using test::noise, test::relative_difference;
using Retriever = VideoRetriever<test::tiny_model, Cpu<float>>;
using Matching = Matcher<test::tiny_model, Cpu<float>>;
using Answering = QuestionAnswerer<test::tiny_model, Cpu<float>>;
using VideoAnswering = VideoQuestionAnswerer<test::tiny_model, Cpu<float>>;

std::vector<std::string> const texts{"a photo of word9", "word20 word21", "a"};

/// The pictures in another order.
Pixels reordered(Pixels const& all, std::vector<std::size_t> const& order) {
    Pixels pixels(Pixels::shape_type{order.size(), 3, all.shape()[2], all.shape()[3]});
    std::size_t const each = all.size() / all.shape()[0];
    for (std::size_t i = 0; i < order.size(); ++i)
        std::copy_n(all.data() + order[i] * each, each, pixels.data() + i * each);
    return pixels;
}

/// Random pictures of 8 bits.
std::vector<Image> film(std::size_t count) {
    std::vector<Image> frames;
    for (std::size_t i = 0; i < count; ++i) {
        frames.push_back(make_image({10, 14}));
        for (std::size_t k = 0; k < frames[i].size(); ++k)
            frames[i].data()[k] = static_cast<std::uint8_t>(random_bits({9, i}, k));
    }
    return frames;
}

void check_same(std::vector<Answer> const& a, std::vector<Answer> const& b) {
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        CHECK(a[i].ids == b[i].ids);
        CHECK(a[i].score == b[i].score);
    }
}

} // namespace

TEST_CASE("a clip of one frame is its picture") {
    auto const matcher = test::random_model<Matching>();
    Retriever const retriever(matcher);
    auto const picture = noise(1);
    auto const clip = retriever.encode(picture, 1).front();
    CHECK(relative_difference(clip.embedding, matcher.image_embeddings(picture)) < 1e-6);
    auto const found = retriever.match(clip, texts);
    auto const expected = matcher.match_texts(picture, texts, {.first_token = FirstToken::enc});
    for (std::size_t i = 0; i < texts.size(); ++i) {
        CHECK(found[i].scores == expected[i].scores);
        CHECK(found[i].probability == expected[i].probability);
        CHECK(*found[i].cosine == Approx(*expected[i].cosine).margin(1e-6));
    }
    // Eight times the same frame are still that picture, but for rounding.
    auto const repeated = retriever.encode(reordered(picture, std::vector<std::size_t>(8, 0)), 8);
    CHECK(relative_difference(repeated.front().embedding, clip.embedding) < 1e-6);
    CHECK(retriever.match(repeated.front(), texts)[0].scores[1] ==
          Approx(found[0].scores[1]).epsilon(1e-4));
}

TEST_CASE("a clip's vector does not know the order of frames, and each frame counts") {
    Retriever const retriever(test::random_model<Matching>());
    auto const frames = noise(4);
    auto const clip = retriever.encode(frames, 4).front();
    auto const backwards = retriever.encode(reordered(frames, {3, 2, 1, 0}), 4).front();
    CHECK(relative_difference(backwards.embedding, clip.embedding) < 1e-6);
    // The match head's states do keep it, row after row, though attention weighs them alike.
    CHECK((backwards.states != clip.states));
    auto const row = clip.states.size() / 4;
    CHECK(std::equal(clip.states.data(), clip.states.data() + row,
                     backwards.states.data() + 3 * row));
    auto const other = retriever.encode(reordered(frames, {0, 1, 2, 2}), 4).front();
    CHECK(relative_difference(other.embedding, clip.embedding) > 1e-4);
    CHECK(retriever.match(other, texts)[0].scores != retriever.match(clip, texts)[0].scores);
}

TEST_CASE("clips encoded and searched together are what they are alone") {
    Retriever const retriever(test::random_model<Matching>());
    auto const frames = noise(15);
    auto const clips = retriever.encode(frames, 3);
    REQUIRE(clips.size() == 5);
    for (std::size_t i = 0; i < 5; ++i) {
        auto const alone = retriever.encode(test::some_of(frames, 3 * i, 3), 3).front();
        CHECK(alone.embedding == clips[i].embedding);
        CHECK((alone.states == clips[i].states));
    }
    auto const all = retriever.scores(clips, texts, 2);
    for (std::size_t t = 0; t < texts.size(); ++t) {
        auto const found = retriever.search(clips, texts[t], {.keep = 2, .results = 0});
        REQUIRE(found.size() == 2);
        CHECK(found[0].score >= found[1].score);
        for (auto const& one : found) {
            CHECK(one.score == all.text_to_clip(t, one.clip));
            CHECK(one.cosine == all.cosine(one.clip, t));
            auto const match = retriever.match(clips[one.clip], {&texts[t], 1}).front();
            CHECK(match.scores[1] + *match.cosine == one.score);
            CHECK(match.probability == one.probability);
        }
        std::size_t unseen = 0;
        for (std::size_t i = 0; i < 5; ++i)
            unseen += all.text_to_clip(t, i) == -100;
        CHECK(unseen == 3);
    }
    CHECK(retriever.search(clips, texts[0], {.results = 1}).size() == 1);
    CHECK(retriever.search({}, texts[0]).empty());
    // Vectors of another model do not fit.
    for (std::size_t const size : {std::size_t{0}, std::size_t{1}, clips[0].embedding.size() + 1}) {
        std::vector<Retriever::Clip> foreign{clips[0]};
        foreign.front().embedding.resize(size);
        CHECK_THROWS_AS(retriever.search(foreign, texts[0]), ArgumentError);
        CHECK_THROWS_AS(retriever.scores(foreign, texts), ArgumentError);
        CHECK_THROWS_AS(retriever.match(foreign.front(), texts), ArgumentError);
    }
    CHECK_THROWS_AS(retriever.encode(frames, 4), ArgumentError);
    CHECK_THROWS_AS(retriever.encode(frames, 0), ArgumentError);
}

TEST_CASE("a retriever samples the frames of a list") {
    auto const matcher = test::random_model<Matching>();
    auto const frames = film(11);
    Retriever const five(matcher, 5), all(matcher, 0);
    std::vector<Image> const chosen{frames[0], frames[2], frames[4], frames[6], frames[8]};
    CHECK(five.encode(frames).embedding == all.encode(chosen).embedding);
    CHECK((five.encode(frames).states == all.encode(chosen).states));
    CHECK_THROWS_AS(all.encode(std::span<Image const>{}), ArgumentError);
}

TEST_CASE("a clip's texts are read as they are told to be, as in the paper by default") {
    auto const matcher = test::random_model<Matching>();
    Retriever const retriever(matcher);
    auto const clips = retriever.encode(noise(4), 2);
    auto const usual = retriever.match(clips[0], texts);
    MatchOptions const cls{.first_token = FirstToken::cls, .cosine = false};
    auto const other = retriever.match(clips[0], texts, cls);
    for (std::size_t i = 0; i < texts.size(); ++i) {
        CHECK(other[i].scores != usual[i].scores);
        CHECK_FALSE(other[i].cosine.has_value());
    }
    auto const one = retriever.search(clips, texts[0], {.text = cls});
    auto const all = retriever.scores(clips, texts, 128, cls);
    for (auto const& found : one) {
        auto const match = retriever.match(clips[found.clip], {&texts[0], 1}, cls).front();
        CHECK(found.score == match.scores[1] + found.cosine);
        CHECK(found.score == all.text_to_clip(0, found.clip));
    }
    // Cut to [ENC] word [SEP], texts that begin alike are alike.
    std::vector<std::string> const alike{"a photo", "a word9 word10"};
    auto const cut = retriever.match(clips[0], alike, {.max_length = 3});
    CHECK(cut[0].scores == cut[1].scores);
    CHECK(*cut[0].cosine == *cut[1].cosine);
    CHECK(retriever.match(clips[0], alike)[0].scores != retriever.match(clips[0], alike)[1].scores);
}

TEST_CASE("models of clips are loaded like those of pictures, and share their weights") {
    test::Folder const folder, answering;
    auto const matcher = test::random_model<Matching>();
    auto const answerer = test::random_model<Answering>();
    matcher.save(folder.path);
    answerer.save(answering.path);
    Retriever const shared(matcher.shared(), 3);
    auto const loaded = Retriever::load(ModelFolder::open(folder.path), {}, 3);
    CHECK(loaded.report().extra.empty());
    CHECK(loaded.settings().compatibility == Compatibility::salesforce);
    CHECK(shared.shared() == matcher.shared());
    auto const frames = film(5);
    auto const clip = shared.encode(frames);
    CHECK(clip.embedding == loaded.encode(frames).embedding);
    CHECK(clip.states.shape()[1] == 3 * Retriever::Network::Vision::tokens);
    VideoAnswering const video(answerer.shared(), 2);
    auto const again = VideoAnswering::load(ModelFolder::open(answering.path), {}, 2);
    CHECK(again.report().extra.empty());
    check_same(video.answer(frames, texts[0]), again.answer(frames, texts[0]));
    CHECK_THROWS_AS(VideoAnswering(decltype(answerer.shared()){}), ArgumentError);
}

TEST_CASE("questions about clips look at all frames") {
    auto const answerer = test::random_model<Answering>();
    VideoAnswering const video(answerer, 4);
    std::vector<std::string> const questions{"a photo of word9", "word20 word21 word22"};
    AnswerOptions const options{.beams = 3, .max_length = 12, .attend_padding = false};
    auto const frames = noise(8);

    SECTION("a clip of one frame is its picture") {
        auto const one = noise(2);
        auto const found = video.answer(one, 1, questions, options);
        auto const expected = answerer.answer(one, questions, options);
        for (std::size_t i = 0; i < 2; ++i)
            check_same(found[i], expected[i]);
    }
    SECTION("a batch of clips gives what each gives alone, whatever is asked about which") {
        auto const found = video.answer(frames, 4, questions, options);
        auto const answers = video.answer_list({"a", "photo of", "word12 word13"});
        auto const ranked = video.rank(frames, 4, questions, answers, {.results = 0});
        for (std::size_t i = 0; i < 2; ++i) {
            auto const clip = test::some_of(frames, 4 * i, 4);
            check_same(video.answer(clip, 4, {&questions[i], 1}, options).front(), found[i]);
            auto const alone =
                video.rank(clip, 4, {&questions[i], 1}, answers, {.results = 0}).front();
            REQUIRE(alone.size() == ranked[i].size());
            for (std::size_t k = 0; k < alone.size(); ++k) {
                CHECK(alone[k].text == ranked[i][k].text);
                CHECK(alone[k].score == ranked[i][k].score);
            }
        }
        std::vector<int> const about{1, 1};
        auto const both = video.answer(frames, 4, questions, options, about);
        check_same(both[1], found[1]);
        std::vector<int> const outside{0, 2};
        CHECK_THROWS_AS(video.answer(frames, 4, questions, options, outside), ArgumentError);
        CHECK_THROWS_AS(video.answer(frames, 3, questions, options), ArgumentError);
    }
    SECTION("frames of a list are sampled") {
        auto const all = film(9);
        std::vector<Image> const chosen{all[0], all[2], all[4], all[6]};
        VideoAnswering const every(answerer, 0);
        check_same(video.answer(all, questions[0], options),
                   every.answer(chosen, questions[0], options));
        auto const answers = video.answer_list({"a", "photo of"});
        CHECK(video.rank(all, questions[0], answers).front().text ==
              every.rank(chosen, questions[0], answers).front().text);
    }
}
