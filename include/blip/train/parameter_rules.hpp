#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <functional>
#include <span>
#include <string_view>

namespace blip {

/// How an optimizer treats one parameter.
struct ParameterRule {
    double rate = 1;   ///< factor of the learning rate; 0: the parameter stays as it is
    bool decay = true; ///< whether weight decay applies

    friend bool operator==(ParameterRule const&, ParameterRule const&) = default;
};

/// Gives the rule for every parameter: its path in the network ("vision.embedding.class_token") and
/// its shape.
using ParameterRules =
    std::function<ParameterRule(std::string_view path, std::span<int const> shape)>;

/// Matrices and tables decay; biases, norms, class token and temperature do not.
inline ParameterRule decay_matrices_only(std::string_view, std::span<int const> shape) {
    return {.decay = std::ranges::count_if(shape, [](int extent) { return extent > 1; }) > 1};
}

/// Layers near the input learn more slowly: block i of a network with D blocks has the rate
/// factor^(D - 1 - i), its embedding factor^D, and all that follows the blocks 1 (Clark et al.
/// 2020, "ELECTRA"; usual for fine-tuning vision transformers). Networks under "vision." have
/// `vision_depth` blocks, others `text_depth`.
struct LayerwiseRates {
    double factor = 0.75;
    int vision_depth = 12;
    int text_depth = 12;
    bool decay_matrices_only = false; ///< see above; otherwise everything decays

    ParameterRule operator()(std::string_view path, std::span<int const> shape) const {
        int const depth = path.find("vision.") != path.npos ? vision_depth : text_depth;
        int above = 0;
        constexpr std::string_view blocks = "stack.blocks.";
        if (auto const at = path.find(blocks); at != path.npos) {
            int block = 0;
            std::from_chars(path.data() + at + blocks.size(), path.data() + path.size(), block);
            above = std::max(0, depth - 1 - block);
        } else if (path.find("embedding.") != path.npos) {
            above = depth;
        }
        ParameterRule rule{.rate = std::pow(factor, above)};
        if (decay_matrices_only)
            rule.decay = blip::decay_matrices_only(path, shape).decay;
        return rule;
    }
};

} // namespace blip
