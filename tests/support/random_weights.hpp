#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include <blip/core/random.hpp>
#include <blip/core/weights.hpp>

namespace blip::test {

/// `count` numbers, uniform in [-scale, scale).
inline std::vector<double> random_values(std::ptrdiff_t count, RandomKey key, double scale = 1) {
    std::vector<double> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = scale * (2 * random_uniform(key, i) - 1);
    return values;
}

/// Every parameter of `weights` one after another, without the padding between them.
template <class Model>
std::vector<double> parameter_values(Weights<Model> const& weights,
                                     typename Model::backend::Engine& engine) {
    using B = typename Model::backend;
    std::vector<double> all;
    for (auto const& parameter : list_parameters(*weights)) {
        auto const first = all.size();
        all.resize(first + static_cast<std::size_t>(parameter.size));
        B::download(engine, all.data() + first,
                    static_cast<typename B::scalar const*>(parameter.data), parameter.size);
    }
    return all;
}

/// The inverse of `parameter_values`, for weights in `Layout::rows`.
template <class Model>
void set_parameters(Weights<Model>& weights, typename Model::backend::Engine& engine,
                    std::vector<double> const& values) {
    std::size_t first = 0;
    for (auto const& parameter : list_parameters(*weights)) {
        Model::backend::upload(engine, parameter.data, values.data() + first, parameter.size);
        first += static_cast<std::size_t>(parameter.size);
    }
}

/// All parameters uniform in [-scale, scale). The same key gives the same numbers on every backend.
template <class Model>
void randomize(Weights<Model>& weights, typename Model::backend::Engine& engine, RandomKey key,
               double scale = 0.5) {
    set_parameters(weights, engine, random_values(count_parameters<Model>(), key, scale));
}

/// Weights with which a network's layers all matter: scales around 1, everything else around 0. The
/// same seed gives the same numbers on every backend.
template <class Network>
void fill_with_noise(Weights<Network>& weights, typename Network::backend::Engine& engine,
                     std::uint64_t seed = 7) {
    std::uint64_t number = 0;
    for (auto const& p : list_parameters(*weights)) {
        std::vector<float> values(static_cast<std::size_t>(p.size));
        for (std::size_t i = 0; i < values.size(); ++i) {
            double const u = random_uniform({seed, number}, i) - 0.5;
            values[i] = static_cast<float>(p.path.ends_with("scale") ? 1 + 0.2 * u : 0.6 * u);
        }
        ++number;
        Network::backend::upload(engine, p.data, static_cast<float const*>(values.data()), p.size);
    }
}

} // namespace blip::test
