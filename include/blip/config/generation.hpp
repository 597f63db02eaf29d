#pragma once

#include <optional>

namespace blip {

/// When a beam search whose list of finished sequences is full ends.
enum class EarlyStopping {
    off,         ///< when the best open beam, scored at its present length, cannot enter the list
    when_filled, ///< at once
    never        ///< as `off`, but scored at the most favourable length (the maximum length for a
                 ///< positive length penalty), so nothing better is missed
};

/// How a checkpoint wants texts generated, where it says something.
struct GenerationDefaults {
    std::optional<int> beams{}, max_length{}, max_new_tokens{}, min_length{}, no_repeat_ngram{};
    std::optional<double> repetition_penalty{}, length_penalty{};
    std::optional<EarlyStopping> early_stopping{};
    std::optional<bool> sample{};
    std::optional<double> temperature{}, top_p{};
    std::optional<int> top_k{};

    bool operator==(GenerationDefaults const&) const = default;
};

} // namespace blip
