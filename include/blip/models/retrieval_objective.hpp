#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/momentum_objective.hpp>
#include <blip/networks/retrieval_network.hpp>

namespace blip {

/// Pictures with a caption each, and which captions are of one picture.
struct RetrievalBatch {
    Pixels pixels; ///< [n, 3, image_size, image_size], normalised
    std::vector<std::string> captions;
    std::vector<std::int64_t> ids; ///< [n]: the same number for the same picture
};

/// Fine-tuning for image-text retrieval (paper section 5.1): contrastive loss with momentum
/// encoders, queue and soft targets, whose positives are all pictures of equal id, and matching
/// loss with hard negatives from the local batch. What it trains, a `Matcher` and a `Retriever`
/// read.
template <QueueConfig C, Backend B>
class RetrievalObjective : public MomentumObjective<RetrievalNetwork<C, B>> {
    using Base = MomentumObjective<RetrievalNetwork<C, B>>;

    using typename Base::Part;

public:
    using backend = B;
    using Network = RetrievalNetwork<C, B>;
    using Batch = RetrievalBatch;
    using Losses = AlignmentLosses;
    static constexpr int text_length = 35; ///< of the authors, in tokens

    /// Starts from a retrieval or pre-training checkpoint: a folder with one .pth, or the file.
    /// From a pre-training file temperature, momentum networks and queues are taken over, but no
    /// old column is a positive and the pointer restarts at 0. Throws FileError, FormatError,
    /// ConfigError, CheckpointError.
    static RetrievalObjective load(std::filesystem::path const& path,
                                   ObjectiveOptions<B> options = {}) {
        return load(ModelFolder::open(path), std::move(options));
    }
    static RetrievalObjective load(ModelFolder const& folder, ObjectiveOptions<B> options = {}) {
        RetrievalObjective objective(load_to_train<Network>(folder, options), options);
        objective.restore(folder.weights, options.momentum);
        return objective;
    }

    /// Starts from nothing: see `fresh_model`. The momentum networks are copies, the queue random.
    static RetrievalObjective
    from_scratch(ModelSettings settings, Tokenizer tokenizer,
                 Preprocess const& preprocess = {.size = C::vision::image},
                 ObjectiveOptions<B> options = {}) {
        return RetrievalObjective(
            fresh_model<Network>(std::move(settings), std::move(tokenizer), preprocess, options),
            options);
    }

    /// Trains a model that is there already, as from scratch.
    RetrievalObjective(std::shared_ptr<LoadedModel<Network>> model,
                       ObjectiveOptions<B> const& options)
        : Base(std::move(model), options, text_length) {}

    /// One step without the optimizer's: losses of all parts and their gradient in `gradient()`,
    /// teacher and queue moved on. Throws ArgumentError, with nothing changed, when sizes differ,
    /// when the queue's length is no multiple of the number of pictures, when a part is of one
    /// picture only, or for shares and negatives that cannot be.
    AlignmentLosses step(std::span<RetrievalBatch const> parts, StepOptions const& options = {}) {
        std::vector<Part> tokenised;
        for (auto const& part : parts)
            tokenised.push_back({part.pixels, this->tokenize(part.captions, options), part.ids});
        return run(tokenised, options);
    }
    AlignmentLosses step(RetrievalBatch const& batch, StepOptions const& options = {}) {
        return step(std::span(&batch, 1), options);
    }
    AlignmentLosses step(Pixels const& pixels, std::span<std::string const> captions,
                         std::span<std::int64_t const> ids, StepOptions const& options = {}) {
        return step(pixels, this->tokenize(captions, options), ids, options);
    }
    /// The same of captions already tokenised, [CLS] first.
    AlignmentLosses step(Pixels const& pixels, TokenBatch text, std::span<std::int64_t const> ids,
                         StepOptions const& options = {}) {
        Part const part{pixels, std::move(text), ids};
        return run(std::span(&part, 1), options);
    }

private:
    AlignmentLosses run(std::span<Part const> parts, StepOptions const& options) {
        return this->template run_parts<AlignmentLosses>(
            parts, "retrieval objective", options,
            [&](Part const& part, typename Network::Images images, typename Network::Cache& cache,
                Context<B>& ctx) {
                return this->weights()->loss(images, part.text, this->special().enc, this->state(),
                                             {.alpha = options.alpha,
                                              .rule = NegativeRule::online,
                                              .ids = part.ids,
                                              .negatives = options.negatives},
                                             cache, ctx);
            });
    }
};

} // namespace blip
