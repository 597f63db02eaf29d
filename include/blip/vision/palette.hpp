#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace blip::detail {

/// Red, green and blue of up to 256 colours; like in Pillow, colours that a file leaves out are
/// black.
using Palette = std::array<std::array<std::uint8_t, 3>, 256>;

/// Every index as the grey of its value, for files without a palette.
inline Palette grey_palette() {
    Palette palette{};
    for (std::size_t i = 0; i < palette.size(); ++i)
        palette[i].fill(static_cast<std::uint8_t>(i));
    return palette;
}

} // namespace blip::detail
