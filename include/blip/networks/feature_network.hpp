#pragma once

#include <tuple>

#include <blip/heads/projection.hpp>
#include <blip/io/task.hpp>
#include <blip/networks/text_encoder.hpp>
#include <blip/networks/vision_encoder.hpp>

namespace blip {

/// The weights of a feature extractor: image encoder and text encoder, which every checkpoint with
/// an encoder has.
template <MatchingConfig C, Backend B>
struct FeatureNetwork {
    using backend = B;
    using config = C;
    using Grad = FeatureNetwork<C, typename B::gradient>;
    using Vision = VisionEncoder<typename C::vision, B>;
    using Encoder = TextEncoder<typename C::text, B>;
    using States = EncoderStates<C::vision::width, B>;
    static constexpr Task task = Task::features;

    Vision vision;
    Encoder encoder;

    static constexpr auto fields() {
        return std::tuple{Field{"vision", &FeatureNetwork::vision},
                          Field{"encoder", &FeatureNetwork::encoder}};
    }
};

/// The projections into the space in which pictures and texts are compared, which not every file
/// has.
template <MatchingConfig C, Backend B>
struct ProjectionPair {
    using backend = B;
    using config = C;
    using Grad = ProjectionPair<C, typename B::gradient>;

    Linear<C::vision::width, C::projection, B> vision_projection;
    Linear<C::text::width, C::projection, B> text_projection;

    static constexpr auto fields() {
        return std::tuple{Field{"vision_projection", &ProjectionPair::vision_projection},
                          Field{"text_projection", &ProjectionPair::text_projection}};
    }
};

} // namespace blip
