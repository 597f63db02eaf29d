#pragma once

#include <blip/core/error.hpp>

#include <xtensor/xtensor.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace blip {

/// A picture on the host: 8-bit red, green, blue values as [height, width, 3], row by row from the
/// top left.
using Image = xt::xtensor<std::uint8_t, 3, xt::layout_type::row_major>;

/// Normalised pictures as a vision network takes them: [batch, 3, side, side], channels red, green,
/// blue.
using Pixels = xt::xtensor<float, 4, xt::layout_type::row_major>;

/// Height and width of a picture in pixels.
struct ImageSize {
    std::size_t height = 0;
    std::size_t width = 0;

    friend bool operator==(ImageSize const&, ImageSize const&) = default;
};

/// An image of the given size whose values are not yet set.
inline Image make_image(ImageSize size) {
    return Image(Image::shape_type{size.height, size.width, 3});
}

/// Height and width of `image`.
/// @throws ArgumentError when the array is empty or does not have exactly three channels.
inline ImageSize image_size(Image const& image) {
    auto const& shape = image.shape();
    if (shape[2] != 3 || shape[0] == 0 || shape[1] == 0)
        throw ArgumentError(
            join("A picture must be [height, width, 3] with at least one pixel; found [", shape[0],
                 ", ", shape[1], ", ", shape[2],
                 "]. Repeat a grey channel three times, drop an alpha channel."));
    return {shape[0], shape[1]};
}

} // namespace blip
