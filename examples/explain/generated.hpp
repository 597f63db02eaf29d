#pragma once

#include <string>
#include <vector>

#include <blip/models/word_heat_maps.hpp>

#include "../support/confidence.hpp"
#include "model.hpp"

namespace explain {

/// A text that the model wrote, with the maps of what was written.
inline Explained explained(std::string const& text, blip::WordHeatMaps const& maps,
                           blip::Vocabulary const& vocabulary) {
    std::vector<std::size_t> numbers;
    for (std::size_t token = 0; token < maps.ids.size(); ++token)
        if (!vocabulary.is_special(maps.ids[token]))
            numbers.push_back(token);
    return {text, support::confidence(maps.log_probabilities), maps.words,
            words_of(maps, numbers, maps.log_probabilities)};
}

} // namespace explain
