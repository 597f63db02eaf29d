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

#include <blip/models/dispatch.hpp>

#include "common_arguments.hpp"

namespace support {

/// Writes the untrained model that the arguments ask for, in Hugging Face layout, with the
/// vocabulary of bert-base-uncased. `Models`: the configurations to choose from; `Types::model<C>`:
/// the model of one of them. Throws ConfigError for a size that is not compiled in or another
/// vocabulary size, FileError.
template <class Models, class Types>
int write_random_model(CommonArguments const& a, int image_size, std::uint64_t seed) {
    image_size = a.image_size.value_or(image_size);
    auto const wanted = [&]<class C>(std::type_identity<C>) {
        return C::name == a.size && C::vision::image == image_size;
    };
    auto const write = [&]<class C>(std::type_identity<C>) {
        using Model = typename Types::template model<C>;
        blip::Tokenizer tokenizer(blip::bert_base_uncased());
        if (tokenizer.vocabulary().size() != C::text::vocabulary)
            throw blip::ConfigError(
                blip::join(a.size, ": a random model gets the ", tokenizer.vocabulary().size(),
                           " words of bert-base-uncased, but this size has ", C::text::vocabulary));
        typename Model::backend::Engine engine;
        blip::Weights<typename Model::Network> weights(engine);
        blip::initialize(weights, engine, seed);
        blip::ModelSettings settings;
        settings.compatibility = blip::Compatibility::hugging_face;
        settings.vision_epsilon = 1e-5;
        settings.label_smoothing = 0;
        settings.pad_id = tokenizer.vocabulary().special().pad;
        Model(std::move(weights), std::move(settings), std::move(tokenizer),
              {.size = static_cast<std::size_t>(C::vision::image)}, engine)
            .save(a.random_model);
    };
    blip::visit_config_where<Models>(wanted, write, [&] {
        return blip::join("no size \"", a.size, "\" with pictures of ", image_size,
                          " pixels is compiled in. There are:", blip::describe_configs<Models>());
    });
    return success;
}

} // namespace support
