#pragma once

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <blip/models/captioner.hpp>
#include <blip/models/matcher.hpp>
#include <blip/models/objective.hpp>

namespace blip {

namespace detail {

/// Weights of their own, equal to those that `view` looks at: a network put together from another
/// one's members.
template <class Network>
Weights<Network> copy_weights(Network const& view, typename Network::backend::Engine& engine) {
    using B = typename Network::backend;
    auto const from = list_parameters(view);
    Weights<Network> copy(engine);
    auto const to = list_parameters(*copy);
    for (std::size_t i = 0; i < to.size(); ++i)
        B::copy(engine, to[i].data, static_cast<typename B::scalar const*>(from[i].data),
                to[i].size);
    return copy;
}

template <class Model, class Network, class From>
Model model_of_parts(Network const& view, LoadedModel<From> const& from, ModelSettings settings) {
    auto engine = from.engine;
    auto weights = copy_weights(view, engine);
    return Model(std::move(weights), std::move(settings), from.tokenizer, from.preprocess,
                 std::move(engine));
}

} // namespace detail

/// The captioner within a pre-training objective: picture encoder and whole text decoder, copied as
/// they are now; later steps do not change it.
template <class Objective>
auto extract_captioner(Objective const& objective) {
    using Model = Captioner<typename Objective::config, typename Objective::backend>;
    auto const& network = *objective.weights();
    return detail::model_of_parts<Model>(
        typename Model::Network{network.vision, network.whole_decoder()}, *objective.shared(),
        objective.settings());
}

/// The matcher within a pre-training or retrieval objective, copied as it is now: encoders,
/// projections and match head. It follows Compatibility::strict, in which texts about pictures
/// begin with [ENC] as they did in training.
template <class Objective>
auto extract_matcher(Objective const& objective) {
    using Model = Matcher<typename Objective::config, typename Objective::backend>;
    auto const& network = *objective.weights();
    auto settings = objective.settings();
    settings.release = release_of(settings);
    settings.compatibility = Compatibility::strict;
    return detail::model_of_parts<Model>(
        typename Model::Network{network.vision, network.encoder, network.vision_projection,
                                network.text_projection, network.matching},
        *objective.shared(), std::move(settings));
}

} // namespace blip
