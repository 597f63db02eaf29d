#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <blip/config/presets.hpp>
#include <blip/models/matcher.hpp>
#include <blip/models/question_answerer.hpp>

#include "peer_measures/measures.hpp"

namespace blip::bench {

namespace {

using namespace config;

/// A text that becomes `tokens` tokens, the first and last of them special.
std::string text_of(Tokenizer const& tokenizer, int tokens) {
    static constexpr char const* words[] = {"what", "color",  "is",   "the", "car",
                                            "that", "stands", "near", "a",   "house"};
    std::string text;
    for (int i = 0; i + 2 < tokens; ++i)
        text += std::string(i == 0 ? "" : " ") + words[i % 10];
    auto const found = tokenizer.encode(text).size();
    if (found != static_cast<std::size_t>(tokens))
        throw Error(join("expected a text of ", tokens, " tokens, found ", found));
    return text;
}

/// 12 question tokens, 3 beams, 10 new tokens whatever the model thinks.
template <class C>
Work answer(Arguments const& a, char const* folder) {
    using Model = QuestionAnswerer<C, B>;
    auto const model = std::make_shared<Model const>(load_model<Model>(a, folder));
    auto const pixels = make_pixels(1, C::vision::image);
    auto const question = text_of(model->tokenizer(), 12);
    AnswerOptions options;
    options.beams = 3;
    options.max_new_tokens = 10;
    options.min_length = 1000;
    auto const run = [=] {
        auto const answers = model->answer(pixels, std::span(&question, 1), options);
        if (answers.front().front().token_log_probabilities.size() != 10)
            throw Error("expected 10 new tokens");
    };
    return {run, 1, 8, {{"question_tokens", 12}, {"decoding_steps", 10}, {"beams", 3}}};
}

auto load_matcher(Arguments const& a) {
    using Model = Matcher<base<384>, B>;
    return std::make_shared<Model const>(load_model<Model>(a, "itm_base"));
}

/// Match scores of one picture and `texts` texts of 35 tokens.
Work match(Arguments const& a, int texts) {
    auto const model = load_matcher(a);
    auto const pixels = make_pixels(1, 384);
    std::vector<std::string> const all(static_cast<std::size_t>(texts),
                                       text_of(model->tokenizer(), 35));
    return {[=] { (void)model->match_texts(pixels, all, {.cosine = false}); },
            texts,
            8,
            {{"text_tokens", 35}}};
}

Work text_features(Arguments const& a) {
    auto const model = load_matcher(a);
    auto const text = text_of(model->tokenizer(), 12);
    return {
        [=] { (void)model->text_embeddings(std::span(&text, 1)); }, 1, 48, {{"text_tokens", 12}}};
}

} // namespace

Measures variant_measures() {
    return {
        {"vqa_384_beam3_10", [](Arguments const& a) { return answer<base<384>>(a, "vqa_base"); }},
        {"vqa_480_beam3_10",
         [](Arguments const& a) { return answer<base<480>>(a, "vqa_base_480"); }},
        {"itm_1x1", [](Arguments const& a) { return match(a, 1); }},
        {"itm_1x16", [](Arguments const& a) { return match(a, 16); }},
        {"text_features_12", text_features},
    };
}

} // namespace blip::bench
