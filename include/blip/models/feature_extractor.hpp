#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/models/match_scores.hpp>
#include <blip/models/model_base.hpp>
#include <blip/networks/feature_network.hpp>

namespace blip {

/// A number of features for every token of every text, with what is padding.
template <class T>
struct TokenFeatures {
    xt::xtensor<T, 3> values;           ///< [texts, tokens, width]
    xt::xtensor<unsigned char, 2> mask; ///< [texts, tokens]: 1 for tokens, 0 for padding
};

/// Features of pictures, texts, and texts about pictures (paper section 3.1; LAVIS's extractor).
/// Three kinds, which are not interchangeable:
///
/// - `*_embeddings` are what to search and compare by: projected, of length 1; their inner product
///   is the cosine that training drew together for a picture and its text.
/// - `*_states` are raw last states, one a token, for a network built on top. Those of pictures and
///   texts have nothing to do with one another.
/// - `*_token_embeddings` are every token's state projected and normalised, as LAVIS gives them;
///   row 0 is the embedding.
///
/// Immutable once loaded: any number of threads may call it.
template <MatchingConfig C, Backend B>
class FeatureExtractor : public ModelBase<FeatureExtractor<C, B>, FeatureNetwork<C, B>> {
    using Base = ModelBase<FeatureExtractor, FeatureNetwork<C, B>>;
    using Base::shared_;

public:
    using config = C;
    using backend = B;
    using Network = FeatureNetwork<C, B>;
    using Projections = ProjectionPair<C, B>;
    using Scalar = HostScalar<B>;
    using Vectors = xt::xtensor<Scalar, 2>; ///< [n, projection]
    using States = xt::xtensor<Scalar, 3>;  ///< [n, (image_size / patch)² + 1, width]
    using Base::image_size, Base::load, Base::network;

    /// Loads a Hugging Face folder, a folder with one .pth, or a weights file that has the two
    /// encoders, whatever it was trained for; embeddings need one that has projections too. Throws
    /// as any model's `load`.
    static FeatureExtractor load(ModelFolder const& folder, LoadOptions<B> options = {}) {
        Layout const layout = options.layout;
        auto model = LoadedModel<Network>::load(folder, std::move(options));
        std::shared_ptr<Weights<Projections>> projections;
        std::optional<double> temperature;
        auto const has = [&](char const* name) { return folder.weights.find(name) != nullptr; };
        if (has("vision_proj.weight") || has("text_proj.weight")) {
            projections = std::make_shared<Weights<Projections>>(model->engine, layout);
            load_weights(*projections, model->engine, folder.weights);
            std::erase_if(model->report.extra, [](std::string const& name) {
                return name.starts_with("vision_proj.") || name.starts_with("text_proj.");
            });
        }
        if (auto const* found = folder.weights.find("temp"); found && found->element_count() == 1) {
            temperature = found->values<double>().front();
            std::erase(model->report.extra, "temp");
        }
        FeatureExtractor extractor(std::move(model), std::move(projections), temperature);
        extractor.where_ = folder.weights.path().string();
        return extractor;
    }

    /// The weights of `shared` and `projections`, which may go on being used. Without projections
    /// there are raw states only.
    explicit FeatureExtractor(std::shared_ptr<LoadedModel<Network> const> shared,
                              std::shared_ptr<Weights<Projections> const> projections = {},
                              std::optional<double> temperature = {})
        : Base(std::move(shared)), projections_(std::move(projections)), temperature_(temperature) {
    }

    /// An extractor of parts: for weights that were just made or trained.
    FeatureExtractor(Weights<Network> weights, std::optional<Weights<Projections>> projections,
                     std::optional<double> temperature, ModelSettings settings, Tokenizer tokenizer,
                     Preprocess preprocess = {.size = static_cast<std::size_t>(image_size)},
                     typename B::Engine engine = typename B::Engine{})
        : FeatureExtractor(
              std::make_shared<LoadedModel<Network>>(std::move(weights), std::move(settings),
                                                     std::move(tokenizer), preprocess,
                                                     std::move(engine)),
              projections ? std::make_shared<Weights<Projections> const>(std::move(*projections))
                          : nullptr,
              temperature) {}

    /// Writes a folder that `load` reads, tensors named as in the authors' release: the encoders,
    /// and projections and temperature where there are any. Throws FileError.
    void save(std::filesystem::path const& folder, SaveOptions const& options = {}) const {
        auto engine = shared_->engine;
        std::vector<OutputTensor> more;
        if (projections_)
            more = published_tensors(*projections_, engine, Naming::original);
        auto const temperature = static_cast<Scalar>(temperature_.value_or(0));
        if (temperature_)
            more.push_back(output_tensor<Scalar>("temp", {}, std::span(&temperature, 1)));
        shared_->save(folder, options, std::move(more));
    }

    /// Whether the checkpoint has what `*_embeddings` need.
    bool has_projections() const { return projections_ != nullptr; }

    /// The learned temperature of the contrastive loss, where the checkpoint has it.
    std::optional<double> temperature() const { return temperature_; }

    /// What to search pictures by, from normalised pixels [n, 3, image_size, image_size]: unit
    /// vectors [n, projection]. Throws ConfigError without projections.
    Vectors image_embeddings(Pixels const& pixels) const {
        return from_images(pixels, [&](auto states, auto& ctx) {
            typename ProjectedFeatures<C::vision::width, C::projection, B>::Cache cache;
            return download_vectors(ProjectedFeatures<C::vision::width, C::projection, B>::forward(
                                        states, projections().vision_projection, cache, ctx),
                                    ctx);
        });
    }

    Vectors image_embeddings(std::span<Image const> images) const {
        return image_embeddings(preprocess(images, shared_->preprocess));
    }

    /// Every token of a picture, class token first, projected and normalised by itself: [n, tokens,
    /// projection]. Throws ConfigError without projections.
    States image_token_embeddings(Pixels const& pixels) const {
        return from_images(pixels, [&](auto states, auto& ctx) {
            return download_states(unit_rows(states, projections().vision_projection, ctx), ctx);
        });
    }

    /// Raw states of the image encoder, class token first: [n, tokens, width]. Not for search.
    States image_states(Pixels const& pixels) const {
        return from_images(pixels,
                           [](auto states, auto& ctx) { return download_states(states, ctx); });
    }

    /// What to search texts by: unit vectors [texts, projection]. Throws ConfigError without
    /// projections, ArgumentError for a text longer than the position table.
    Vectors text_embeddings(std::span<std::string const> texts) const {
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        return embed_texts<typename C::text, C::projection>(
            network().encoder, projections().text_projection, tokens(texts, FirstToken::cls), ctx);
    }

    /// Every token of a text, [CLS] first, projected and normalised by itself. Throws as above.
    TokenFeatures<Scalar> text_token_embeddings(std::span<std::string const> texts) const {
        return from_texts(texts, [&](auto states, auto& ctx) {
            return download_states(unit_rows(states, projections().text_projection, ctx), ctx);
        });
    }

    /// Raw states of the text encoder without a picture, [CLS] first. Not for search.
    TokenFeatures<Scalar> text_states(std::span<std::string const> texts) const {
        return from_texts(texts,
                          [](auto states, auto& ctx) { return download_states(states, ctx); });
    }

    /// Raw states of texts that look at pictures, [ENC] first. `pixels`: one picture a text, or one
    /// for all texts, or one for the first n / m texts, one for the next, and so on.
    TokenFeatures<Scalar> multimodal_states(Pixels const& pixels,
                                            std::span<std::string const> texts) const {
        LoadedModel<Network>::require_pixels(pixels, "feature extractor");
        if (texts.empty() || texts.size() % pixels.shape()[0] != 0)
            throw ArgumentError(join("feature extractor: ", texts.size(), " texts about ",
                                     pixels.shape()[0],
                                     " pictures; expected as many, or a multiple"));
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        typename Network::States const image{shared_->encode(pixels, ctx)};
        auto const batch = tokens(texts, FirstToken::enc);
        typename Network::Encoder::Cache cache;
        auto const states = network().encoder.forward(upload_text<typename C::text>(batch, ctx),
                                                      Causal::no, cache, ctx, image);
        return {download_states(states, ctx), mask_of(batch)};
    }

    /// Zero-shot classification: probabilities [n, classes] that each of these texts ("a picture of
    /// a dog") is the one that describes the picture, softmax of cosine / temperature.
    /// `temperature` stands in where the checkpoint has none. Throws ConfigError when there is none
    /// either way.
    xt::xtensor<double, 2> classify(Pixels const& pixels, std::span<std::string const> classes,
                                    std::optional<double> temperature = {}) const {
        if (!temperature)
            temperature = temperature_;
        if (!temperature || !(*temperature > 0))
            throw ConfigError(join(where_, ": the checkpoint has no temperature (\"temp\"); give "
                                           "one, 0.07 say, to classify with it"));
        auto result = cosines_of(image_embeddings(pixels), text_embeddings(classes));
        std::size_t const count = classes.size();
        for (auto* row = result.data(); row != result.data() + result.size(); row += count) {
            double const most = *std::max_element(row, row + count);
            double sum = 0;
            for (std::size_t i = 0; i < count; ++i)
                sum += row[i] = std::exp((row[i] - most) / *temperature);
            for (std::size_t i = 0; i < count; ++i)
                row[i] /= sum;
        }
        return result;
    }

private:
    Projections const& projections() const {
        if (!projections_)
            throw ConfigError(
                join(where_, ": this checkpoint has no projections (vision_proj, text_proj), which "
                             "embeddings are made with; use the raw states, or a checkpoint of "
                             "pre-training, matching or retrieval"));
        return **projections_;
    }

    TokenBatch tokens(std::span<std::string const> texts, FirstToken first) const {
        return tokenize_for_match(shared_->tokenizer, texts, first, std::nullopt);
    }

    static xt::xtensor<unsigned char, 2> mask_of(TokenBatch const& batch) {
        xt::xtensor<unsigned char, 2> mask(xt::xtensor<unsigned char, 2>::shape_type{
            static_cast<std::size_t>(batch.batch), static_cast<std::size_t>(batch.length)});
        std::ranges::copy(batch.mask, mask.data());
        return mask;
    }

    /// Every row projected and brought to length 1.
    template <int Width>
    static Tokens<C::projection, B> unit_rows(Tokens<Width, B> states,
                                              Linear<Width, C::projection, B> const& projection,
                                              Context<B>& ctx) {
        typename Linear<Width, C::projection, B>::Cache projected;
        typename UnitRows<C::projection, B>::Cache unit;
        return UnitRows<C::projection, B>{}.forward(projection.forward(states, projected, ctx),
                                                    unit, ctx);
    }

    auto from_images(Pixels const& pixels, auto const& use) const {
        LoadedModel<Network>::require_pixels(pixels, "feature extractor");
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        return use(shared_->encode(pixels, ctx), ctx);
    }

    TokenFeatures<Scalar> from_texts(std::span<std::string const> texts, auto const& use) const {
        if (texts.empty())
            throw ArgumentError("feature extractor: there are no texts");
        auto loan = shared_->workspaces.borrow();
        auto ctx = loan.context(Keep::nothing);
        auto const batch = tokens(texts, FirstToken::cls);
        typename Network::Encoder::Cache cache;
        auto const states = network().encoder.forward(upload_text<typename C::text>(batch, ctx),
                                                      Causal::no, cache, ctx);
        return {use(states, ctx), mask_of(batch)};
    }

    std::shared_ptr<Weights<Projections> const> projections_; ///< null: the file has none
    std::optional<double> temperature_;
    std::string where_ = "feature extractor"; ///< begins messages: the file
};

} // namespace blip
