#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/generate/beam.hpp>
#include <blip/generate/greedy.hpp>
#include <blip/generate/next_scores.hpp>
#include <blip/generate/sample.hpp>
#include <blip/io/model_folder.hpp>
#include <blip/models/prompts.hpp>
#include <blip/networks/decoder_session.hpp>

namespace blip {

/// A text that a model wrote, with what the model thinks of it.
struct GeneratedText {
    std::string text; ///< without special tokens, and without the prompt where the authors cut it
                      ///< or it is the model's own
    std::vector<int> ids; ///< [DEC], prompt, text, and [SEP] when the model ended it
    std::vector<double> token_log_probabilities; ///< of each generated id
    double log_probability = 0;                  ///< their sum
    double score = 0;                            ///< what the search ranked by
    bool finished = false;                       ///< the model ended it, no length limit did
};

/// What a search does where its caller says nothing.
struct SearchDefaults {
    GenerationDefaults usual;
    Compatibility compatibility;
    double sampling_penalty = 1; ///< the authors' repetition penalty when sampling
    int end = 0;                 ///< the token that ends a text

    bool authors() const { return compatibility == Compatibility::salesforce; }
};

/// Whether texts are drawn. Who names a number of beams asks for a search, whatever the checkpoint
/// prefers.
template <class Options>
bool draws_texts(Options const& o, GenerationDefaults const& usual) {
    return o.sample.value_or(!o.beams && usual.sample.value_or(false));
}

/// Fills in what `o` (CaptionOptions, AnswerOptions) leaves open.
template <class Options>
SearchRules search_rules(Options const& o, SearchDefaults const& defaults) {
    auto const& usual = defaults.usual;
    SearchRules r;
    r.end = defaults.end;
    if (o.max_new_tokens)
        r.max_new_tokens = o.max_new_tokens;
    else if (o.max_length)
        r.max_length = o.max_length;
    else if (usual.max_new_tokens || !usual.max_length)
        r.max_new_tokens = usual.max_new_tokens.value_or(20);
    else
        r.max_length = usual.max_length;
    r.min_length = o.min_length.value_or(usual.min_length.value_or(0));
    // The authors' penalty is fixed; here it is a default.
    double const penalty = defaults.authors() && draws_texts(o, usual)
                               ? defaults.sampling_penalty
                               : usual.repetition_penalty.value_or(1);
    r.repetition_penalty = o.repetition_penalty.value_or(penalty);
    r.no_repeat_ngram = o.no_repeat_ngram.value_or(usual.no_repeat_ngram.value_or(0));
    return r;
}

namespace detail {

/// How prompts are continued, with everything filled in that decides about the room it takes.
struct SearchPlan {
    SearchRules rules;
    bool draws;
    int beams;
    int results;

    /// Most tokens that are alive at a time. No sequence outgrows `positions`, whatever length is
    /// asked for.
    int most_tokens(PromptBatch const& prompts, int positions) const {
        std::size_t tokens = 0;
        for (auto const& ids : prompts.ids) {
            auto const limit =
                rules.max_length
                    ? static_cast<std::size_t>(std::max(0, *rules.max_length))
                    : ids.size() + static_cast<std::size_t>(std::max(0, *rules.max_new_tokens));
            tokens += std::min(std::max(limit, ids.size()), static_cast<std::size_t>(positions));
        }
        auto const rows = static_cast<std::size_t>(std::max(1, draws ? results : beams));
        if (rows > static_cast<std::size_t>(std::numeric_limits<int>::max()) / tokens)
            throw ArgumentError(join("generation: ", rows, " sequences an item of ", tokens,
                                     " tokens in all are more than can be kept"));
        return static_cast<int>(tokens * rows);
    }
};

template <class Options>
SearchPlan plan_search(Options const& o, SearchDefaults const& defaults) {
    return {search_rules(o, defaults), draws_texts(o, defaults.usual),
            o.beams.value_or(defaults.usual.beams.value_or(1)), o.results};
}

/// Sampling, greedy or beam search.
template <class T, class Options>
std::vector<std::vector<Hypothesis>>
search_prompts(AnyNextScores<T> next, std::span<std::vector<int> const> ids, SearchPlan const& plan,
               Options const& o, SearchDefaults const& defaults,
               std::vector<std::uint64_t> item_numbers) {
    auto const& usual = defaults.usual;
    if (plan.draws)
        return sample(
            next, ids,
            {.rules = plan.rules,
             .count = plan.results,
             .temperature = o.temperature.value_or(usual.temperature.value_or(1)),
             .top_k = o.top_k.value_or(usual.top_k.value_or(50)),
             .top_p = o.top_p.value_or(usual.top_p.value_or(defaults.authors() ? 0.9 : 1)),
             .seed = o.seed,
             .item_numbers = std::move(item_numbers),
             .watch = o.watch});
    if (plan.beams == 1 && plan.results == 1) {
        std::vector<std::vector<Hypothesis>> found;
        for (auto& hypothesis : greedy(next, ids, {.rules = plan.rules, .watch = o.watch}))
            found.push_back({std::move(hypothesis)});
        return found;
    }
    return beam_search(
        next, ids,
        {.rules = plan.rules,
         .beams = plan.beams,
         .results = plan.results,
         .length_penalty = o.length_penalty.value_or(usual.length_penalty.value_or(1)),
         .early_stopping =
             o.early_stopping.value_or(usual.early_stopping.value_or(EarlyStopping::off)),
         .rule = defaults.authors() ? BeamRule::salesforce : BeamRule::hugging_face,
         .watch = o.watch});
}

} // namespace detail

/// Continues every prompt while the decoder looks at the states of the prompt's item, by sampling,
/// greedy or beam search as `o` asks. `state_mask` as in DecoderSession; `item_numbers` is what
/// sampling knows the items by. Returns [items][results], best first. Throws ArgumentError for
/// options that make no sense.
template <TextConfig C, Backend B, class Options>
std::vector<std::vector<Hypothesis>>
search_texts(TextDecoder<C, B> const& decoder, Tokens<C::encoder_width, B> states,
             std::span<unsigned char const> state_mask, PromptBatch const& prompts,
             Options const& o, SearchDefaults const& defaults,
             std::vector<std::uint64_t> item_numbers, Context<B>& ctx) {
    auto const plan = detail::plan_search(o, defaults);
    DecoderSession<C, B> session(decoder, states, prompts.prompts,
                                 plan.most_tokens(prompts, C::positions), ctx, state_mask);
    return detail::search_prompts(AnyNextScores<typename DecoderSession<C, B>::scalar>(session),
                                  std::span<std::vector<int> const>(prompts.ids), plan, o, defaults,
                                  std::move(item_numbers));
}

/// `found` as texts, without the words of the first `skipped` ids. Of `cut`, where it is not empty,
/// as many characters as entry i has are taken off the texts of item i: how the authors remove a
/// prompt.
inline std::vector<std::vector<GeneratedText>>
describe_texts(std::vector<std::vector<Hypothesis>> found, Tokenizer const& tokenizer,
               std::span<std::string const> cut = {}, std::size_t skipped = 0) {
    std::vector<std::vector<GeneratedText>> texts(found.size());
    for (std::size_t i = 0; i < found.size(); ++i)
        for (Hypothesis& h : found[i]) {
            auto text = tokenizer.decode(std::span(h.ids).subspan(std::min(skipped, h.ids.size())));
            // A first piece that continues the skipped ones has nothing to be glued to.
            if (skipped > 0 && text.starts_with("##"))
                text.erase(0, 2);
            if (!cut.empty())
                text = without_prompt(std::move(text), cut[i]);
            texts[i].push_back({.text = std::move(text),
                                .ids = std::move(h.ids),
                                .token_log_probabilities = std::move(h.token_log_probabilities),
                                .log_probability = h.log_probability,
                                .score = h.score,
                                .finished = h.finished});
        }
    return texts;
}

} // namespace blip
