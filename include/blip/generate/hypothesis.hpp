#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace blip {

/// One generated sequence and how probable the model finds it.
struct Hypothesis {
    /// The prompt, the generated ids and, when it was generated, the end token.
    std::vector<int> ids;
    int prompt_length = 0;
    /// Of each generated id, end token included, under the model's own distribution (log-softmax of
    /// the raw logits), whatever penalties and filters the search applied.
    std::vector<double> token_log_probabilities;
    /// Sum of `token_log_probabilities`.
    double log_probability = 0;
    /// What the search ranked by: for beams the length-normalised sum of processed
    /// log-probabilities, for greedy search and sampling `log_probability`.
    double score = 0;
    /// Ended with the end token, not by length, by request or for want of a permitted token.
    bool finished = false;

    /// The generated ids without prompt and end token.
    std::span<int const> text() const {
        auto const generated = std::span(ids).subspan(static_cast<std::size_t>(prompt_length));
        return finished ? generated.first(generated.size() - 1) : generated;
    }
};

} // namespace blip
