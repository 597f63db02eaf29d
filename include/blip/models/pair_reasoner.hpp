#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/loaded_model.hpp>
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
/// the first. To train one, use `PairNetwork`'s loss and backward.
template <PairConfig C, Backend B>
class PairReasoner {
public:
    using config = C;
    using backend = B;
    using Network = PairNetwork<C, B>;
    static constexpr int image_size = C::vision::image;

    /// Loads an NLVR2 checkpoint: a folder with one .pth or a saved model, or a weights file. With
    /// `options.fresh_seed` a checkpoint for one picture serves too, as the authors start
    /// fine-tuning: both twins of each cross-attention take its query, key, value and output;
    /// merge layers and classifier start fresh and are named in `report().fresh`. Throws FileError,
    /// FormatError, ConfigError when sizes differ from `C` (the image size may: positions are
    /// resized), CheckpointError when the file is for another task or tensors are missing or
    /// misshapen.
    static PairReasoner load(std::filesystem::path const& path, LoadOptions<B> options = {}) {
        return load(ModelFolder::open(path), std::move(options));
    }

    static PairReasoner load(ModelFolder const& folder, LoadOptions<B> options = {}) {
        auto shared = LoadedModel<Network>::load(folder, std::move(options));
        for (auto const& name : shared->report.extra)
            if (name.find(".crossattention.output.merge_layer.") != name.npos)
                throw ConfigError(join(folder.weights.path().string(), ": tensor ", name,
                                       " belongs to a layer that averages in this program's "
                                       "configuration, whose merge_from is ",
                                       C::merge_from));
        return PairReasoner(std::move(shared));
    }

    /// A pair reasoner of parts: for models that were just trained.
    PairReasoner(Weights<Network> weights, ModelSettings settings, Tokenizer tokenizer,
                 Preprocess preprocess = {.size = static_cast<std::size_t>(image_size)},
                 typename B::Engine engine = typename B::Engine{})
        : shared_(std::make_shared<LoadedModel<Network>>(std::move(weights), std::move(settings),
                                                         std::move(tokenizer), preprocess,
                                                         std::move(engine))) {}

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

    /// Writes a folder that `load` reads, tensors named as in the authors' release. Throws
    /// FileError.
    void save(std::filesystem::path const& folder) const { shared_->save(folder); }

    Network const& network() const { return *shared_->weights; }
    Weights<Network> const& weights() const { return shared_->weights; }
    ModelSettings const& settings() const { return shared_->settings; }
    Tokenizer const& tokenizer() const { return shared_->tokenizer; }
    Preprocess const& preprocessing() const { return shared_->preprocess; }
    LoadReport const& report() const { return shared_->report; }

private:
    explicit PairReasoner(std::shared_ptr<LoadedModel<Network>> shared)
        : shared_(std::move(shared)) {}

    std::shared_ptr<LoadedModel<Network>> shared_;
};

} // namespace blip
