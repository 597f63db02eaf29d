#pragma once

#include <string>

#include <blip/config/presets.hpp>
#include <blip/core/error.hpp>

namespace blip {

/// A model's sizes at run time, as a checkpoint has them; fields as in VisionConfig and TextConfig.
struct VisionSizes {
    int image = 384, patch = 16, width = 768, depth = 12, heads = 12, hidden = 3072;
    friend bool operator==(VisionSizes const&, VisionSizes const&) = default;
};
struct TextSizes {
    int vocabulary = 30524, positions = 512, width = 768, depth = 12, heads = 12, hidden = 3072;
    int encoder_width = 768;
    friend bool operator==(TextSizes const&, TextSizes const&) = default;
};
struct ModelSizes {
    VisionSizes vision;
    TextSizes text;
    friend bool operator==(ModelSizes const&, ModelSizes const&) = default;
};

/// The sizes of a compiled-in configuration.
template <ModelConfig C>
ModelSizes sizes_of() {
    using V = typename C::vision;
    using T = typename C::text;
    return {
        {V::image, V::patch, V::width, V::depth, V::heads, V::hidden},
        {T::vocabulary, T::positions, T::width, T::depth, T::heads, T::hidden, T::encoder_width}};
}

/// Names every size in which `found` differs from `expected`, "vision width 768 instead of 1024,
/// ..."; empty when there is none.
inline std::string describe_difference(ModelSizes const& expected, ModelSizes const& found) {
    std::string text;
    auto compare = [&text](char const* name, int want, int have) {
        if (want != have)
            text += join(text.empty() ? "" : ", ", name, " ", have, " instead of ", want);
    };
    VisionSizes const &v = expected.vision, &w = found.vision;
    compare("image size", v.image, w.image);
    compare("patch size", v.patch, w.patch);
    compare("vision width", v.width, w.width);
    compare("vision depth", v.depth, w.depth);
    compare("vision heads", v.heads, w.heads);
    compare("vision hidden", v.hidden, w.hidden);
    TextSizes const &t = expected.text, &u = found.text;
    compare("vocabulary", t.vocabulary, u.vocabulary);
    compare("text positions", t.positions, u.positions);
    compare("text width", t.width, u.width);
    compare("text depth", t.depth, u.depth);
    compare("text heads", t.heads, u.heads);
    compare("text hidden", t.hidden, u.hidden);
    compare("encoder width", t.encoder_width, u.encoder_width);
    return text;
}

/// All sizes on one line.
inline std::string describe(ModelSizes const& sizes) {
    auto const& v = sizes.vision;
    auto const& t = sizes.text;
    return join("image ", v.image, ", patch ", v.patch, ", vision ", v.width, " x ", v.depth, " (",
                v.heads, " heads, hidden ", v.hidden, "), text ", t.width, " x ", t.depth, " (",
                t.heads, " heads, hidden ", t.hidden, "), vocabulary ", t.vocabulary,
                ", positions ", t.positions);
}

} // namespace blip
