#include <support/catch.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/heat_map.hpp>
#include <support/network.hpp>
#include <support/tiny_models.hpp>

namespace {

using namespace blip;
using blip::test::GoldenTensors, blip::test::relative_difference;
using tiny = test::tiny_model;

} // namespace

TEST_CASE("a heat map names its tokens and averages its words") {
    auto const matcher = test::random_model<Matcher<tiny, Cpu<float>>>();
    auto const pixels = test::noise(1);
    std::string const text = "a photo of word9 word10";
    auto const map = heat_map(matcher, pixels, text);
    CHECK(map.pieces ==
          std::vector<std::string>{"[ENC]", "a", "photo", "of", "word9", "word10", "[SEP]"});
    CHECK(map.ids.front() == matcher.tokenizer().vocabulary().special().enc);
    REQUIRE(map.tokens.shape()[0] == 7);
    REQUIRE(map.tokens.shape()[1] == 3);
    auto const scored =
        matcher.match_texts(pixels, {&text, 1}, {.first_token = FirstToken::enc}).front();
    CHECK(map.match.scores == scored.scores);
    CHECK(map.match.probability == scored.probability);
    for (std::size_t y = 0; y < 3; ++y)
        for (std::size_t x = 0; x < 3; ++x) {
            double sum = 0;
            for (std::size_t token = 1; token < 6; ++token) {
                sum += double(map.tokens(token, y, x));
                CHECK(map.of(token)(y, x) == map.tokens(token, y, x));
            }
            CHECK(double(map.words(y, x)) == Approx(sum / 5));
        }
    CHECK(*std::max_element(map.tokens.begin(), map.tokens.end()) > 0);
    CHECK(*std::min_element(map.tokens.begin(), map.tokens.end()) >= 0);

    CHECK(*std::max_element(map.words.begin(), map.words.end()) > 0);

    // The first of two layers is the default: after the last one only the first token counts.
    CHECK(middle_layer(12) == 6);
    CHECK(middle_layer(1) == 0);
    CHECK((heat_map(matcher, pixels, text, {.layer = 0}).tokens == map.tokens));
    auto const last = heat_map(matcher, pixels, text, {.layer = 1});
    CHECK(*std::max_element(last.tokens.begin(), last.tokens.end()) > 0);
    CHECK(*std::max_element(last.words.begin(), last.words.end()) == 0);
    CHECK_THROWS_AS(heat_map(matcher, pixels, text, {.layer = 2}), ArgumentError);
    CHECK_THROWS_AS(heat_map(matcher, test::noise(2), text), ArgumentError);
    CHECK_THROWS_AS(map.of(7), ArgumentError);
    auto const cls = heat_map(matcher, pixels, text, {.first_token = FirstToken::cls});
    CHECK(cls.pieces.front() == "[CLS]");
    auto const empty = heat_map(matcher, pixels, "");
    CHECK(empty.pieces.size() == 2);
    CHECK(*std::max_element(empty.words.begin(), empty.words.end()) == 0);
}

TEST_CASE("heat maps do not depend on threads or on how weights are stored") {
    std::string const text = "a photo of word9 word10";
    auto const one = test::random_model<Matcher<tiny, Cpu<float>>>(Cpu<float>::Engine(1));
    auto const map = heat_map(one, test::noise(1), text);
    auto const three = test::random_model<Matcher<tiny, Cpu<float>>>(Cpu<float>::Engine(3));
    CHECK((heat_map(three, test::noise(1), text).tokens == map.tokens));
    test::Folder const folder;
    one.save(folder.path);
    auto const panels = Matcher<tiny, Cpu<float>>::load(folder.path);
    CHECK((heat_map(panels, test::noise(1), text).tokens == map.tokens));
}

TEST_CASE("relevance leaves out the class token and what pulls the score down") {
    // Two heads, one row, one cell beside the class token.
    std::vector<double> const attention{0.9, 0.1, 0.4, 0.6};
    std::vector<double> const gradient{7, 2, 7, -3};
    auto const map = relevance<double>(attention, gradient, 2, 1, 1);
    REQUIRE(map.size() == 1);
    CHECK(map(0, 0, 0) == Approx(0.1 * 2 / 2));
    CHECK_THROWS_AS(relevance<double>(attention, gradient, 2, 2, 1), ArgumentError);
}

#if BLIP_HAS_GOLDEN_GRADCAM
namespace {

template <class B>
void check_maps(double tolerance) {
    using C = config::golden_gradcam;
    using Network = MatchingNetwork<C, B>;
    std::string const name = "gradcam";
    GoldenTensors const inputs(name, "inputs.safetensors");
    GoldenTensors const expected(name, "expected.safetensors");
    auto const matcher = Matcher<C, B>::load(test::golden_file(name, ""));
    auto const& network = matcher.network();
    auto const shape = inputs["image"].shape;
    auto const values = inputs.floats("image");
    auto const count = static_cast<std::size_t>(shape[0]);
    Pixels pixels(Pixels::shape_type{count, 3, static_cast<std::size_t>(shape[2]),
                                     static_cast<std::size_t>(shape[3])});
    std::copy(values.begin(), values.end(), pixels.data());
    auto const captions =
        test::golden_json(name)["captions"].template get<std::vector<std::string>>();
    test::Bench<B> bench;
    auto& ctx = bench.context;
    auto const states = matcher.shared()->encode(pixels, ctx);
    auto const text = bench.text(inputs.integers("text_ids"), inputs.integers("attention_mask"),
                                 static_cast<std::int64_t>(count));
    constexpr std::size_t grid = C::vision::image / C::vision::patch, cells = grid * grid;
    for (int layer = 0; layer < C::text::depth; ++layer) {
        std::string const prefix = "layer" + std::to_string(layer);
        INFO(prefix);
        AttentionProbe<typename Network::Encoder> probe(network.encoder, layer);
        typename Network::Matching::Cache cache;
        auto const last = probe.forward(text, Causal::no, {states}, ctx);
        auto const logits = Network::Matching::judge(last, network.matching, cache, ctx);
        CHECK(relative_difference(bench.get(logits), expected["itm_logits"].values) < tolerance);
        std::vector<double> ones(2 * count);
        for (std::size_t i = 1; i < ones.size(); i += 2)
            ones[i] = 1;
        typename Network::Logits dlogits = logits;
        dlogits.data = bench.put(ones);
        Weights<typename Network::MatchHead::Grad> unused(bench.engine);
        auto const dlast =
            Network::Matching::state_gradient(dlogits, network.matching, cache, *unused, ctx);
        auto* p = ctx.take(probe.size());
        auto* g = ctx.take(probe.size());
        probe.attention(p, ctx);
        probe.gradient(dlast, g, ctx);
        CHECK(relative_difference(bench.get(p, probe.size()),
                                  expected[prefix + ".attention"].values) < tolerance);
        CHECK(relative_difference(bench.get(g, probe.size()),
                                  expected[prefix + ".attention_gradient"].values) < tolerance);

        // The stack of the reference: first token, mean over words, then tokens from 1 on. Maps
        // are kept as float.
        auto const wanted = expected[prefix + ".map"];
        auto const rows = static_cast<std::size_t>(wanted.shape[1]);
        std::vector<double> stack(wanted.values.size());
        for (std::size_t i = 0; i < count; ++i) {
            auto const map =
                heat_map(matcher, test::some_of(pixels, i), captions[i], {.layer = layer});
            double* const to = stack.data() + i * rows * cells;
            std::copy_n(map.tokens.data(), cells, to);
            std::copy_n(map.words.data(), cells, to + cells);
            std::copy(map.tokens.begin() + static_cast<std::ptrdiff_t>(cells), map.tokens.end(),
                      to + 2 * cells);
        }
        CHECK(relative_difference(stack, wanted.values) < std::max(tolerance, 1e-6));
    }
}

} // namespace

TEST_CASE("heat maps agree with the reference", "[golden]") {
    SECTION("Reference<double>") {
        check_maps<Reference<double>>(1e-9);
    }
    SECTION("Cpu<float>") {
        check_maps<Cpu<float>>(1e-4);
    }
}
#endif
