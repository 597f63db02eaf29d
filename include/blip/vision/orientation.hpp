#pragma once

#include <blip/core/error.hpp>
#include <blip/vision/image.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace blip {

namespace detail {

/// The orientation, 1 to 8, that a block of EXIF data (starting with its byte order mark) notes in
/// its first directory; 1 when it notes none or is damaged.
inline int exif_orientation(std::span<std::byte const> exif) {
    bool big = false;
    auto at = [&](std::size_t offset) { return std::to_integer<std::uint32_t>(exif[offset]); };
    auto read16 = [&](std::size_t offset) {
        return big ? at(offset) << 8 | at(offset + 1) : at(offset) | at(offset + 1) << 8;
    };
    auto read32 = [&](std::size_t offset) {
        return big ? read16(offset) << 16 | read16(offset + 2)
                   : read16(offset) | read16(offset + 2) << 16;
    };
    if (exif.size() < 8 || at(0) != at(1) || (at(0) != 'I' && at(0) != 'M'))
        return 1;
    big = at(0) == 'M';
    std::size_t const directory = read32(4);
    if (read16(2) != 42 || directory > exif.size() || exif.size() - directory < 2)
        return 1;
    std::size_t const entries = read16(directory);
    for (std::size_t i = 0; i < entries; ++i) {
        std::size_t const entry = directory + 2 + 12 * i;
        if (entry + 12 > exif.size())
            return 1;
        constexpr std::uint32_t orientation_tag = 0x0112;
        constexpr std::uint32_t unsigned_short = 3;
        if (read16(entry) != orientation_tag)
            continue;
        auto const value = read16(entry + 8);
        bool const valid = read16(entry + 2) == unsigned_short && value >= 1 && value <= 8;
        return valid ? static_cast<int>(value) : 1;
    }
    return 1;
}

} // namespace detail

/// `image` turned and mirrored so that it stands upright, given its EXIF orientation, 1 to 8 (as
/// Pillow's `ImageOps.exif_transpose`).
/// @throws ArgumentError when the orientation is outside 1 to 8.
inline Image apply_orientation(Image const& image, int orientation) {
    if (orientation < 1 || orientation > 8)
        throw ArgumentError(join("An EXIF orientation is 1 to 8; found ", orientation, "."));
    if (orientation == 1)
        return image;
    auto const [height, width] = image_size(image);
    bool const swaps_axes = orientation >= 5;
    bool const flips_rows =
        orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    bool const flips_columns =
        orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    ImageSize const turned = swaps_axes ? ImageSize{width, height} : ImageSize{height, width};
    Image upright = make_image(turned);
    std::uint8_t const* source = image.data();
    std::uint8_t* target = upright.data();
    for (std::size_t y = 0; y < turned.height; ++y)
        for (std::size_t x = 0; x < turned.width; ++x) {
            std::size_t const row = swaps_axes ? x : y;
            std::size_t const column = swaps_axes ? y : x;
            std::size_t const from = (flips_rows ? height - 1 - row : row) * width +
                                     (flips_columns ? width - 1 - column : column);
            for (std::size_t channel = 0; channel < 3; ++channel)
                *target++ = source[3 * from + channel];
        }
    return upright;
}

} // namespace blip
