#pragma once

#include <algorithm>
#include <concepts>
#include <tuple>

#include <blip/core/keep_scope.hpp>
#include <blip/losses/feature_queue.hpp>
#include <blip/losses/momentum_teacher.hpp>
#include <blip/networks/matching_network.hpp>
#include <blip/networks/upload_text.hpp>

namespace blip {

/// Sizes of a model with a queue of `C::queue` momentum features: retrieval and pre-training.
template <class C>
concept QueueConfig = MatchingConfig<C> && requires {
    { C::queue } -> std::convertible_to<int>;
} &&(C::queue > 0);

/// The networks that a momentum teacher copies: both encoders and their projections.
template <MatchingConfig C, Backend B>
struct MomentumEncoders {
    using backend = B;
    using config = C;
    using Grad = MomentumEncoders<C, typename B::gradient>;
    using Trained = MatchingNetwork<C, B>;
    using Features = FeaturePair<C::projection, B>;

    typename Trained::Vision vision;
    typename Trained::Encoder encoder;
    typename Trained::VisionProjection vision_projection;
    typename Trained::TextProjection text_projection;

    static constexpr auto fields() {
        return std::tuple{Field{"vision", &MomentumEncoders::vision},
                          Field{"encoder", &MomentumEncoders::encoder},
                          Field{"vision_projection", &MomentumEncoders::vision_projection},
                          Field{"text_projection", &MomentumEncoders::text_projection}};
    }

    /// Features of a batch, without anything that backward needs. Dropout acts in training, as in
    /// the authors' release.
    Features features(typename Trained::Images images, TextInput<B> text, Context<B>& ctx) const {
        Features const result{ctx.template tokens<C::projection>(images.batch, 1),
                              ctx.template tokens<C::projection>(text.batch, 1)};
        Scope scope(ctx.arena);
        KeepScope const keep(ctx, Keep::nothing);
        typename Trained::Vision::Cache vision_cache;
        typename Trained::ImageProjected::Cache image_cache;
        auto const image = Trained::ImageProjected::forward(
            vision.forward(images, vision_cache, ctx), vision_projection, image_cache, ctx);
        B::copy(ctx.engine, result.image.data, image.data, image.size());
        typename Trained::TextProjected::Cache text_cache;
        auto const sentence =
            Trained::TextProjected::forward(text, encoder, text_projection, text_cache, ctx);
        B::copy(ctx.engine, result.text.data, sentence.data, sentence.size());
        return result;
    }
};

/// The temperature's range; it is brought back into it before every step, without a gradient.
inline constexpr double least_temperature = 0.001, largest_temperature = 0.5;

/// What an objective with momentum keeps from step to step beside the trained weights: teacher and
/// queue.
template <class Network>
struct MomentumState {
    using B = typename Network::backend;
    using C = typename Network::config;
    using Engine = typename B::Engine;
    using Teacher = MomentumTeacher<MomentumEncoders<C, B>, Network>;
    using Queue = FeatureQueue<C::projection, C::queue, B>;

    Teacher teacher;
    Queue queue;

    /// The teacher starts as a copy of `weights`, the queue with random columns.
    MomentumState(Engine& engine, Weights<Network> const& weights, RandomKey key)
        : teacher(engine, weights), queue(engine, key) {}

    /// Before every forward: clamps the temperature in place and moves the teacher.
    void begin_step(Engine& engine, Weights<Network>& weights, double momentum = 0.995) {
        double temperature = 0;
        B::download(engine, &temperature,
                    static_cast<typename B::scalar const*>(weights->temperature.data), 1);
        double const clamped = std::clamp(temperature, least_temperature, largest_temperature);
        if (clamped != temperature)
            B::upload(engine, weights->temperature.data, &clamped, 1);
        teacher.update(engine, weights, momentum);
    }
};

} // namespace blip
