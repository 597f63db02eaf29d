#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <numbers>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <blip/core/random.hpp>
#include <blip/core/weights.hpp>
#include <blip/text/bert_base_uncased.hpp>

#include "caption_model.hpp"

namespace support {

namespace detail {

/// Fills `values` from the normal distribution around 0 (Box and Muller's method).
inline void fill_normal(std::vector<float>& values, double deviation, blip::RandomKey key) {
    for (std::size_t i = 0; i < values.size(); i += 2) {
        // 1 - u lies in (0, 1], where the logarithm is finite.
        double const radius = deviation * std::sqrt(-2 * std::log(1 - random_uniform(key, i)));
        double const angle = 2 * std::numbers::pi * random_uniform(key, i + 1);
        values[i] = static_cast<float>(radius * std::cos(angle));
        if (i + 1 < values.size())
            values[i + 1] = static_cast<float>(radius * std::sin(angle));
    }
}

} // namespace detail

/// Weights as before training (BERT's and ViT's initialisation): normal with deviation 0.02, norms
/// 1 and 0, biases 0. The same seed gives the same weights.
template <class Network>
void initialise(blip::Weights<Network>& weights, typename Network::backend::Engine& engine,
                std::uint64_t seed) {
    using B = typename Network::backend;
    std::vector<float> values;
    std::uint64_t number = 0;
    blip::for_each_parameter(*weights, [&](std::string const& path, auto& parameter) {
        using P = std::remove_cvref_t<decltype(parameter)>;
        bool const constant = path.ends_with("scale") || path.ends_with("bias");
        values.assign(static_cast<std::size_t>(P::size), path.ends_with("scale") ? 1.0f : 0.0f);
        auto const key = blip::split({seed, 0}, number++);
        if (!constant)
            detail::fill_normal(values, 0.02, key);
        B::upload(engine, parameter.data, values.data(), P::size);
    });
}

/// What a model of random weights is like.
struct RandomModelOptions {
    std::string size = "base"; ///< a name among the compiled-in configurations
    int image_size = 384;      ///< in pixels
    std::uint64_t seed = 0;
};

/// Writes an untrained captioner in Hugging Face layout, with the vocabulary of bert-base-uncased.
/// Throws ConfigError for a size that is not compiled in or another vocabulary size, FileError.
inline void write_random_model(std::filesystem::path const& folder,
                               RandomModelOptions const& options) {
    using B = blip::Cpu<float>;
    auto const wanted = [&]<class C>(std::type_identity<C>) {
        return C::name == options.size && C::vision::image == options.image_size;
    };
    auto const write = [&]<class C>(std::type_identity<C>) {
        using Captioner = blip::Captioner<C, B>;
        blip::Tokenizer tokenizer(blip::bert_base_uncased());
        if (tokenizer.vocabulary().size() != C::text::vocabulary)
            throw blip::ConfigError(blip::join(
                options.size, ": a random model gets the ", tokenizer.vocabulary().size(),
                " words of bert-base-uncased, but this size has ", C::text::vocabulary));
        typename B::Engine engine;
        blip::Weights<typename Captioner::Network> weights(engine);
        initialise(weights, engine, options.seed);
        blip::ModelSettings settings;
        settings.compatibility = blip::Compatibility::hugging_face;
        settings.vision_epsilon = 1e-5;
        settings.label_smoothing = 0;
        settings.pad_id = tokenizer.vocabulary().special().pad;
        Captioner(std::move(weights), std::move(settings), std::move(tokenizer),
                  {.size = static_cast<std::size_t>(C::vision::image)}, engine)
            .save(folder);
    };
    blip::visit_config_where<CaptionModels>(wanted, write, [&] {
        return blip::join(
            "no size \"", options.size, "\" with pictures of ", options.image_size,
            " pixels is compiled in. There are:", blip::describe_configs<CaptionModels>());
    });
}

} // namespace support
