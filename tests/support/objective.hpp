#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/io/checkpoint_names.hpp>
#include <blip/models/objective.hpp>
#include <support/network.hpp>
#include <support/random_weights.hpp>
#include <support/tiny_models.hpp>

/// Tests of objectives: steps against fixtures, in parts, and against themselves.
namespace blip::test {

/// Options under which everything random is at work.
inline ObjectiveOptions<Cpu<float>> dropping() {
    ObjectiveOptions<Cpu<float>> options;
    options.drop_path = 0.4;
    options.dropout = 0.1;
    options.seed = 5;
    return options;
}

/// An objective of `tiny_model`'s kind, from random weights.
template <class Objective>
Objective fresh(ObjectiveOptions<Cpu<float>> const& options) {
    return Objective::from_scratch({}, tiny_words(), {.size = 24}, options);
}

/// Pictures of a fixture, [n, 3, side, side].
inline Pixels golden_pixels(GoldenTensors const& inputs, std::string const& name) {
    auto const image = inputs[name];
    Pixels all(Pixels::shape_type{
        static_cast<std::size_t>(image.shape[0]), static_cast<std::size_t>(image.shape[1]),
        static_cast<std::size_t>(image.shape[2]), static_cast<std::size_t>(image.shape[3])});
    std::copy(image.values.begin(), image.values.end(), all.begin());
    return all;
}

/// How far the gradient that a step left is from the fixture's "grad." tensors, named as in the
/// authors' release, and of which tensor it is farthest.
template <class Objective>
double golden_gradient_difference(Objective& objective, GoldenTensors const& expected,
                                  std::string& worst, Naming naming = Naming::original) {
    Bench<typename Objective::backend> bench;
    return gradient_difference(
        objective.gradient(), bench, expected, "grad.",
        [naming](std::string const& path) { return checkpoint_names(path, naming); }, worst);
}

/// The gradient that a step left, all of it.
template <class Objective>
std::vector<double> gradient_values(Objective& objective) {
    return parameter_values(objective.gradient(), objective.engine());
}

/// What a step gives: losses by name, then the gradient.
template <class Objective>
std::vector<double> outcome(Objective& objective, std::span<typename Objective::Batch const> parts,
                            StepOptions const& options = {}) {
    std::vector<double> all;
    for (auto const& [name, loss] : objective.step(parts, options).named())
        all.push_back(loss);
    auto const gradient = gradient_values(objective);
    all.insert(all.end(), gradient.begin(), gradient.end());
    return all;
}

/// What is thrown, in words; empty where nothing is.
std::string message_of(auto const& call) {
    try {
        call();
    } catch (Error const& error) {
        return error.what();
    }
    return {};
}

} // namespace blip::test
