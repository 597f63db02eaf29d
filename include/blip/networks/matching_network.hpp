#pragma once

#include <tuple>

#include <blip/io/task.hpp>
#include <blip/networks/match_logits.hpp>
#include <blip/networks/vision_encoder.hpp>

namespace blip {

/// The weights of image-text matching and retrieval (paper section 3.1 and 3.2, ITC and ITM): image
/// encoder, text encoder that may look at its states, projections into one space of C::projection
/// numbers, and the match head (class 1: the text fits the picture).
template <MatchingConfig C, Backend B>
struct MatchingNetwork {
    using backend = B;
    using config = C;
    using Grad = MatchingNetwork<C, typename B::gradient>;
    using Vision = VisionEncoder<typename C::vision, B>;
    using Encoder = TextEncoder<typename C::text, B>;
    using Images = typename Vision::Images;
    using VisionProjection = Linear<C::vision::width, C::projection, B>;
    using TextProjection = Linear<C::text::width, C::projection, B>;
    using Matching = MatchLogits<Encoder>;
    using MatchHead = typename Matching::Head;
    using ImageProjected = ProjectedFeatures<C::vision::width, C::projection, B>;
    using TextProjected = TextFeatures<Encoder, C::projection>;
    using States = EncoderStates<C::vision::width, B>;
    using Features = Tokens<C::projection, B>;
    using Logits = Tokens<2, B>;
    static constexpr Task task = Task::matching;

    Vision vision;
    Encoder encoder;
    VisionProjection vision_projection;
    TextProjection text_projection;
    MatchHead matching;

    static constexpr auto fields() {
        return std::tuple{Field{"vision", &MatchingNetwork::vision},
                          Field{"encoder", &MatchingNetwork::encoder},
                          Field{"vision_projection", &MatchingNetwork::vision_projection},
                          Field{"text_projection", &MatchingNetwork::text_projection},
                          Field{"matching", &MatchingNetwork::matching}};
    }

    /// Logits [texts, 1, 2] of texts about pictures already encoded; see MatchLogits.
    Logits match(TextInput<B> text, States const& image, typename Matching::Cache& cache,
                 Context<B>& ctx) const {
        return Matching::forward(text, image, encoder, matching, cache, ctx);
    }
    void match_backward(Logits dlogits, States const& image, typename Matching::Cache const& cache,
                        Grad& grad, Context<B>& ctx) const {
        Matching::backward(dlogits, image, encoder, matching, cache, grad.encoder, grad.matching,
                           ctx);
    }

    /// Unit vectors [n, 1, projection] of pictures, from the states of the image encoder.
    Features image_features(typename Vision::States states, typename ImageProjected::Cache& cache,
                            Context<B>& ctx) const {
        return ImageProjected::forward(states, vision_projection, cache, ctx);
    }
    /// Adds the gradient of the states to `dstates` too.
    void image_features_backward(Features dy, typename ImageProjected::Cache const& cache,
                                 Grad& grad, typename Vision::States dstates,
                                 Context<B>& ctx) const {
        ImageProjected::backward(dy, vision_projection, cache, grad.vision_projection, dstates,
                                 ctx);
    }

    /// Unit vectors [n, 1, projection] of texts that begin with [CLS].
    Features text_features(TextInput<B> text, typename TextProjected::Cache& cache,
                           Context<B>& ctx) const {
        return TextProjected::forward(text, encoder, text_projection, cache, ctx);
    }
    void text_features_backward(Features dy, typename TextProjected::Cache const& cache, Grad& grad,
                                Context<B>& ctx) const {
        TextProjected::backward(dy, encoder, text_projection, cache, grad.encoder,
                                grad.text_projection, ctx);
    }
};

} // namespace blip
