#pragma once

#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <blip/losses/language_modeling.hpp>
#include <blip/networks/alignment.hpp>
#include <blip/networks/tied_text.hpp>

namespace blip {

/// The losses of one batch of pre-training, equally weighted (paper section 3.2).
struct PretrainingLosses {
    double contrastive = 0, matching = 0, language_modeling = 0;
    double total() const { return contrastive + matching + language_modeling; }
    std::vector<std::pair<std::string_view, double>> named() const {
        return {{"itc", contrastive}, {"itm", matching}, {"lm", language_modeling}};
    }
    /// Adds a share of what another part of the same step lost.
    void add(PretrainingLosses const& other, double share) {
        contrastive += share * other.contrastive;
        matching += share * other.matching;
        language_modeling += share * other.language_modeling;
    }
};

/// What pre-training trains (paper section 3): one image encoder, a text network in three roles,
/// whose encoder and decoder share weights as `Share` says, projections, match head, temperature.
/// Its first four members are what the momentum teacher copies.
template <QueueConfig C, Backend B, Sharing Share = share::all_but_self_attention>
struct PretrainingNetwork {
    using backend = B;
    using config = C;
    using Grad = PretrainingNetwork<C, typename B::gradient, Share>;
    using Parts = MatchingNetwork<C, B>;
    using Vision = typename Parts::Vision;
    using Encoder = typename Parts::Encoder;
    using Decoder = TextDecoder<typename C::text, B>;
    using Images = typename Parts::Images;
    static constexpr Task task = Task::pre_training;

    Vision vision;
    Encoder encoder;
    typename Parts::VisionProjection vision_projection;
    typename Parts::TextProjection text_projection;
    typename Parts::MatchHead matching;
    Parameter<B, 1> temperature;
    TiedDecoder<typename C::text, B, Share> decoder; ///< what it does not share with the encoder

    static constexpr auto fields() {
        return std::tuple{Field{"vision", &PretrainingNetwork::vision},
                          Field{"encoder", &PretrainingNetwork::encoder},
                          Field{"vision_projection", &PretrainingNetwork::vision_projection},
                          Field{"text_projection", &PretrainingNetwork::text_projection},
                          Field{"matching", &PretrainingNetwork::matching},
                          Field{"temperature", &PretrainingNetwork::temperature},
                          Field{"decoder", &PretrainingNetwork::decoder}};
    }

    /// Names under which checkpoints repeat a tensor.
    static std::vector<std::string> tied_names(std::string_view name) {
        return shared_names<Share>(name);
    }

    /// The image-grounded text decoder, shared weights included.
    Decoder whole_decoder() const { return decoder.complete(encoder); }

    struct Cache {
        typename Alignment<PretrainingNetwork>::Cache alignment;
        typename Decoder::Cache decoder;
        typename Decoder::Logits logits;
        typename LanguageModelingLoss<B>::Cache language_modeling;
    };

    /// The three losses of a batch over one run of the image encoder. `text` begins with [CLS],
    /// which `enc` and `dec` replace. See `Alignment::forward`.
    PretrainingLosses loss(Images images, TokenBatch const& text, int enc, int dec,
                           MomentumState<PretrainingNetwork> const& momentum,
                           AlignmentOptions const& options, LanguageModelingOptions const& language,
                           Cache& cache, Context<B>& ctx) const {
        auto const aligned = Alignment<PretrainingNetwork>::forward(
            *this, images, text, enc, momentum, options, cache.alignment, ctx);
        auto const generated = with_first(text, dec);
        std::vector<int> labels = generated.ids;
        for (std::size_t i = 0; i < labels.size(); ++i)
            if (!generated.mask[i])
                labels[i] = ignored_target;
        cache.logits = whole_decoder().forward(upload_text<typename C::text>(generated, ctx),
                                               cache.alignment.image, cache.decoder, ctx);
        LanguageModelingLoss<B> const criterion{language};
        criterion.forward(cache.logits, labels, {}, cache.language_modeling, ctx);
        return {aligned.contrastive, aligned.matching,
                criterion.total(cache.language_modeling, ctx)};
    }

    /// Adds the gradient of every parameter to `grad`; once per `loss`. A shared weight's is the
    /// sum over both of its roles.
    void backward(Cache& cache, Grad& grad, Context<B>& ctx) const {
        Scope scope(ctx.arena);
        auto& image = cache.alignment.image;
        image.gradient = Alignment<PretrainingNetwork>::zeros(image.states, ctx);
        auto const dlogits = LanguageModelingLoss<B>{}.template backward<C::text::vocabulary>(
            cache.language_modeling);
        auto decoder_grad = grad.whole_decoder();
        whole_decoder().backward(dlogits, cache.decoder, decoder_grad, image, ctx);
        Alignment<PretrainingNetwork>::backward(*this, cache.alignment, grad, ctx);
        vision.backward(image.gradient, cache.alignment.vision, grad.vision, ctx);
    }
};

} // namespace blip
