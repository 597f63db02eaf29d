#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/model_base.hpp>
#include <blip/networks/pair_network.hpp>
#include <blip/networks/upload_text.hpp>

namespace blip {

/// What a model thinks of a sentence about two pictures.
struct PairJudgement {
    double probability = 0;         ///< that the sentence is true of the two pictures
    std::array<double, 2> logits{}; ///< of false and true, before the soft-max

    bool is_true() const { return logits[1] > logits[0]; }
};

/// Says whether a sentence is true of two pictures (paper section 5.4, NLVR2). Immutable once
/// loaded: any number of threads may call it. The pictures' order matters: "the left picture" is
/// the first. `PairObjective` trains one.
template <PairConfig C, Backend B>
class PairReasoner : public ModelBase<PairReasoner<C, B>, PairNetwork<C, B>> {
    using Base = ModelBase<PairReasoner, PairNetwork<C, B>>;
    using Base::shared_;

public:
    using config = C;
    using backend = B;
    using Network = PairNetwork<C, B>;
    using Base::Base, Base::image_size, Base::load, Base::network, Base::tokenizer;

    /// Loads an NLVR2 checkpoint. With `options.fresh_seed` a checkpoint for one picture serves
    /// too, as the authors start fine-tuning: both twins of each cross-attention take its query,
    /// key, value and output; merge layers and classifier start fresh and are named in
    /// `report().fresh`. Throws as any model's `load`, and ConfigError when the file's
    /// cross-attention merges in layers where this configuration averages.
    static PairReasoner load(ModelFolder const& folder, LoadOptions<B> options = {}) {
        auto shared = LoadedModel<Network>::load(folder, std::move(options));
        Network::require_merging(shared->report, folder.weights.path());
        return PairReasoner(std::move(shared));
    }

    /// What the model thinks of one sentence about one pair of pictures. Throws TextError, and
    /// ArgumentError when the sentence is longer than the model's positions: it is never cut.
    PairJudgement predict(Image const& first, Image const& second,
                          std::string const& sentence) const {
        return predict(std::span(&first, 1), std::span(&second, 1), std::span(&sentence, 1))
            .front();
    }

    /// The same of several pairs, first[i] beside second[i], with one sentence each, or with m
    /// each: those of pair 0 first, then those of pair 1. No picture is encoded twice.
    std::vector<PairJudgement> predict(std::span<Image const> first, std::span<Image const> second,
                                       std::span<std::string const> sentences) const {
        if (first.size() != second.size() || first.empty())
            throw ArgumentError(join("pair reasoner: ", first.size(), " first pictures and ",
                                     second.size(),
                                     " second ones; expected as many of both, at least one"));
        return predict(preprocess(first, shared_->preprocess),
                       preprocess(second, shared_->preprocess), sentences);
    }

    /// The same from normalised pixels, [n, 3, image_size, image_size] each.
    std::vector<PairJudgement> predict(Pixels const& first, Pixels const& second,
                                       std::span<std::string const> sentences) const {
        LoadedModel<Network>::require_pixels(first, "pair reasoner");
        LoadedModel<Network>::require_pixels(second, "pair reasoner");
        auto const pairs = first.shape()[0];
        if (second.shape()[0] != pairs || sentences.empty() || sentences.size() % pairs != 0)
            throw ArgumentError(join("pair reasoner: ", sentences.size(), " sentences for ", pairs,
                                     " first and ", second.shape()[0],
                                     " second pictures; expected as many pictures of both and a "
                                     "multiple of sentences"));
        auto const text = with_first(tokenizer().encode_batch(sentences), shared_->special().enc);
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        typename Network::States states;
        states.first.states = shared_->encode(first, ctx);
        states.second.states = shared_->encode(second, ctx);
        typename Network::Cache unused;
        auto const logits =
            network().judge(states, upload_text<typename C::text>(text, ctx), unused, ctx);
        std::vector<double> numbers(static_cast<std::size_t>(logits.size()));
        B::download(ctx.engine, numbers.data(), static_cast<typename B::scalar const*>(logits.data),
                    logits.size());
        std::vector<PairJudgement> judgements;
        for (std::size_t i = 0; i < numbers.size(); i += 2)
            judgements.push_back({.probability = 1 / (1 + std::exp(numbers[i] - numbers[i + 1])),
                                  .logits = {numbers[i], numbers[i + 1]}});
        return judgements;
    }
};

} // namespace blip
