#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/objective.hpp>
#include <blip/networks/captioner_network.hpp>
#include <blip/networks/upload_text.hpp>

namespace blip {

/// How captions are learnt.
struct CaptionTraining {
    /// What stands before every caption and is not learnt; the model keeps it, saved too, as what
    /// its captions follow. Default as a Captioner generates: the model's own, else "a picture of
    /// ", or nothing under Compatibility::hugging_face.
    std::optional<std::string> prompt{};
    /// Share of the words before the one to be predicted that are hidden behind [MASK] (Bowman et
    /// al. 2016, "Generating sentences from a continuous space"): the more, the more the picture
    /// has to say. The authors hide none; small models that are trained from scratch put things
    /// together better with it.
    double word_dropout = 0;
};

struct CaptionLosses {
    double language_modeling = 0; ///< mean over the supervised tokens of the batch
    double total() const { return language_modeling; }
    NamedLosses named() const { return {{"lm", language_modeling}}; }
};

/// Fine-tuning for captions, or training of a captioner from scratch (paper section 5.2): the
/// smoothed language-modelling loss over the words after the prompt. `Captioner(shared())`
/// describes pictures with the present weights.
template <CaptionConfig C, Backend B>
class CaptionObjective : public Objective<CaptionerNetwork<C, B>> {
    using Base = Objective<CaptionerNetwork<C, B>>;

public:
    using backend = B;
    using Network = CaptionerNetwork<C, B>;
    using Batch = CaptionBatch;
    using Losses = CaptionLosses;
    static constexpr int text_length = 40; ///< of the authors, in tokens, prompt included

    /// Starts from a checkpoint: a folder, or the file. Throws FileError, FormatError, ConfigError,
    /// CheckpointError.
    static CaptionObjective load(std::filesystem::path const& path,
                                 ObjectiveOptions<B> options = {}, CaptionTraining how = {}) {
        return load(ModelFolder::open(path), std::move(options), std::move(how));
    }
    static CaptionObjective load(ModelFolder const& folder, ObjectiveOptions<B> options = {},
                                 CaptionTraining how = {}) {
        return CaptionObjective(load_to_train<Network>(folder, options), options, std::move(how));
    }

    /// Starts from nothing: see `fresh_model`.
    static CaptionObjective from_scratch(ModelSettings settings, Tokenizer tokenizer,
                                         Preprocess preprocess = {.size = Base::image_size},
                                         ObjectiveOptions<B> options = {},
                                         CaptionTraining how = {}) {
        auto model =
            fresh_model<Network>(std::move(settings), std::move(tokenizer), preprocess, options);
        return CaptionObjective(std::move(model), options, std::move(how));
    }

    /// Trains a model that is there already; nothing else may write to it.
    CaptionObjective(std::shared_ptr<LoadedModel<Network>> model,
                     ObjectiveOptions<B> const& options, CaptionTraining how = {})
        : Base(std::move(model), options, default_drop_path<typename C::vision>()),
          prompt_(how.prompt.value_or(caption_prompt(this->settings()))),
          max_length_(Base::tokens_read(options, text_length)), word_dropout_(how.word_dropout) {
        if (!(word_dropout_ >= 0 && word_dropout_ < 1))
            throw ArgumentError(join("caption objective: word dropout is ", word_dropout_,
                                     ", expected 0 to below 1"));
        // [DEC] stands where [CLS] was, and [SEP] is no part of the prompt.
        prompt_ids_ = this->tokenizer().encode(prompt_);
        prompt_ids_.pop_back();
        if (max_length_ <= std::ssize(prompt_ids_))
            throw ArgumentError(join("caption objective: of ", max_length_, " tokens the prompt \"",
                                     prompt_, "\" takes ", prompt_ids_.size(),
                                     "; none is left to learn"));
        this->model().settings.prompt = prompt_;
    }

    /// One step without the optimizer's: the loss of all parts together and its gradient in
    /// `gradient()`, as one batch of them would give. Throws ArgumentError, with nothing changed,
    /// when a part's pictures and captions do not fit, TextError for invalid UTF-8.
    CaptionLosses step(std::span<CaptionBatch const> parts, StepOptions const& options = {}) {
        auto const lesson = learn_from(parts);
        auto const& text = lesson.first;
        auto const& labels = lesson.second;
        auto const length = static_cast<std::size_t>(text.length);
        LanguageModelingOptions const language{.smoothing = this->settings().label_smoothing,
                                               .rule = options.rule,
                                               .whole = count_targets(labels, text.length)};
        CaptionLosses losses;
        int first = 0;
        this->run_step(parts.size(), [&](std::size_t part, Context<B>& ctx) {
            auto const& pixels = parts[part].pixels;
            int const count = static_cast<int>(pixels.shape()[0]);
            auto const mine = std::span(labels).subspan(static_cast<std::size_t>(first) * length,
                                                        static_cast<std::size_t>(count) * length);
            typename Network::Cache cache;
            losses.language_modeling +=
                this->weights()->loss(this->upload_pictures(pixels, ctx),
                                      upload_text<typename C::text>(text.items(first, count), ctx),
                                      mine, language, cache, ctx);
            this->weights()->backward(cache, *this->gradient(), ctx);
            first += count;
        });
        return losses;
    }
    CaptionLosses step(CaptionBatch const& batch, StepOptions const& options = {}) {
        return step(std::span(&batch, 1), options);
    }

    std::string const& prompt() const { return prompt_; }

private:
    /// Captions of all parts behind the prompt, [DEC] first, and their labels.
    std::pair<TokenBatch, std::vector<int>> learn_from(std::span<CaptionBatch const> parts) const {
        int const pictures = this->require_pictures(parts, "caption objective");
        std::vector<std::string> texts;
        texts.reserve(static_cast<std::size_t>(pictures));
        for (auto const& part : parts) {
            if (part.captions.size() != part.pixels.shape()[0])
                throw ArgumentError(join("caption objective: ", part.pixels.shape()[0],
                                         " pictures, ", part.captions.size(),
                                         " captions; expected equal numbers"));
            for (auto const& caption : part.captions)
                texts.push_back(prompt_ + caption);
        }
        auto text = this->tokenizer().encode_batch(texts, {.max_length = max_length_});
        auto labels = text.ids;
        for (int item = 0; item < text.batch; ++item) {
            auto const row = text.row(item);
            bool const begins = row.size() > prompt_ids_.size() &&
                                std::equal(prompt_ids_.begin(), prompt_ids_.end(), row.begin());
            if (!begins)
                throw ArgumentError(join("caption objective: in \"",
                                         texts[static_cast<std::size_t>(item)], "\" the prompt \"",
                                         prompt_,
                                         "\" runs into the caption; let it end with a space"));
            auto const at = static_cast<std::size_t>(item) * row.size();
            for (std::size_t i = 0; i < row.size(); ++i)
                if (i < prompt_ids_.size() || text.mask[at + i] == 0)
                    labels[at + i] = ignored_target;
        }
        hide_words(text, labels);
        return {with_first(std::move(text), this->special().dec), std::move(labels)};
    }

    /// Word dropout, on what the decoder reads; what it is to say stays.
    void hide_words(TokenBatch& text, std::vector<int> const& labels) const {
        if (word_dropout_ == 0)
            return;
        auto const key = split({this->seed(), 2}, static_cast<std::uint64_t>(this->steps()));
        for (std::size_t i = 0; i < labels.size(); ++i)
            if (labels[i] != ignored_target && random_uniform(key, i) < word_dropout_)
                text.ids[i] = this->special().mask;
    }

    std::string prompt_;
    int max_length_;
    double word_dropout_;
    std::vector<int> prompt_ids_;
};

} // namespace blip
