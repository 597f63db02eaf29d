#pragma once

#include <blip/config/concepts.hpp>

/// Sizes small enough for exact checks, no two of them alike where that would hide a mix-up.
namespace blip::test {

template <int Recompute>
struct tiny_vision {
    static constexpr int image = 6, patch = 3, width = 8, depth = 3, heads = 2, hidden = 10;
    static constexpr int recompute = Recompute;
};

template <int Recompute>
struct tiny_text {
    static constexpr int vocabulary = 11, positions = 7, width = 6, depth = 2, heads = 3,
                         hidden = 9;
    static constexpr int encoder_width = 8, recompute = Recompute;
};

template <int VisionRecompute, int TextRecompute>
struct tiny {
    using vision = tiny_vision<VisionRecompute>;
    using text = tiny_text<TextRecompute>;
};

inline constexpr int tiny_ids[] = {9, 4, 0, 7, 9, 4, 5, 1};
inline constexpr int tiny_positions[] = {0, 1, 2, 3, 0, 1, 2, 3};
inline constexpr unsigned char tiny_mask[] = {1, 1, 1, 1, 1, 1, 1, 0};

/// Sets every probability of dropout and drop path below `layer`.
inline constexpr auto drop_everywhere = [](auto& layer) {
    for (auto const& setting : list_settings(layer)) {
        if (setting.path().ends_with("dropout") || setting.path().ends_with("probability"))
            setting.set(0.2);
    }
};

} // namespace blip::test
