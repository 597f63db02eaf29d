#pragma once

#include <tuple>

#include <blip/io/task.hpp>
#include <blip/layers/linear.hpp>
#include <blip/networks/text_encoder.hpp>
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
    using MatchHead = Linear<C::text::width, 2, B>;
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
};

} // namespace blip
