#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/generation.hpp>
#include <blip/models/model_base.hpp>
#include <blip/networks/captioner_network.hpp>

namespace blip {

/// How captions are generated. What is not set follows the checkpoint: the authors' files give
/// prompt "a picture of ", 3 beams, 5 to 20 tokens; a Hugging Face folder gives no prompt, greedy
/// search and 20 new tokens, or what its generation_config.json says; one that this library trained
/// gives the prompt it was trained with.
struct CaptionOptions {
    /// The caption's beginning; "" for none. It is part of the text under
    /// Compatibility::hugging_face, as in the port, but not where it is the model's own.
    std::optional<std::string> prompt{};
    std::optional<int> beams{};          ///< 1: greedy
    int results = 1;                     ///< captions an image, at most `beams` unless sampling
    std::optional<bool> sample{};        ///< draw tokens, do not search; not where `beams` is set
    std::optional<int> max_length{};     ///< in tokens, start token and prompt included
    std::optional<int> max_new_tokens{}; ///< in tokens after the prompt; overrides max_length
    std::optional<int> min_length{};     ///< in tokens, start token and prompt included
    std::optional<double> repetition_penalty{};
    std::optional<double> length_penalty{};
    std::optional<int> no_repeat_ngram{};
    std::optional<EarlyStopping> early_stopping{};
    std::optional<double> temperature{}; ///< sampling only, like the next three; 1
    std::optional<int> top_k{};          ///< 0: all; 50
    std::optional<double> top_p{};       ///< 1: all; the authors 0.9, the port 1
    std::uint64_t seed = 0; ///< the same seed gives the same captions, however images are batched
    std::uint64_t first_image = 0; ///< number of the first image within the whole run
    SearchWatch watch{};           ///< to follow and stop a running search, token by token
};

/// A caption with what the model thinks of it.
using Caption = GeneratedText;

/// Describes pictures in words (paper section 4: image captioning): a vision transformer and a text
/// decoder that looks at its states. Immutable once loaded: any number of threads may call it.
template <CaptionConfig C, Backend B>
class Captioner : public ModelBase<Captioner<C, B>, CaptionerNetwork<C, B>> {
    using Base = ModelBase<Captioner, CaptionerNetwork<C, B>>;
    using Base::shared_;

public:
    using config = C;
    using backend = B;
    using Network = CaptionerNetwork<C, B>;
    using Base::Base, Base::image_size, Base::network, Base::tokenizer, Base::generation_defaults;

    /// Captions of one picture, best first.
    std::vector<Caption> generate(Image const& image, CaptionOptions const& options = {}) const {
        return std::move(generate(std::span(&image, 1), options).front());
    }

    /// Captions of several pictures that go through the model together. `prompts`: one a picture,
    /// in place of `options.prompt`; empty: the same for all.
    std::vector<std::vector<Caption>> generate(std::span<Image const> images,
                                               CaptionOptions const& options = {},
                                               std::span<std::string const> prompts = {}) const {
        return generate(preprocess(images, shared_->preprocess), options, prompts);
    }

    /// The same from normalised pixels, [n, 3, image_size, image_size].
    std::vector<std::vector<Caption>> generate(Pixels const& pixels,
                                               CaptionOptions const& options = {},
                                               std::span<std::string const> prompts = {}) const {
        check(pixels, prompts);
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        auto const states = shared_->encode(pixels, ctx);
        auto const inputs = make_prompts(pixels.shape()[0], options, prompts);
        std::vector<std::uint64_t> numbers(inputs.ids.size());
        std::iota(numbers.begin(), numbers.end(), options.first_image);
        auto found = search_texts(network().decoder, states, {}, inputs, options, defaults(),
                                  std::move(numbers), ctx);
        bool const own = shared_->settings.prompt && !options.prompt && prompts.empty();
        return describe_texts(std::move(found), tokenizer(),
                              is_original() && !own ? std::span<std::string const>(inputs.texts)
                                                    : std::span<std::string const>{},
                              own ? inputs.ids.front().size() : 0);
    }

    /// States of the image encoder, [n, (image_size / patch)² + 1, width].
    xt::xtensor<HostScalar<B>, 3> encode(Pixels const& pixels) const {
        check(pixels, {});
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        return download_states(shared_->encode(pixels, ctx), ctx);
    }

private:
    bool is_original() const { return shared_->is_original(); }

    void check(Pixels const& pixels, std::span<std::string const> prompts) const {
        LoadedModel<Network>::require_pixels(pixels, "captioner");
        if (!prompts.empty() && prompts.size() != pixels.shape()[0])
            throw ArgumentError(join("captioner: ", prompts.size(), " prompts for ",
                                     pixels.shape()[0], " pictures"));
    }

    PromptBatch make_prompts(std::size_t count, CaptionOptions const& options,
                             std::span<std::string const> prompts) const {
        std::string const fallback = options.prompt.value_or(caption_prompt(shared_->settings));
        std::vector<std::string> texts(prompts.begin(), prompts.end());
        if (texts.empty())
            texts.assign(count, fallback);
        return prompt_batch(tokenizer(), std::move(texts), shared_->settings.compatibility);
    }

    SearchDefaults defaults() const {
        return {.usual = generation_defaults(),
                .compatibility = release_of(shared_->settings),
                .sampling_penalty = 1.1,
                .end = shared_->special().sep};
    }
};

} // namespace blip
