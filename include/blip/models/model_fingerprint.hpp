#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <blip/models/loaded_model.hpp>

namespace blip {

namespace detail {

/// model_fingerprint, compiled once for all networks.
template <class B>
std::uint64_t fingerprint_of(std::vector<NamedParameter<B>> const& parameters,
                             Preprocess const& preprocess, ModelSettings const& settings,
                             typename B::Engine engine) {
    std::uint64_t hash = 0xCBF29CE484222325u;
    auto const take = [&hash](std::uint32_t word) {
        hash = (hash ^ word) * 0x100000001B3u;
        hash ^= hash >> 29;
    };
    take(static_cast<std::uint32_t>(preprocess.size));
    for (std::size_t channel = 0; channel < 3; ++channel) {
        take(std::bit_cast<std::uint32_t>(preprocess.mean[channel]));
        take(std::bit_cast<std::uint32_t>(preprocess.std[channel]));
    }
    // Named, because nvcc 13 does not translate such a list in the head of the loop.
    double const epsilons[] = {settings.vision_epsilon, settings.text_epsilon};
    for (double const epsilon : epsilons) {
        auto const bits = std::bit_cast<std::uint64_t>(epsilon);
        take(static_cast<std::uint32_t>(bits));
        take(static_cast<std::uint32_t>(bits >> 32));
    }
    std::vector<float> numbers;
    for (auto const& parameter : parameters) {
        for (char const c : parameter.path)
            take(static_cast<unsigned char>(c));
        take(static_cast<std::uint32_t>(parameter.size));
        if (!parameter.is_weight) {
            numbers.resize(static_cast<std::size_t>(parameter.size));
            B::download(engine, numbers.data(),
                        static_cast<typename B::scalar const*>(parameter.data), parameter.size);
            for (float const x : numbers)
                take(std::bit_cast<std::uint32_t>(x));
        }
    }
    return hash;
}

} // namespace detail

/// A number that tells models apart whose vectors must not be mixed: of the sizes, of how pictures
/// are prepared, of the epsilons, and of every bias, scale and position table. Training changes
/// those in every step, and they are few, so that it takes milliseconds. The same for every backend
/// that keeps float32 exactly, whatever file the model came from.
template <class Network>
std::uint64_t model_fingerprint(LoadedModel<Network> const& model) {
    return detail::fingerprint_of<typename Network::backend>(
        list_parameters(*model.weights), model.preprocess, model.settings, model.engine);
}

} // namespace blip
