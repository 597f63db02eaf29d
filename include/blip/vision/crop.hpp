#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <blip/core/error.hpp>
#include <blip/core/random.hpp>
#include <blip/vision/image.hpp>

namespace blip {

/// A part of a picture: top left corner and size, in pixels.
struct Box {
    std::size_t y = 0;
    std::size_t x = 0;
    std::size_t height = 0;
    std::size_t width = 0;

    friend bool operator==(Box const&, Box const&) = default;
};

/// The part of `image` in `box`, [box.height, box.width, 3].
/// @throws ArgumentError when the box is empty or not wholly inside.
inline Image crop(Image const& image, Box const& box) {
    auto const size = image_size(image);
    bool const inside = box.height > 0 && box.width > 0 && box.y <= size.height &&
                        box.height <= size.height - box.y && box.x <= size.width &&
                        box.width <= size.width - box.x;
    if (!inside)
        throw ArgumentError(join("crop: ", box.width, " x ", box.height, " pixels at (", box.x,
                                 ", ", box.y, ") are not inside a picture of ", size.width, " x ",
                                 size.height));
    Image part = make_image({box.height, box.width});
    for (std::size_t y = 0; y < box.height; ++y)
        std::copy_n(image.data() + 3 * ((box.y + y) * size.width + box.x), 3 * box.width,
                    part.data() + 3 * y * box.width);
    return part;
}

/// `image` mirrored: its left side becomes the right one.
inline Image flip_horizontally(Image const& image) {
    auto const [height, width] = image_size(image);
    Image flipped = make_image({height, width});
    for (std::size_t y = 0; y < height; ++y)
        for (std::size_t x = 0; x < width; ++x)
            std::copy_n(image.data() + 3 * (y * width + x), 3,
                        flipped.data() + 3 * (y * width + width - 1 - x));
    return flipped;
}

/// A random part of a picture of `size` as torchvision's RandomResizedCrop chooses one (spec of the
/// release's training transform): its area is a share of the picture's that is uniform in
/// [scale_min, scale_max], its width over height log-uniform in [3/4, 4/3], its place uniform. What
/// does not fit is drawn again, ten times; then it is the middle of the picture with the aspect
/// ratio clamped to that range. A function of `key` alone.
/// @throws ArgumentError unless 0 < scale_min <= scale_max and the size is not empty.
inline Box random_crop_box(ImageSize size, double scale_min, double scale_max, RandomKey key) {
    if (!(scale_min > 0) || !(scale_min <= scale_max) || !std::isfinite(scale_max) ||
        size.height == 0 || size.width == 0)
        throw ArgumentError(join("random_crop_box: a share of the area from ", scale_min, " to ",
                                 scale_max, " of ", size.width, " x ", size.height,
                                 " pixels; expected 0 < smallest <= largest, and a picture"));
    constexpr double narrowest = 3.0 / 4.0, widest = 4.0 / 3.0;
    constexpr std::uint64_t tries = 10, draws = 4;
    auto const height = static_cast<double>(size.height), width = static_cast<double>(size.width);
    for (std::uint64_t attempt = 0; attempt < tries; ++attempt) {
        auto const uniform = [&](std::uint64_t draw) {
            return random_uniform(key, attempt * draws + draw);
        };
        double const area = height * width * (scale_min + (scale_max - scale_min) * uniform(0));
        double const ratio =
            std::exp(std::log(narrowest) + (std::log(widest) - std::log(narrowest)) * uniform(1));
        // Python's round and this one (in the default mode) both take the even neighbour of a half.
        double const w = std::nearbyint(std::sqrt(area * ratio));
        double const h = std::nearbyint(std::sqrt(area / ratio));
        if (!(w >= 1 && w <= width && h >= 1 && h <= height))
            continue;
        auto const place = [](double free, double u) {
            return static_cast<std::size_t>(std::min(std::floor((free + 1) * u), free));
        };
        return {place(height - h, uniform(2)), place(width - w, uniform(3)),
                static_cast<std::size_t>(h), static_cast<std::size_t>(w)};
    }
    Box box{0, 0, size.height, size.width};
    if (width / height < narrowest)
        box.height = static_cast<std::size_t>(std::nearbyint(width / narrowest));
    else if (width / height > widest)
        box.width = static_cast<std::size_t>(std::nearbyint(height * widest));
    box.y = (size.height - box.height) / 2;
    box.x = (size.width - box.width) / 2;
    return box;
}

} // namespace blip
