#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace support {

/// How sure the model is of a text that it wrote: the geometric mean of its tokens' probabilities,
/// 0 to 1.
inline double confidence(std::vector<double> const& token_log_probabilities) {
    if (token_log_probabilities.empty())
        return 0;
    double const sum =
        std::accumulate(token_log_probabilities.begin(), token_log_probabilities.end(), 0.0);
    double const mean = std::exp(sum / static_cast<double>(token_log_probabilities.size()));
    return std::isfinite(mean) ? std::clamp(mean, 0.0, 1.0) : 0;
}

} // namespace support
