#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <blip/cuda.cuh>
#include <support/random_weights.hpp>

/// What programs need that compare a whole model on the CUDA backend with Reference<double>.
namespace blip::test {

/// A tokenizer of 38 pieces for a vocabulary of 40.
inline Tokenizer forty_words() {
    std::string pieces = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nphoto\nof\n";
    for (int i = 8; i < 38; ++i)
        pieces += "word" + std::to_string(i) + "\n";
    return Tokenizer(parse_vocabulary(pieces));
}

/// Normalised pictures of noise.
inline Pixels noise_of(std::size_t count, std::size_t side) {
    Pixels pixels(Pixels::shape_type{count, 3, side, side});
    for (std::size_t i = 0; i < pixels.size(); ++i)
        pixels.data()[i] = static_cast<float>(random_uniform({1, count}, i) * 4 - 2);
    return pixels;
}

/// A model type of random weights, the same on every backend.
template <class Model>
Model model_of_noise(typename Model::backend::Engine engine = typename Model::backend::Engine{}) {
    Weights<typename Model::Network> weights(engine);
    fill_with_noise(weights, engine);
    return Model(std::move(weights), {}, forty_words(), {.size = Model::image_size}, engine);
}

/// Appends every number of a gradient.
template <class Grad>
void append_gradient(std::vector<double>& numbers, Weights<Grad> const& gradient,
                     typename Grad::backend::Engine& engine) {
    using B = typename Grad::backend;
    for (auto const& p : list_parameters(*gradient)) {
        std::vector<double> part(static_cast<std::size_t>(p.size));
        B::download(engine, part.data(), static_cast<typename B::scalar const*>(p.data),
                    std::ssize(part));
        numbers.insert(numbers.end(), part.begin(), part.end());
    }
}

/// Numbers that are compared against the largest of them, and ids that must be equal.
struct ModelResults {
    std::vector<double> numbers;
    std::vector<int> ids;
};

/// Prints the comparison; the exit status of a test.
inline int compare_results(ModelResults const& expected, ModelResults const& found) {
    double most = 0, difference = expected.numbers.size() == found.numbers.size() ? 0 : HUGE_VAL;
    for (std::size_t i = 0; i < std::min(expected.numbers.size(), found.numbers.size()); ++i) {
        most = std::max(most, std::abs(expected.numbers[i]));
        double const off = std::abs(expected.numbers[i] - found.numbers[i]);
        difference = std::isfinite(off) ? std::max(difference, off) : HUGE_VAL;
        if (difference == HUGE_VAL)
            break;
    }
    bool const same_ids = expected.ids == found.ids;
    std::printf("largest difference %g of %g, ids %s\n", difference, most,
                same_ids ? "equal" : "differ");
    return same_ids && difference < 1e-4 * most ? 0 : 1;
}

/// The whole of such a program: compares results(std::type_identity<B>{}) of the device with those
/// of Reference<double>. Gives the exit status, 77 where there is no device.
template <class Results>
int compare_with_reference(char const* what, Results const& results) try {
    if (cuda::device_count() == 0) {
        std::printf("no CUDA device: %s compiled and linked, but not run\n", what);
        return 77;
    }
    return compare_results(results(std::type_identity<Reference<double>>{}),
                           results(std::type_identity<Cuda<float>>{}));
} catch (std::exception const& error) {
    std::printf("failed: %s\n", error.what());
    return 1;
}

} // namespace blip::test
