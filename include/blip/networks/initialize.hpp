#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <blip/core/random.hpp>
#include <blip/core/weights.hpp>
#include <blip/io/load_weights.hpp>

namespace blip {

/// How widely untrained weights are spread. The defaults are the authors', made for widths of 768
/// and more; small networks that are trained from scratch learn sooner with more, and learn where
/// things are at all only if positions are not drowned by what a patch shows.
struct Initialization {
    double deviation = 0.02; ///< of products and tables
    double positions = 0.02; ///< of the picture network's position table
};

namespace detail {

/// Normal numbers around 0 (Box and Muller's method).
inline void fill_normal(std::span<float> values, double deviation, RandomKey key) {
    for (std::size_t i = 0; i < values.size(); i += 2) {
        // 1 - u lies in (0, 1], where the logarithm is finite.
        double const radius = deviation * std::sqrt(-2 * std::log(1 - random_uniform(key, i)));
        double const angle = 2 * std::numbers::pi * random_uniform(key, i + 1);
        values[i] = static_cast<float>(radius * std::cos(angle));
        if (i + 1 < values.size())
            values[i + 1] = static_cast<float>(radius * std::sin(angle));
    }
}

inline void fill_uniform(std::span<float> values, double bound, RandomKey key) {
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(bound * (2 * random_uniform(key, i) - 1));
}

/// Whether a layer is left at PyTorch's default, U(±1/√in) for weight and bias alike: the patch
/// projection and all heads but the language model's.
inline bool keeps_default_initialization(std::string_view path) {
    for (std::string_view const name : {"embedding.projection.", "vision_projection.",
                                        "text_projection.", "matching.", "classifier."})
        if (path.find(name) != path.npos)
            return true;
    return false;
}

/// initialize, compiled once for all networks.
template <class B>
void initialize_parameters(std::vector<NamedParameter<B>> const& parameters,
                           typename B::Engine& engine, std::uint64_t seed,
                           Initialization const& how) {
    std::vector<float> values;
    std::uint64_t number = 0;
    auto const is_place = [](std::string_view path) {
        return path.find("vision.") != path.npos && path.ends_with("positions");
    };
    double inputs = 1; // of the layer whose weight came last; its bias follows
    for (auto const& parameter : parameters) {
        auto const& path = parameter.path;
        values.assign(static_cast<std::size_t>(parameter.size),
                      path.ends_with("scale") ? 1.0f : 0.0f);
        auto const key = split({seed, 0}, number++);
        if (parameter.is_weight)
            inputs = parameter.shape[1];
        bool const constant =
            path.ends_with("scale") || path.ends_with("shift") || path.ends_with("bias");
        if (path.ends_with("temperature"))
            values.assign(values.size(), 0.07f);
        else if (keeps_default_initialization(path))
            fill_uniform(values, 1 / std::sqrt(inputs), key);
        else if (!constant)
            fill_normal(values, is_place(path) ? how.positions : how.deviation, key);
        fill_parameter<B>(engine, parameter, std::span<float const>(values));
    }
}

} // namespace detail

/// Weights as the authors' release has them before training: normal around 0, norms 1 and 0, biases
/// 0, temperature 0.07, and PyTorch's default for patch projection and heads. A parameter's numbers
/// are a function of `seed` and its place in the tree alone.
template <class Network>
void initialize(Weights<Network>& weights, typename Network::backend::Engine& engine,
                std::uint64_t seed, Initialization const& how = {}) {
    detail::initialize_parameters<typename Network::backend>(list_parameters(*weights), engine,
                                                             seed, how);
}

} // namespace blip
