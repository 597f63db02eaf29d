#pragma once

#include <cstddef>
#include <utility>

#include <blip/core/error.hpp>
#include <blip/core/random.hpp>
#include <blip/vision/crop.hpp>
#include <blip/vision/image.hpp>
#include <blip/vision/rand_augment.hpp>
#include <blip/vision/resize.hpp>

namespace blip {

/// How a picture is changed at random before training sees it. The defaults are those of every
/// fine-tuning recipe; pre-training takes parts from 0.2 of the area on.
struct Augment {
    double scale_min = 0.5; ///< smallest share of the area that a part has
    double scale_max = 1; ///< largest; with both 1 and without a crop that fits, the whole picture
    bool crop = true;     ///< false: the whole picture is resized
    bool flip = true;     ///< mirrored half of the time, although a text may say "left"
    bool rand_augment = true;
    RandAugmentOptions options{};

    /// No change but the resize, as pictures are prepared for evaluation.
    static Augment none() { return {.crop = false, .flip = false, .rand_augment = false}; }
};

/// `image` as training sees it, [size, size, 3]: a random part resized (bicubic), mirrored, and
/// RandAugment, in the order of the release's training transform. A function of `key` alone. What
/// comes next is `preprocess` with the same size, which then changes no pixel.
/// @throws ArgumentError for options outside their range, size 0 or an empty image.
inline Image augment(Image const& image, Augment const& how, std::size_t size, RandomKey key) {
    enum Stream : std::uint64_t { where, mirror, operations };
    Image result;
    if (how.crop) {
        auto const box =
            random_crop_box(image_size(image), how.scale_min, how.scale_max, split(key, where));
        result = resize_bicubic(crop(image, box), {size, size});
    } else {
        result = resize_bicubic(image, {size, size});
    }
    if (how.flip && random_uniform(split(key, mirror), 0) < 0.5)
        result = flip_horizontally(result);
    if (how.rand_augment)
        result = rand_augment(std::move(result), how.options, split(key, operations));
    return result;
}

} // namespace blip
