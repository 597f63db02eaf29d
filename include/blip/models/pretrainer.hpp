#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/momentum_objective.hpp>
#include <blip/networks/pretraining_network.hpp>

namespace blip {

/// Pre-training (paper section 3.2): contrastive, matching and language-modelling loss over one run
/// of the image encoder, with a text encoder and decoder that share weights as `Share` says.
template <QueueConfig C, Backend B, Sharing Share = share::all_but_self_attention>
class Pretrainer : public MomentumObjective<PretrainingNetwork<C, B, Share>> {
    using Base = MomentumObjective<PretrainingNetwork<C, B, Share>>;

    using typename Base::Part;

public:
    using backend = B;
    using Network = PretrainingNetwork<C, B, Share>;
    using Batch = CaptionBatch;
    using Losses = PretrainingLosses;
    static constexpr int text_length = 30; ///< of the authors, in tokens

    /// Starts from a pre-training checkpoint: a folder with one .pth, or the file. Both copies of
    /// every shared tensor must be equal. Throws FileError, FormatError, ConfigError,
    /// CheckpointError.
    static Pretrainer load(std::filesystem::path const& path, ObjectiveOptions<B> options = {}) {
        return load(ModelFolder::open(path), std::move(options));
    }
    static Pretrainer load(ModelFolder const& folder, ObjectiveOptions<B> options = {}) {
        Pretrainer trainer(load_to_train<Network>(folder, options), options);
        trainer.restore(folder.weights, options.momentum);
        return trainer;
    }

    /// Starts from nothing: see `fresh_model`. The momentum networks are copies, the queue random.
    static Pretrainer from_scratch(ModelSettings settings, Tokenizer tokenizer,
                                   Preprocess const& preprocess = {.size = C::vision::image},
                                   ObjectiveOptions<B> options = {}) {
        return Pretrainer(
            fresh_model<Network>(std::move(settings), std::move(tokenizer), preprocess, options),
            options);
    }

    /// Trains a model that is there already, as from scratch.
    Pretrainer(std::shared_ptr<LoadedModel<Network>> model, ObjectiveOptions<B> const& options)
        : Base(std::move(model), options, text_length) {
        this->model().settings.prompt = ""; // captions are learnt without one
    }

    /// One step without the optimizer's: losses of all parts and their gradient in `gradient()`,
    /// teacher and queue moved on. Each part has at least 2 pictures. Throws ArgumentError, with
    /// nothing changed, when sizes differ, when the queue's length is no multiple of the number of
    /// pictures, or for shares and negatives that cannot be.
    PretrainingLosses step(std::span<CaptionBatch const> parts, StepOptions const& options = {}) {
        std::vector<Part> tokenised;
        for (auto const& part : parts)
            tokenised.push_back({part.pixels, this->tokenize(part.captions, options)});
        return run(tokenised, options);
    }
    PretrainingLosses step(CaptionBatch const& batch, StepOptions const& options = {}) {
        return step(std::span(&batch, 1), options);
    }
    PretrainingLosses step(Pixels const& pixels, std::span<std::string const> captions,
                           StepOptions const& options = {}) {
        return step(pixels, this->tokenize(captions, options), options);
    }
    /// The same of captions already tokenised, [CLS] first.
    PretrainingLosses step(Pixels const& pixels, TokenBatch text, StepOptions const& options = {}) {
        Part const part{pixels, std::move(text)};
        return run(std::span(&part, 1), options);
    }

private:
    PretrainingLosses run(std::span<Part const> parts, StepOptions const& options) {
        return this->template run_parts<PretrainingLosses>(
            parts, "pre-training", options,
            [&](Part const& part, typename Network::Images images, typename Network::Cache& cache,
                Context<B>& ctx) {
                auto const& special = this->special();
                return this->weights()->loss(
                    images, part.text, special.enc, special.dec, this->state(),
                    {.alpha = options.alpha,
                     .rule = NegativeRule::momentum,
                     .negatives = options.negatives},
                    {.smoothing = this->settings().label_smoothing, .rule = options.rule}, cache,
                    ctx);
            });
    }
};

} // namespace blip
