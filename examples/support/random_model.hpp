#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <blip/core/weights.hpp>
#include <blip/networks/initialize.hpp>
#include <blip/text/bert_base_uncased.hpp>

#include "caption_model.hpp"

namespace support {

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
        blip::initialize(weights, engine, options.seed);
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
