#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/objective.hpp>
#include <blip/networks/pair_network.hpp>
#include <blip/networks/upload_text.hpp>

namespace blip {

/// Pairs of pictures with a sentence each that is true of them or not.
struct PairBatch {
    Pixels pixels; ///< [2n, 3, image_size, image_size]: all first pictures, then all second ones
    std::vector<std::string> sentences; ///< [n]
    std::vector<int> labels;            ///< [n]: 1 where the sentence is true, else 0
};

struct PairLosses {
    double classification = 0; ///< mean two-class cross-entropy
    double total() const { return classification; }
    NamedLosses named() const { return {{"nlvr", classification}}; }
};

/// Fine-tuning for reasoning over two pictures, or training of such a model from scratch (paper
/// section 5.4, NLVR2). `PairReasoner(shared())` judges with the present weights.
template <PairConfig C, Backend B>
class PairObjective : public Objective<PairNetwork<C, B>> {
    using Base = Objective<PairNetwork<C, B>>;

public:
    using backend = B;
    using Network = PairNetwork<C, B>;
    using Batch = PairBatch;
    using Losses = PairLosses;

    /// Starts from a checkpoint: a folder, or the file. With `options.fresh_seed` one for single
    /// pictures serves, as the authors start: see `PairReasoner::load`. Throws FileError,
    /// FormatError, ConfigError, CheckpointError.
    static PairObjective load(std::filesystem::path const& path, ObjectiveOptions<B> options = {}) {
        return load(ModelFolder::open(path), std::move(options));
    }
    static PairObjective load(ModelFolder const& folder, ObjectiveOptions<B> options = {}) {
        auto model = load_to_train<Network>(folder, options);
        Network::require_merging(model->report, folder.weights.path());
        return PairObjective(std::move(model), options);
    }

    /// Starts from nothing: see `fresh_model`.
    static PairObjective from_scratch(ModelSettings settings, Tokenizer tokenizer,
                                      Preprocess const& preprocess = {.size = C::vision::image},
                                      ObjectiveOptions<B> options = {}) {
        return PairObjective(
            fresh_model<Network>(std::move(settings), std::move(tokenizer), preprocess, options),
            options);
    }

    /// Trains a model that is there already; nothing else may write to it.
    PairObjective(std::shared_ptr<LoadedModel<Network>> model, ObjectiveOptions<B> const& options)
        : Base(std::move(model), options, reasoning_drop_path<typename C::vision>()) {
        if (options.text_length)
            text_length_ = Base::tokens_read(options, C::text::positions);
    }

    /// One step without the optimizer's: the loss of all parts together and its gradient in
    /// `gradient()`, as one batch of them would give. Throws ArgumentError, with nothing changed,
    /// when a part's pictures, sentences and labels do not fit one another, or a sentence is longer
    /// than the model's positions: none is cut unless the options have a length. TextError for
    /// invalid UTF-8.
    PairLosses step(std::span<PairBatch const> parts, StepOptions const& = {}) {
        int const whole = Base::require_pictures(parts, who) / 2;
        std::vector<std::string> sentences;
        for (auto const& part : parts) {
            require(part);
            sentences.insert(sentences.end(), part.sentences.begin(), part.sentences.end());
        }
        auto const text =
            with_first(this->tokenizer().encode_batch(sentences, {.max_length = text_length_}),
                       this->special().enc);
        if (text.length > C::text::positions)
            throw ArgumentError(join(who, ": a sentence of ", text.length,
                                     " tokens, but the model has only ", C::text::positions,
                                     " positions; shorten it"));
        PairLosses losses;
        int first = 0;
        this->run_step(parts.size(), [&](std::size_t number, Context<B>& ctx) {
            auto const& part = parts[number];
            int const count = static_cast<int>(part.sentences.size());
            typename Network::Cache cache;
            losses.classification +=
                this->weights()->loss(this->upload_pictures(part.pixels, ctx),
                                      upload_text<typename C::text>(text.items(first, count), ctx),
                                      part.labels, cache, ctx, whole);
            this->weights()->backward(cache, *this->gradient(), ctx);
            first += count;
        });
        return losses;
    }
    PairLosses step(PairBatch const& batch, StepOptions const& options = {}) {
        return step(std::span(&batch, 1), options);
    }

private:
    static constexpr char const* who = "pair objective";

    static void require(PairBatch const& part) {
        auto const pairs = part.sentences.size();
        if (part.pixels.shape()[0] != 2 * pairs || part.labels.size() != pairs)
            throw ArgumentError(join(who, ": ", part.pixels.shape()[0], " pictures, ", pairs,
                                     " sentences, ", part.labels.size(),
                                     " labels; expected two pictures and one label a sentence"));
        for (int const label : part.labels)
            if (label != 0 && label != 1)
                throw ArgumentError(
                    join(who, ": the label ", label, " is neither 0, false, nor 1, true"));
    }

    std::optional<int> text_length_{};
};

} // namespace blip
