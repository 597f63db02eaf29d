#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include <blip/models/momentum_objective.hpp>
#include <blip/networks/pretraining_network.hpp>

namespace blip {

/// Pre-training (paper section 3.2): contrastive, matching and language-modelling loss over one run
/// of the image encoder, with a text encoder and decoder that share weights as `Share` says.
template <QueueConfig C, Backend B, Sharing Share = share::all_but_self_attention>
class Pretrainer : public MomentumObjective<PretrainingNetwork<C, B, Share>> {
    using Base = MomentumObjective<PretrainingNetwork<C, B, Share>>;

public:
    using backend = B;
    using Network = PretrainingNetwork<C, B, Share>;
    static constexpr int text_length = 30; ///< captions are padded and cut to it

    /// Loads a pre-training checkpoint: a folder with one .pth, or the file. Both copies of every
    /// shared tensor must be equal. Throws FileError, FormatError, ConfigError, CheckpointError.
    static Pretrainer load(std::filesystem::path const& path, ObjectiveOptions<B> options = {}) {
        return load(ModelFolder::open(path), std::move(options));
    }
    static Pretrainer load(ModelFolder const& folder, ObjectiveOptions<B> options = {}) {
        return Pretrainer(folder, std::move(options));
    }

    /// One step without the optimizer's: losses of a batch, their gradient in `gradient()`, teacher
    /// and queue moved on. `pixels` [n, 3, image_size, image_size] normalised, n at least 2. Throws
    /// ArgumentError, with nothing changed, when sizes differ, when n does not divide the queue's
    /// length, or for shares and negatives that cannot be.
    PretrainingLosses step(Pixels const& pixels, std::span<std::string const> captions,
                           StepOptions const& options = {}) {
        return step(pixels, this->tokenize(captions, text_length), options);
    }
    PretrainingLosses step(Pixels const& pixels, TokenBatch const& text,
                           StepOptions const& options = {}) {
        return this->run_step(
            pixels, text, "pre-training", {}, options,
            [&](typename Network::Images images, typename Network::Cache& cache, Context<B>& ctx) {
                auto const& special = this->special();
                return this->weights()->loss(
                    images, text, special.enc, special.dec, this->state(),
                    {.alpha = options.alpha,
                     .rule = NegativeRule::momentum,
                     .negatives = options.negatives},
                    {.smoothing = this->settings().label_smoothing, .rule = options.rule}, cache,
                    ctx);
            });
    }

private:
    Pretrainer(ModelFolder const& folder, ObjectiveOptions<B> options)
        : Base(folder, std::move(options)) {}
};

} // namespace blip
