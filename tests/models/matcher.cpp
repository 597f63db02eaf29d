#include <support/catch.hpp>

#include <thread>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/models/matcher.hpp>
#include <blip/networks/captioner_network.hpp>
#include <support/tiny_models.hpp>

namespace {

using namespace blip;
using B = Cpu<float>;

/// With room for texts of 35 tokens.
struct tiny : test::tiny_model {
    struct text : test::tiny_model::text {
        static constexpr int positions = 40;
    };
};

using Fast = Matcher<tiny, B>;

Fast random_matcher(Compatibility compatibility = Compatibility::salesforce,
                    B::Engine engine = B::Engine{}) {
    return test::random_model<Fast>(engine, compatibility);
}

Pixels pictures(std::size_t count) {
    return test::noise(count);
}

/// Texts of many lengths, shuffled.
std::vector<std::string> sentences(std::size_t count) {
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < count; ++i) {
        texts.emplace_back(i % 5 == 0 ? "" : "a photo of");
        for (std::size_t k = 0; k < (i * 7) % 19; ++k)
            texts.back() += " word" + std::to_string(8 + (i * 11 + k * 5) % 30);
    }
    return texts;
}

void check_same(Match const& a, Match const& b) {
    CHECK(a.scores == b.scores);
    CHECK(a.probability == b.probability);
    CHECK(a.cosine == b.cosine);
}

void check_same(std::vector<Match> const& a, std::vector<Match> const& b) {
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
        check_same(a[i], b[i]);
}

std::string message_of(auto const& call) {
    try {
        call();
    } catch (Error const& error) {
        return error.what();
    }
    return {};
}

} // namespace

TEST_CASE("a pair's result is bit for bit the same alone and among others") {
    auto const matcher = random_matcher();
    // More than go through the network together, of one picture and of several.
    auto const texts = sentences(150);
    auto const together = matcher.match_texts(pictures(1), texts);
    REQUIRE(together.size() == texts.size());
    for (std::size_t i = 0; i < texts.size(); i += 13)
        check_same(matcher.match_pairs(pictures(1), {&texts[i], 1}).front(), together[i]);
    check_same(matcher.match_texts(matcher.encode(pictures(1)), texts), together);

    auto const all = pictures(11);
    auto const some = std::span(texts).first(11);
    auto const pairs = matcher.match_pairs(all, some);
    auto const one_text = matcher.match_images(all, texts[7]);
    REQUIRE(pairs.size() == 11);
    REQUIRE(one_text.size() == 11);
    for (std::size_t i = 0; i < 11; ++i) {
        auto const picture = items_of(all, i, 1);
        check_same(matcher.match_texts(picture, some.subspan(i, 1)).front(), pairs[i]);
        check_same(matcher.match_texts(picture, {&texts[7], 1}).front(), one_text[i]);
    }
}

TEST_CASE("several texts about each of several pictures") {
    auto const matcher = random_matcher();
    auto const texts = sentences(12);
    auto const all = pictures(3);
    auto const batch = tokenize_for_match(matcher.tokenizer(), texts, FirstToken::cls, 35);
    B::Engine engine;
    Arena<B> arena;
    Context<B> ctx{engine, arena, Keep::nothing};
    auto const states = matcher.shared()->encode(all, ctx);
    auto const scores = match_scores(matcher.network(), states, batch, ctx);
    for (std::size_t i = 0; i < 3; ++i) {
        auto const alone =
            matcher.match_texts(items_of(all, i, 1), std::span(texts).subspan(4 * i, 4));
        for (std::size_t k = 0; k < 4; ++k)
            CHECK(scores[4 * i + k] == alone[k].scores);
    }
    CHECK_THROWS_AS(match_scores(matcher.network(), states.items(0, 2),
                                 batch.select(std::vector<int>{0, 1, 2}), ctx),
                    ArgumentError);
}

TEST_CASE("padding changes no bit of a score") {
    auto const matcher = random_matcher();
    auto const texts = sentences(20);
    B::Engine engine;
    Arena<B> arena;
    Context<B> ctx{engine, arena};
    auto const states = matcher.shared()->encode(pictures(1), ctx);
    auto const plain = matcher.match_texts(pictures(1), texts);
    auto const vectors = matcher.text_embeddings(texts);
    auto const padded = upload_text<tiny::text>(
        matcher.tokenizer().encode_batch(texts, {.padding = Padding::max_length, .max_length = 35}),
        ctx);
    Fast::Network::Matching::Cache cache;
    auto const logits = matcher.network().match(padded, {states}, cache, ctx);
    for (std::size_t i = 0; i < texts.size(); ++i) {
        CHECK(plain[i].scores[0] == static_cast<double>(logits.data[2 * i]));
        CHECK(plain[i].scores[1] == static_cast<double>(logits.data[2 * i + 1]));
    }
    Fast::Network::TextProjected::Cache unimodal;
    auto const features = matcher.network().text_features(padded, unimodal, ctx);
    CHECK(std::equal(vectors.begin(), vectors.end(), features.data));
}

TEST_CASE("the order of texts does not matter") {
    auto const matcher = random_matcher();
    auto texts = sentences(60);
    auto forward = matcher.match_texts(pictures(1), texts);
    std::ranges::reverse(texts);
    auto const backward = matcher.match_texts(pictures(1), texts);
    std::ranges::reverse(forward);
    check_same(forward, backward);
}

TEST_CASE("match results do not depend on the number of threads") {
    auto const one = random_matcher(Compatibility::salesforce, B::Engine(1));
    auto const texts = sentences(40);
    for (std::size_t threads : {2, 3, 5}) {
        auto const several = random_matcher(Compatibility::salesforce, B::Engine(threads));
        check_same(one.match_texts(pictures(1), texts), several.match_texts(pictures(1), texts));
        check_same(one.match_images(pictures(9), texts[3]),
                   several.match_images(pictures(9), texts[3]));
    }
    std::vector<std::vector<Match>> found(4);
    std::vector<std::thread> callers;
    for (auto& matches : found)
        callers.emplace_back([&] { matches = one.match_texts(pictures(1), texts); });
    for (auto& caller : callers)
        caller.join();
    for (auto const& matches : found)
        check_same(matches, one.match_texts(pictures(1), texts));
}

TEST_CASE("texts begin as the implementation's published scores need") {
    auto const texts = sentences(3);
    auto const scores = [&](Compatibility compatibility, std::optional<FirstToken> first) {
        MatchOptions options;
        options.first_token = first;
        return random_matcher(compatibility).match_texts(pictures(1), texts, options)[2].scores;
    };
    auto const cls = scores(Compatibility::salesforce, FirstToken::cls);
    auto const enc = scores(Compatibility::salesforce, FirstToken::enc);
    CHECK(cls != enc);
    CHECK(scores(Compatibility::salesforce, {}) == cls);
    CHECK(scores(Compatibility::hugging_face, {}) == cls);
    CHECK(scores(Compatibility::strict, {}) == enc);
}

TEST_CASE("long texts are cut as the authors do, and refused with the port") {
    std::string text = "photo";
    for (int i = 0; i < 60; ++i)
        text += " of";
    std::string cut = "photo";
    for (int i = 0; i < 32; ++i)
        cut += " of";
    auto const matcher = random_matcher();
    check_same(matcher.match_texts(pictures(1), {&text, 1}),
               matcher.match_texts(pictures(1), {&cut, 1}));
    auto const port = random_matcher(Compatibility::hugging_face);
    CHECK_THROWS_AS(port.match_texts(pictures(1), {&text, 1}), ArgumentError);
    check_same(port.match_texts(pictures(1), {&text, 1}, {.max_length = 35}),
               matcher.match_texts(pictures(1), {&cut, 1}));
}

TEST_CASE("embeddings have length 1 and give the cosines") {
    auto const matcher = random_matcher();
    auto const texts = sentences(5);
    auto const all = pictures(3);
    auto const cosines = matcher.cosines(all, texts);
    auto const images = matcher.image_embeddings(all);
    CHECK((matcher.image_embeddings(matcher.encode(all)) == images));
    for (std::size_t i = 0; i < 3; ++i) {
        double length = 0;
        for (std::size_t c = 0; c < tiny::projection; ++c)
            length += images(i, c) * images(i, c);
        CHECK(length == Approx(1).epsilon(1e-6));
        auto const matches = matcher.match_texts(items_of(all, i, 1), texts);
        for (std::size_t k = 0; k < 5; ++k)
            CHECK(*matches[k].cosine == cosines(i, k));
        auto const without = matcher.match_texts(items_of(all, i, 1), texts, {.cosine = false});
        CHECK_FALSE(without.front().cosine);
        CHECK(without.front().scores == matches.front().scores);
    }
}

TEST_CASE("a matcher that is saved is loaded again") {
    test::Folder const folder;
    auto const matcher = random_matcher();
    matcher.save(folder.path);
    auto const again = Fast::load(folder.path);
    CHECK(again.settings().compatibility == Compatibility::salesforce);
    CHECK(again.report().extra.empty());
    auto const texts = sentences(4);
    check_same(matcher.match_texts(pictures(1), texts), again.match_texts(pictures(1), texts));
    auto const rows = Fast::load(folder.path, {.layout = Layout::rows});
    check_same(matcher.match_texts(pictures(1), texts), rows.match_texts(pictures(1), texts));
}

TEST_CASE("a checkpoint of another task says which it is") {
    test::Folder const folder;
    B::Engine engine;
    Weights<CaptionerNetwork<tiny, B>> captioner(engine);
    save_model(folder.path, captioner, engine, ModelSettings{}, test::tiny_words(),
               {.size = Fast::image_size});
    auto const text = message_of([&] { Fast::load(folder.path); });
    INFO(text);
    CHECK(text.find("checkpoint for captioning") != text.npos);
    CHECK(text.find("blip::Matcher needs one for image-text matching") != text.npos);
    CHECK(text.find("read it with blip::Captioner") != text.npos);
}

TEST_CASE("match calls that make no sense say so") {
    auto const matcher = random_matcher();
    auto const texts = sentences(3);
    CHECK(matcher.match_texts(pictures(1), {}).empty());
    CHECK_THROWS_AS(matcher.match_texts(pictures(2), texts), ArgumentError);
    CHECK_THROWS_AS(matcher.match_pairs(pictures(2), texts), ArgumentError);
    CHECK_THROWS_AS(matcher.match_texts(Pixels(Pixels::shape_type{1, 3, 8, 8}), texts),
                    ArgumentError);
    CHECK_THROWS_AS(matcher.match_texts(Fast::States(Fast::States::shape_type{1, 4, 32}), texts),
                    ArgumentError);
    CHECK_THROWS_AS(matcher.match_texts(pictures(1), texts, {.max_length = 1}), ArgumentError);
}
