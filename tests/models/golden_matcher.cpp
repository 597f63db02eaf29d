#include <support/catch.hpp>

#include <algorithm>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/matcher.hpp>
#include <support/network.hpp>

namespace {

using namespace blip;
using blip::test::GoldenTensors, blip::test::relative_difference;

/// All pictures of a case, normalised.
Pixels pictures(GoldenTensors const& inputs, std::string const& tensor) {
    auto const shape = inputs[tensor].shape;
    auto const values = inputs.floats(tensor);
    Pixels pixels(
        Pixels::shape_type{static_cast<std::size_t>(shape[0]), static_cast<std::size_t>(shape[1]),
                           static_cast<std::size_t>(shape[2]), static_cast<std::size_t>(shape[3])});
    std::copy(values.begin(), values.end(), pixels.data());
    return pixels;
}

/// A case of matching: its folder, how its tensors are called, where its model lies.
struct MatchCase {
    std::string name, model, image, ids, mask, captions;
    Compatibility compatibility;
};

template <class C, class B>
void check_matcher(MatchCase const& names, double tolerance) {
    auto const matcher = Matcher<C, B>::load(test::golden_file(names.name, names.model));
    CHECK(matcher.report().extra.empty());
    CHECK(matcher.settings().compatibility == names.compatibility);
    GoldenTensors const inputs(names.name, "inputs.safetensors");
    GoldenTensors const expected(names.name, "expected.safetensors");
    auto const compare = [&](std::string const& tensor, auto const& values) {
        INFO(tensor);
        CHECK(relative_difference(values, expected[tensor].values) < tolerance);
    };
    auto const pixels = pictures(inputs, names.image);
    auto const texts =
        test::golden_json(names.name)[names.captions].get<std::vector<std::string>>();
    auto const scores_of = [&](std::vector<Match> const& matches) {
        std::vector<double> scores;
        for (auto const& match : matches)
            scores.insert(scores.end(), match.scores.begin(), match.scores.end());
        return scores;
    };

    auto const matches = matcher.match_pairs(pixels, texts);
    compare("itm_logits", scores_of(matches));
    std::vector<double> probabilities;
    for (auto const& match : matches) {
        probabilities.push_back(1 - match.probability);
        probabilities.push_back(match.probability);
    }
    compare("itm_probabilities", probabilities);
    auto const cosines = matcher.cosines(pixels, texts);
    compare("itc_cosine", cosines);
    for (std::size_t i = 0; i < texts.size(); ++i)
        CHECK(*matches[i].cosine == cosines(i, i));
    if (expected.has("itm_logits_enc_start"))
        compare("itm_logits_enc_start",
                scores_of(matcher.match_pairs(pixels, texts, {.first_token = FirstToken::enc})));
    if (expected.has("image_features"))
        compare("image_features", matcher.image_embeddings(pixels));
    if (expected.has("text_features"))
        compare("text_features", matcher.text_embeddings(texts));
    compare(expected.has("image_embeds") ? "image_embeds" : "itm_last_hidden_state",
            matcher.encode(pixels));
    if (expected.has("itc_last_hidden_state"))
        compare("itc_last_hidden_state", matcher.encode(pixels));
    auto const tokens = matcher.tokenizer().encode_batch(
        texts, {.padding = Padding::max_length,
                .max_length = static_cast<int>(inputs[names.ids].shape[1])});
    CHECK(std::ranges::equal(tokens.ids, inputs.integers(names.ids)));
    CHECK(std::ranges::equal(tokens.mask, inputs.integers(names.mask)));

    // The recorded ids, padded as the reference pads them.
    test::Bench<B> bench;
    auto const count = static_cast<int>(pixels.shape()[0]);
    using Network = MatchingNetwork<C, B>;
    auto const& network = matcher.network();
    typename Network::Vision::Cache vision;
    auto const states =
        network.vision.forward({bench.put(std::vector<float>(pixels.begin(), pixels.end())), count},
                               vision, bench.context);
    auto const text = bench.text(inputs.integers(names.ids), inputs.integers(names.mask), count);
    typename Network::Matching::Cache cache;
    auto const padded = bench.get(network.match(text, {states}, cache, bench.context));
    CHECK(padded == scores_of(matches));
    if (expected.has("itm_question_embeds"))
        compare("itm_question_embeds", bench.get(cache.states));
    if (expected.has("itc_question_embeds")) {
        typename Network::Encoder::Cache unimodal;
        compare("itc_question_embeds",
                bench.get(network.encoder.forward(text, Causal::no, unimodal, bench.context)));
    }
}

} // namespace

#if BLIP_HAS_GOLDEN_ITM
TEST_CASE("match scores agree with the authors' release", "[golden]") {
    using C = config::golden_itm;
    MatchCase const names{
        "itm", "", "image", "text_ids", "attention_mask", "captions", Compatibility::salesforce};
    SECTION("Reference<double>") {
        check_matcher<C, Reference<double>>(names, 1e-9);
    }
    SECTION("Cpu<float>") {
        check_matcher<C, Cpu<float>>(names, 1e-4);
    }
}
#endif

#if BLIP_HAS_GOLDEN_HF_ITM
TEST_CASE("match scores agree with transformers", "[golden]") {
    using C = config::golden_hf_itm;
    MatchCase const names{"hf_itm",
                          "model",
                          "pixel_values",
                          "input_ids",
                          "attention_mask",
                          "texts",
                          Compatibility::hugging_face};
    SECTION("Reference<double>") {
        check_matcher<C, Reference<double>>(names, 1e-9);
    }
    SECTION("Cpu<float>") {
        check_matcher<C, Cpu<float>>(names, 1e-4);
    }
}
#endif
