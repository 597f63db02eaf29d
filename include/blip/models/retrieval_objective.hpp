#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include <blip/models/momentum_objective.hpp>
#include <blip/networks/retrieval_network.hpp>

namespace blip {

/// Fine-tuning for image-text retrieval (paper section 4.2): contrastive loss with momentum
/// encoders, queue and soft targets, whose positives are all pictures of equal id, and matching
/// loss with hard negatives from the local batch. What it trains, a `Matcher` and a `Retriever`
/// read.
template <QueueConfig C, Backend B>
class RetrievalObjective : public MomentumObjective<RetrievalNetwork<C, B>> {
    using Base = MomentumObjective<RetrievalNetwork<C, B>>;

public:
    using backend = B;
    using Network = RetrievalNetwork<C, B>;
    static constexpr int text_length = 35; ///< captions are padded and cut to it

    /// Loads a retrieval or pre-training checkpoint: a folder with one .pth, or the file. From a
    /// pre-training file temperature, momentum networks and queues are taken over, but no old
    /// column is a positive and the pointer restarts at 0. Throws FileError, FormatError,
    /// ConfigError, CheckpointError.
    static RetrievalObjective load(std::filesystem::path const& path,
                                   ObjectiveOptions<B> options = {}) {
        return load(ModelFolder::open(path), std::move(options));
    }
    static RetrievalObjective load(ModelFolder const& folder, ObjectiveOptions<B> options = {}) {
        return RetrievalObjective(folder, std::move(options));
    }

    /// One step without the optimizer's: losses of a batch, their gradient in `gradient()`, teacher
    /// and queue moved on. `pixels` [n, 3, image_size, image_size] normalised; `ids` [n]: the same
    /// number for the same picture. Throws ArgumentError, with nothing changed, when sizes differ,
    /// when n does not divide the queue's length, when a batch is one picture only, or for shares
    /// and negatives that cannot be.
    AlignmentLosses step(Pixels const& pixels, std::span<std::string const> captions,
                         std::span<std::int64_t const> ids, StepOptions const& options = {}) {
        return step(pixels, this->tokenize(captions, text_length), ids, options);
    }
    AlignmentLosses step(Pixels const& pixels, TokenBatch const& text,
                         std::span<std::int64_t const> ids, StepOptions const& options = {}) {
        return this->run_step(
            pixels, text, "retrieval objective", ids, options,
            [&](typename Network::Images images, typename Network::Cache& cache, Context<B>& ctx) {
                return this->weights()->loss(images, text, this->special().enc, this->state(),
                                             {.alpha = options.alpha,
                                              .rule = NegativeRule::online,
                                              .ids = ids,
                                              .negatives = options.negatives},
                                             cache, ctx);
            });
    }

private:
    RetrievalObjective(ModelFolder const& folder, ObjectiveOptions<B> options)
        : Base(folder, std::move(options)) {}
};

} // namespace blip
