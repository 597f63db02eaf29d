#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/generate/beam.hpp>
#include <blip/generate/greedy.hpp>
#include <blip/generate/sample.hpp>
#include <blip/models/loaded_model.hpp>
#include <blip/models/prompts.hpp>
#include <blip/networks/captioner_network.hpp>
#include <blip/networks/decoder_session.hpp>

namespace blip {

/// How captions are generated. What is not set follows the checkpoint: the authors' files give
/// prompt "a picture of ", 3 beams, 5 to 20 tokens; a Hugging Face folder gives no prompt, greedy
/// search and 20 new tokens, or what its generation_config.json says.
struct CaptionOptions {
    std::optional<std::string> prompt{}; ///< the caption's beginning; "" for none
    std::optional<int> beams{};          ///< 1: greedy
    int results = 1;                     ///< captions an image, at most `beams` unless sampling
    bool sample = false;                 ///< draw tokens instead of searching for the best ones
    std::optional<int> max_length{};     ///< in tokens, start token and prompt included
    std::optional<int> max_new_tokens{}; ///< in tokens after the prompt; overrides max_length
    std::optional<int> min_length{};     ///< in tokens, start token and prompt included
    std::optional<double> repetition_penalty{};
    std::optional<double> length_penalty{};
    std::optional<int> no_repeat_ngram{};
    EarlyStopping early_stopping = EarlyStopping::off;
    double temperature = 1; ///< sampling only, like all that follows
    int top_k = 50;         ///< 0: all
    double top_p = 0.9;     ///< 1: all
    std::uint64_t seed = 0; ///< the same seed gives the same captions, however images are batched
    std::uint64_t first_image = 0; ///< number of the first image within the whole run
    SearchWatch watch{};           ///< to follow and stop a running search, token by token
};

/// A caption with what the model thinks of it.
struct Caption {
    std::string text;     ///< without special tokens; without the prompt where the authors cut it
    std::vector<int> ids; ///< [DEC], prompt, caption, and [SEP] when the model ended it
    std::vector<double> token_log_probabilities; ///< of each generated id
    double log_probability = 0;                  ///< their sum
    double score = 0;                            ///< what the search ranked by
    bool finished = false;                       ///< the model ended it, no length limit did
};

/// Describes pictures in words (paper section 4: image captioning): a vision transformer and a text
/// decoder that looks at its states. Immutable once loaded: any number of threads may call it.
template <CaptionConfig C, Backend B>
class Captioner {
public:
    using config = C;
    using backend = B;
    using Network = CaptionerNetwork<C, B>;
    static constexpr int image_size = C::vision::image;

    /// Loads a Hugging Face folder, a folder with one .pth, or a weights file. Throws FileError,
    /// FormatError, ConfigError when sizes differ from `C` (the image size may: positions are
    /// resized), CheckpointError when tensors are missing or misshapen.
    static Captioner load(std::filesystem::path const& path, LoadOptions<B> options = {}) {
        return load(ModelFolder::open(path), std::move(options));
    }

    static Captioner load(ModelFolder const& folder, LoadOptions<B> options = {}) {
        return Captioner(LoadedModel<Network>::load(folder, std::move(options)));
    }

    /// A captioner of parts: for models that were just trained.
    Captioner(Weights<Network> weights, ModelSettings settings, Tokenizer tokenizer,
              Preprocess preprocess = {.size = static_cast<std::size_t>(image_size)},
              typename B::Engine engine = typename B::Engine{})
        : shared_(std::make_shared<LoadedModel<Network>>(std::move(weights), std::move(settings),
                                                         std::move(tokenizer), preprocess,
                                                         std::move(engine))) {}

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
        return describe(search(states, inputs, options, ctx), inputs);
    }

    /// States of the image encoder, [n, (image_size / patch)² + 1, width].
    xt::xtensor<float, 3> encode(Pixels const& pixels) const {
        check(pixels, {});
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        return download_states(shared_->encode(pixels, ctx), ctx);
    }

    /// Writes a folder that `load` and the transformers library read. Throws FileError.
    void save(std::filesystem::path const& folder) const { shared_->save(folder); }

    Network const& network() const { return *shared_->weights; }
    Weights<Network> const& weights() const { return shared_->weights; }
    ModelSettings const& settings() const { return shared_->settings; }
    Tokenizer const& tokenizer() const { return shared_->tokenizer; }
    Preprocess const& preprocessing() const { return shared_->preprocess; }
    LoadReport const& report() const { return shared_->report; }

private:
    explicit Captioner(std::shared_ptr<LoadedModel<Network>> shared) : shared_(std::move(shared)) {}

    bool is_original() const { return shared_->is_original(); }

    void check(Pixels const& pixels, std::span<std::string const> prompts) const {
        LoadedModel<Network>::require_pixels(pixels, "captioner");
        if (!prompts.empty() && prompts.size() != pixels.shape()[0])
            throw ArgumentError(join("captioner: ", prompts.size(), " prompts for ",
                                     pixels.shape()[0], " pictures"));
    }

    PromptBatch make_prompts(std::size_t count, CaptionOptions const& options,
                             std::span<std::string const> prompts) const {
        std::string const fallback = options.prompt.value_or(is_original() ? "a picture of " : "");
        std::vector<std::string> texts(prompts.begin(), prompts.end());
        if (texts.empty())
            texts.assign(count, fallback);
        return prompt_batch(tokenizer(), std::move(texts), shared_->settings.compatibility);
    }

    /// Fills in what the caller left open, by the checkpoint's own rules.
    SearchRules rules(CaptionOptions const& o) const {
        auto const& file = shared_->generation;
        bool const original = is_original();
        SearchRules r;
        r.end = tokenizer().vocabulary().special().sep;
        if (o.max_new_tokens)
            r.max_new_tokens = o.max_new_tokens;
        else if (o.max_length || original)
            r.max_length = o.max_length.value_or(20);
        else if (file.max_new_tokens || !file.max_length)
            r.max_new_tokens = file.max_new_tokens.value_or(20);
        else
            r.max_length = file.max_length;
        r.min_length = o.min_length.value_or(original ? 5 : file.min_length.value_or(0));
        // The authors sample with a penalty of 1.1 whatever is asked for; here it is a default.
        double const usual = original && o.sample ? 1.1 : file.repetition_penalty.value_or(1);
        r.repetition_penalty = o.repetition_penalty.value_or(usual);
        r.no_repeat_ngram = o.no_repeat_ngram.value_or(file.no_repeat_ngram.value_or(0));
        return r;
    }

    std::vector<std::vector<Hypothesis>> search(typename Network::Vision::States states,
                                                PromptBatch const& prompts, CaptionOptions const& o,
                                                Context<B>& ctx) const {
        auto const& file = shared_->generation;
        auto const limits = rules(o);
        int const beams = o.beams.value_or(is_original() ? 3 : file.beams.value_or(1));
        // No sequence outgrows the position table, whatever length is asked for.
        std::size_t tokens = 0;
        for (auto const& ids : prompts.ids) {
            auto const limit =
                limits.max_length
                    ? static_cast<std::size_t>(std::max(0, *limits.max_length))
                    : ids.size() + static_cast<std::size_t>(std::max(0, *limits.max_new_tokens));
            tokens += std::min<std::size_t>(std::max(limit, ids.size()), C::text::positions);
        }
        auto const rows = static_cast<std::size_t>(std::max(1, o.sample ? o.results : beams));
        if (rows > static_cast<std::size_t>(std::numeric_limits<int>::max()) / tokens)
            throw ArgumentError(join("captioner: ", rows, " sequences a picture of ", tokens,
                                     " tokens in all are more than can be kept"));
        DecoderSession<typename C::text, B> session(network().decoder, states, prompts.prompts,
                                                    static_cast<int>(tokens * rows), ctx);
        std::span<std::vector<int> const> const ids(prompts.ids);
        if (o.sample) {
            std::vector<std::uint64_t> numbers(ids.size());
            std::iota(numbers.begin(), numbers.end(), o.first_image);
            return blip::sample(session, ids,
                                {.rules = limits,
                                 .count = o.results,
                                 .temperature = o.temperature,
                                 .top_k = o.top_k,
                                 .top_p = o.top_p,
                                 .seed = o.seed,
                                 .item_numbers = std::move(numbers),
                                 .watch = o.watch});
        }
        if (beams == 1 && o.results == 1) {
            std::vector<std::vector<Hypothesis>> found;
            for (auto& hypothesis : greedy(session, ids, {.rules = limits, .watch = o.watch}))
                found.push_back({std::move(hypothesis)});
            return found;
        }
        double const usual = is_original() ? 1 : file.length_penalty.value_or(1);
        return beam_search(session, ids,
                           {.rules = limits,
                            .beams = beams,
                            .results = o.results,
                            .length_penalty = o.length_penalty.value_or(usual),
                            .early_stopping = o.early_stopping,
                            .rule = is_original() ? BeamRule::salesforce : BeamRule::hugging_face,
                            .watch = o.watch});
    }

    std::vector<std::vector<Caption>> describe(std::vector<std::vector<Hypothesis>> found,
                                               PromptBatch const& prompts) const {
        std::vector<std::vector<Caption>> captions(found.size());
        for (std::size_t i = 0; i < found.size(); ++i)
            for (Hypothesis& h : found[i]) {
                auto text = tokenizer().decode(h.ids);
                if (is_original())
                    text = without_prompt(std::move(text), prompts.texts[i]);
                captions[i].push_back(
                    {.text = std::move(text),
                     .ids = std::move(h.ids),
                     .token_log_probabilities = std::move(h.token_log_probabilities),
                     .log_probability = h.log_probability,
                     .score = h.score,
                     .finished = h.finished});
            }
        return captions;
    }

    std::shared_ptr<LoadedModel<Network>> shared_;
};

} // namespace blip
