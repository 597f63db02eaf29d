#pragma once

#include <algorithm>

#include <blip/config/generation.hpp>

namespace support {

/// Decides, where `options` (CaptionOptions, AnswerOptions) leaves it open, whether texts are drawn
/// as the model's checkpoint has it, and gives a search beams enough for all results.
template <class Options>
void settle_search(Options& options, blip::GenerationDefaults const& usual) {
    if (!options.sample)
        options.sample = !options.beams && usual.sample.value_or(false);
    if (!*options.sample && !options.beams && options.results > 1)
        options.beams = std::max(options.results, usual.beams.value_or(1));
}

} // namespace support
