#pragma once

#include <tuple>

#include <blip/networks/alignment.hpp>

namespace blip {

/// What fine-tuning for retrieval trains: the matching network and the contrastive loss's
/// temperature. Its first four members are what the momentum teacher copies.
template <QueueConfig C, Backend B>
struct RetrievalNetwork {
    using backend = B;
    using config = C;
    using Grad = RetrievalNetwork<C, typename B::gradient>;
    using Parts = MatchingNetwork<C, B>;
    using Vision = typename Parts::Vision;
    using Encoder = typename Parts::Encoder;
    using Images = typename Parts::Images;
    static constexpr Task task = Task::matching;

    Vision vision;
    Encoder encoder;
    typename Parts::VisionProjection vision_projection;
    typename Parts::TextProjection text_projection;
    typename Parts::MatchHead matching;
    Parameter<B, 1> temperature;

    static constexpr auto fields() {
        return std::tuple{Field{"vision", &RetrievalNetwork::vision},
                          Field{"encoder", &RetrievalNetwork::encoder},
                          Field{"vision_projection", &RetrievalNetwork::vision_projection},
                          Field{"text_projection", &RetrievalNetwork::text_projection},
                          Field{"matching", &RetrievalNetwork::matching},
                          Field{"temperature", &RetrievalNetwork::temperature}};
    }

    struct Cache {
        typename Alignment<RetrievalNetwork>::Cache alignment;
    };

    /// The losses of a batch (paper section 4.2: fine-tuning by ITC and ITM); see
    /// `Alignment::forward`. `options.ids` are the pictures' ids.
    AlignmentLosses loss(Images images, TokenBatch const& text, int enc,
                         MomentumState<RetrievalNetwork> const& momentum,
                         AlignmentOptions const& options, Cache& cache, Context<B>& ctx) const {
        return Alignment<RetrievalNetwork>::forward(*this, images, text, enc, momentum, options,
                                                    cache.alignment, ctx);
    }

    /// Adds the gradient of every parameter to `grad`; once per `loss`.
    void backward(Cache& cache, Grad& grad, Context<B>& ctx) const {
        Scope scope(ctx.arena);
        auto& image = cache.alignment.image;
        image.gradient = Alignment<RetrievalNetwork>::zeros(image.states, ctx);
        Alignment<RetrievalNetwork>::backward(*this, cache.alignment, grad, ctx);
        vision.backward(image.gradient, cache.alignment.vision, grad.vision, ctx);
    }
};

} // namespace blip
